"""`akela broker` with a password file, over TCP, WebSocket and TLS, for clients that other people have written."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.properties import Properties
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from tests.akela_up import Lines
from tests.certificates import Authority

USER = "ann"
PASSWORD = "right"
CONFIG = """
listeners:
  default:
    bind: 127.0.0.1:0
  ws:
    type: ws
    bind: 127.0.0.1:0
  tls:
    bind: 127.0.0.1:0
    ssl: on
    certfile: {certificate}
    keyfile: {key}
  wss:
    type: ws
    bind: 127.0.0.1:0
    ssl: on
    certfile: {certificate}
    keyfile: {key}
plugins:
  amqtt.plugins.authentication.FileAuthPlugin:
    password-file: {passwords}
"""
LARGE = 200_000  # bytes of a payload; a packet may have 256 KiB


@dataclass(frozen=True)
class Running:
    """A running broker: the port of each listener, and who signed its certificate (for localhost)."""

    ports: dict[str, int]
    ca: Path


def said(kind: int, **values: Any) -> Any:
    """Properties by paho's names."""
    properties = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("clients")
    authority = Authority(directory)
    pair = authority.pair("localhost")
    passwords = directory / "passwords"
    passwords.write_text(f"{USER}:{PasswordHash((Argon2Hasher(),)).hash(PASSWORD)}\n")
    file = directory / "broker.yaml"
    file.write_text(CONFIG.format(certificate=pair.certificate, key=pair.key, passwords=passwords))
    command = [sys.executable, "-m", "akela", "broker", "-c", str(file), "--admin-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = Lines(process.stdout)
    names = ("default", "ws", "tls", "wss")
    yield Running(
        {name: int(lines.until(f"{name}: listening on").rpartition(":")[2]) for name in names}, authority.file
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    lines.join()
    assert process.stdout is not None
    process.stdout.close()
