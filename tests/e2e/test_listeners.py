"""The same fleet over TLS and WebSocket, announced in the signed list."""

import subprocess
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.akela_up import WAIT_S, AkelaUp, started
from tests.certificates import Authority


def test_a_device_over_tls_and_one_over_websocket(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("localhost")
    environment = {"AKELA_TLS_CERT": str(pair.certificate), "AKELA_TLS_KEY": str(pair.key)}

    for up in started(tmp_path / "data", environment=environment):
        listed = subprocess.run(
            ["mosquitto_sub", "-p", up.boot_port(), "-t", "a1/boot", "-C", "1", "-W", "10"],
            capture_output=True,
            timeout=60,
        ).stdout.decode()
        assert f'"tls":{8883 + up.offset}' in listed
        assert f'"ws":{8083 + up.offset}' in listed
        who = ["-i", "tls-1", "-u", up.app, "-P", up.demo["claim_secret"], "-q", "1"]
        where = ["-h", "localhost", "-p", str(8883 + up.offset), "--cafile", str(authority.file)]
        done = subprocess.run(
            ["mosquitto_pub", *where, *who, "-t", "a1/me/u/value/t", "-m", "1"], capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        over_websocket(up)
        records = up.value("logs", "query", "--app", "demo", "values")["items"]
        assert {record["endpoint"] for record in records} == {"tls-1", "ws-1"}


def over_websocket(up: AkelaUp) -> None:
    """One reading at QoS 1, acknowledged."""
    stored = threading.Event()
    client: Any = paho.Client(CallbackAPIVersion.VERSION2, "ws-1", transport="websockets", protocol=paho.MQTTv5)
    client.username_pw_set(up.app, up.demo["claim_secret"])
    client.on_connect = lambda *_: client.publish("a1/me/u/value/t", "2", qos=1)
    client.on_publish = lambda *_: stored.set()
    client.connect_async("127.0.0.1", 8083 + up.offset)
    client.loop_start()
    assert stored.wait(WAIT_S)
    client.disconnect()
    client.loop_stop()
