"""One server holds ten thousand clients while each receives a message a second: none is lost, none is late for its round's end."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.akela_up import Lines
from tests.integration.broker.ten_thousand import raise_limit
from tests.mqtt import Wire, connect, publish

CLIENTS = 10_000
ROUNDS = 4
WINDOW = 500  # messages on their way to the server
CONFIG = """
listeners:
  default:
    bind: 127.0.0.1:0
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


class Process:
    """A process whose lines are read, and which is killed at the end."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines = Lines(self._process.stdout)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.lines.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def until(self, text: str) -> str:
        return self.lines.until(text)


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in reversed(started):
        process.end()


async def send_round(wire: Wire, number: int) -> None:
    """A message to each client, QoS 1; back when all are acknowledged."""
    for start in range(0, CLIENTS, WINDOW):
        wire.send(
            *(publish(f"d/{n}", json.dumps([number, n]), qos=1, packet_id=n + 1) for n in range(start, start + WINDOW))
        )
        for n in range(start, start + WINDOW):
            assert (await wire.packet()).body == (n + 1).to_bytes(2, "big")


async def test_each_of_ten_thousand_hears_a_message_a_second(tmp_path: Path, processes: list[Process]) -> None:
    raise_limit(CLIENTS + 200)  # the server inherits it
    file = tmp_path / "broker.yaml"
    file.write_text(CONFIG)
    server = Process("akela", "broker", "-c", str(file), "--admin-port", "0")
    processes.append(server)
    port = server.until("default: listening on").rpartition(":")[2]
    admin = next(line for line in server.lines.seen if "admin:" in line).rpartition(" ")[2].strip()
    crowd = Process("tests.integration.broker.ten_thousand", port, str(CLIENTS), str(ROUNDS))
    processes.append(crowd)
    await asyncio.to_thread(crowd.until, "ready")
    wire = await Wire.connected(int(port), connect("sender"))
    loop = asyncio.get_running_loop()
    for number in range(ROUNDS):
        next_s = loop.time() + 1.0
        await send_round(wire, number)
        heard = json.loads(await asyncio.to_thread(crowd.until, '"round"'))
        assert heard == {"round": number, "heard": CLIENTS}
        await asyncio.sleep(max(0.0, next_s - loop.time()))  # a message a second, not as many as go
    assert json.loads(await asyncio.to_thread(crowd.until, '"wrong"')) == {"wrong": [], "messages": CLIENTS * ROUNDS}
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"http://{admin}/metrics", timeout=60)).text
    assert "akela_mqtt_dropped_total 0.0" in metrics
    assert f"akela_mqtt_delivered_total {CLIENTS * ROUNDS:.1f}" in metrics
