"""More clients than the usual limit of open files, and one more than the system allows."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.akela_up import Lines
from tests.mqtt import Wire, connect
from tests.ports import free_port

CONFIG = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where a broker listens that may open 400 files, 120 before it asks for more."""
    port = free_port()
    file = tmp_path / "broker.yaml"
    file.write_text(CONFIG.format(port=port))
    limited = f"ulimit -Sn 120; ulimit -Hn 400; exec {sys.executable} -m akela broker --admin-port 0 -c {file}"
    process = subprocess.Popen(["sh", "-c", limited], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = Lines(process.stdout)
    try:
        assert "connections=300" in lines.until("as the system allows no more open files")
        lines.until("default: listening on")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        lines.join()
        assert process.stdout is not None
        process.stdout.close()


async def test_a_server_takes_as_many_clients_as_the_system_allows_and_closes_the_rest(port: int) -> None:
    wires = [await Wire.connected(port, connect(f"c{number}")) for number in range(300)]
    one_more = await Wire.open(port)
    one_more.send(connect("one-more"))
    await one_more.ended_quietly()
    await asyncio.gather(*(wire.quiet() for wire in wires))
    await wires.pop().leave()
    await (await Wire.connected(port, connect("in-its-place"))).quiet()
