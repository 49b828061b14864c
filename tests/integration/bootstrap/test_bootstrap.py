"""A Bootstrap server, started as a process on embedded coordination; the test plays the Operations servers."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from akela.contract.bootlist import ServerList, key_id, verify
from akela.coordination import Coordination, Role, open_coordination
from bootstrap.keys import load_or_make
from tests.mqtt import Wire, connect, publish, subscribe
from tests.ports import free_port


class Bootstrap:
    """The running server and the coordination that it watches."""

    def __init__(self, directory: Path, coordination: Coordination) -> None:
        self.directory = directory
        self.coordination = coordination
        self.port, self.admin = free_port(), free_port()

    def start(self) -> subprocess.Popen[bytes]:
        where = ["--data", str(self.directory), "--boot-port", str(self.port), "--boot-admin-port", str(self.admin)]
        return subprocess.Popen([sys.executable, "-m", "akela", "run", "bootstrap", *where])

    async def until_ready(self) -> None:
        async with asyncio.timeout(20), httpx.AsyncClient() as http:
            while True:
                try:
                    if (await http.get(f"http://127.0.0.1:{self.admin}/readyz")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.05)

    async def client(self, name: str = "c", **options: Any) -> Wire:
        return await Wire.connected(self.port, connect(name, **options))

    def verified(self, payload: bytes, nonce: str | None = None) -> ServerList:
        key = load_or_make(self.directory / "secrets" / "bootstrap.pem").public_key()
        return verify(payload, {key_id(key): key}, now_s=time.time(), nonce=nonce)


@pytest.fixture
async def bootstrap(tmp_path: Path) -> AsyncIterator[Bootstrap]:
    directory = tmp_path / "data"
    (directory / "run").mkdir(parents=True)
    (directory / "secrets").mkdir()
    coordination = open_coordination(zookeeper=None, directory=directory, cluster="akela")
    await coordination.connect(10)
    server = Bootstrap(directory, coordination)
    process = server.start()
    await server.until_ready()
    yield server
    process.terminate()
    assert process.wait(10) == 0
    await coordination.close()


def announced(port: int, **more: Any) -> dict[str, Any]:
    return {"mqtt": {"host": "h", "port": port}, "load": {"connections": 0}} | more


async def test_the_list_follows_the_servers(bootstrap: Bootstrap) -> None:
    device = await bootstrap.client()
    await device.subscribed(("a1/boot", 1))
    first = await device.message()
    assert (first.topic, first.retain) == ("a1/boot", True)
    assert bootstrap.verified(first.payload).servers == ()
    one = await bootstrap.coordination.register(Role.OPERATIONS, "o1", announced(1))
    assert [s.port for s in bootstrap.verified((await device.message()).payload).servers] == [1]
    two = await bootstrap.coordination.register(Role.OPERATIONS, "o2", announced(2))
    assert [s.port for s in bootstrap.verified((await device.message()).payload).servers] == [1, 2]
    await one.update(announced(1, draining=True))
    assert [s.port for s in bootstrap.verified((await device.message()).payload).servers] == [2]
    await two.withdraw()
    assert bootstrap.verified((await device.message()).payload).servers == ()


async def test_the_fuller_server_weighs_less(bootstrap: Bootstrap) -> None:
    await bootstrap.coordination.register(Role.OPERATIONS, "o1", announced(1, load={"connections": 99}))
    await bootstrap.coordination.register(Role.OPERATIONS, "o2", announced(2, load={"connections": 9}))
    device = await bootstrap.client()
    device.send(subscribe(("a1/boot/n/re", 0)))
    assert (await device.packet()).first == 0x90
    weights: dict[int, int] = {}
    while len(weights) < 2:  # coordination is watched, not asked
        device.send(publish("a1/boot/n"))
        listed = bootstrap.verified((await device.message()).payload, nonce="n")
        weights = {server.port: server.weight for server in listed.servers}
    assert weights == {1: 10, 2: 100}


async def test_a_nonce_is_inside_what_is_signed(bootstrap: Bootstrap) -> None:
    device = await bootstrap.client()
    await device.subscribed(("a1/boot/n-1/re", 1))
    device.send(publish("a1/boot/n-1", qos=1))
    answer, acknowledged = await device.message(), await device.packet()
    assert acknowledged.first == 0x40
    assert json.loads(answer.payload)["nonce"] == "n-1"
    assert bootstrap.verified(answer.payload, nonce="n-1")


async def test_nothing_else_is_reachable(bootstrap: Bootstrap) -> None:
    device, other = await bootstrap.client("same"), await bootstrap.client("same")
    filters = ("#", "a1/#", "a1/+", "a1/boot/#", "a1/boot/+/re", "$SYS/#", "a1/boot/n", "a1/me/d/#", "$akela/control")
    for topic_filter in filters:
        assert await device.subscribed((topic_filter, 0)) == [0x80], topic_filter
    await other.subscribed(("a1/boot/n/re", 0))
    for topic in ("a1/boot", "a1/boot/n/re", "a1/x/y/u", "$SYS/x", "a1/boot/b d"):
        device.send(publish(topic, "forged", qos=1, retain=True))
        assert (await device.packet()).first == 0x40
    await other.quiet()
    await device.quiet()  # and the same client id threw out nobody


async def test_a_will_is_refused(bootstrap: Bootstrap) -> None:
    wire = await Wire.open(bootstrap.port)
    wire.send(connect(will=("a1/boot/n/re", "forged", 0, True)))
    assert await wire.packet() == (0x20, b"\x00\x05")


async def test_the_key_stays_over_a_restart(tmp_path: Path) -> None:
    assert load_or_make(tmp_path / "k").private_bytes_raw() == load_or_make(tmp_path / "k").private_bytes_raw()
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
