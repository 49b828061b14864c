"""The address that a Control server announces is one that others can connect to."""

import socket

import pytest

from control.settings import ControlSettings


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"bind": "10.0.0.7", "api_port": 80}, "http://10.0.0.7:80"),
        ({"bind": "0.0.0.0", "public_host": "a.example.com"}, "http://a.example.com:8080"),
        ({"bind": "0.0.0.0"}, f"http://{socket.getfqdn()}:8080"),
        ({"bind": "::1", "port_offset": 5}, "http://[::1]:8085"),
    ],
)
def test_the_announced_address_can_be_connected_to(settings: dict[str, object], url: str) -> None:
    assert ControlSettings.model_validate(settings).api_url == url
