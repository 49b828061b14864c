"""An endpoint between two Operations servers: the newer connection counts, whatever comes late from the older one."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from akela.documents import model
from akela.documents.changelog import ChangeLog
from akela.lifecycle import Stopper
from akela.link import ServerLink
from operations import takeovers
from operations.server import OperationsServer
from operations.settings import OperationsSettings
from tests import mqtt
from tests.database import Database
from tests.held_back import HeldBack
from tests.integration.operations import test_change_feed as feed
from tests.mqtt import Wire
from tests.ports import free_offset

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 20.0
SECRET = "cluster secret"
PORTS = tuple(port + 10 * index for port in (1883, 8083, 9101) for index in range(2))


@dataclass
class Pair:
    """Two servers; what the first writes of endpoints can be held back."""

    log: ChangeLog
    first: OperationsServer
    second: OperationsServer
    held_back: HeldBack
    port: int
    ep: str = field(default_factory=lambda: f"e{secrets.token_hex(4)}")

    async def device(self, server: int, ep: str | None = None) -> Wire:
        """The endpoint, connected to a server and subscribed."""
        connecting = mqtt.connect(ep or self.ep, username=feed.APP, password=feed.CLAIM)
        wire = await Wire.connected(self.port + 10 * server, connecting)
        assert await wire.subscribed(("a1/me/d/#", 1)) == [1]
        return wire

    async def operator(self, server: int) -> Wire:
        """One who sees what a server says of the endpoint."""
        connecting = mqtt.connect(secrets.token_hex(4), username="op", password=feed.TOKEN)
        wire = await Wire.connected(self.port + 10 * server, connecting)
        await wire.subscribed((f"a1/{feed.APP}/{self.ep}/o/#", 0))
        return wire

    async def configure(self, n: int) -> None:
        """Set the layer of all; return when both servers know."""
        seq = await asyncio.to_thread(feed.configure, self.log, n)
        for server, place in ((self.first, 0), (self.second, 1)):
            link = ServerLink(
                "127.0.0.1", self.port + 10 * place, client_id="control-1", user="$control", password=SECRET
            )
            await link.connect()
            await link.publish("$akela/control", json.dumps({"seq": seq}).encode())
            await until(lambda server=server: server._feed.position == seq)
            await link.close()

    async def stored(self) -> Any:
        """The stored endpoint."""
        return await asyncio.to_thread(model.find, "endpoint", f"{feed.APP}/{self.ep}")

    async def until_written(self) -> None:
        """Both servers have written what they know."""
        await until(lambda: not (self.first._writer.waiting or self.second._writer.waiting))


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def pushed(wire: Wire) -> Any:
    """The configuration that the next message brings; its delivery is acknowledged."""
    message = await wire.message()
    assert message.topic == "a1/me/d/config", message
    wire.send(mqtt.puback(message.packet_id))
    return json.loads(message.payload)


async def said(operator: Wire, what: str) -> Any:
    """The next that a server says of the kind `what`."""
    while not (message := await operator.message()).topic.endswith(f"/o/{what}"):
        pass
    return json.loads(message.payload)


def report(number: str) -> bytes:
    body = json.dumps({"id": number, "code": 200})
    return mqtt.publish("a1/me/u/config/applied", body, qos=1, packet_id=77)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, ChangeLog]]:
    """Data directory, socket, and the change log of an application with a schema."""
    directory = tmp_path_factory.mktemp("pair")
    with Database(directory / "data") as started, ExitStack() as stack:
        stack.callback(model.disconnect)
        yield directory, started.directory.database_socket, feed.filled(started)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(database: tuple[Path, Path, ChangeLog]) -> AsyncIterator[Pair]:
    """The servers, listed and aware of each other."""
    directory, socket, log = database
    offset = free_offset(PORTS)
    stopper = Stopper()
    async with HeldBack(socket, directory / "db.sock") as held_back:
        made = [
            OperationsServer(
                OperationsSettings(
                    data=directory / "data", index=index, port_offset=offset, cluster_secret=SECRET, mongodb_url=url  # type: ignore[arg-type]
                )
            )
            for index, url in enumerate((held_back.uri, None))
        ]  # fmt: skip
        tasks = [asyncio.create_task(server.run(stopper)) for server in made]
        pair = Pair(log, made[0], made[1], held_back, 1883 + offset)
        await until(lambda: made[0]._peers.present("operations-1") and made[1]._peers.present("operations-0"))
        yield pair
        held_back.let_go()
        stopper.set()
        await asyncio.gather(*tasks)


@pytest_asyncio.fixture(loop_scope="module")
async def pair(running: Pair) -> Pair:
    """The servers, with an endpoint of its own for each test."""
    await running.configure(0)
    return Pair(running.log, running.first, running.second, running.held_back, running.port)


async def test_an_endpoint_that_attaches_elsewhere_is_detached_from_the_old_server(pair: Pair) -> None:
    operator = await pair.operator(0)
    old = await pair.device(0)
    first = await said(operator, "attached")
    await pair.until_written()
    received = pair.first._peers.counts.received
    new = await pair.device(1)
    await old.ended_quietly()
    assert await said(operator, "detached") == {
        "cause": "elsewhere",
        "server": "operations-1",
        "generation": first["generation"],
    }
    await pair.until_written()
    presence = (await pair.stored())["presence"]
    assert (presence["server"], presence["by"]) == ("operations-1", "operations-1")
    assert presence["generation"] > first["generation"]
    assert pair.first._peers.counts.received == received + 1
    await pushed(new)
    await new.quiet()  # it is not detached again by what the old server does
    new.drop()
    operator.drop()


async def test_writes_that_were_held_back_change_nothing_of_a_newer_connections(pair: Pair) -> None:
    """Had they their way, the endpoint would be told nothing when it should go back to what the old server saw it apply."""
    old = await pair.device(0)
    older = await pushed(old)
    await pair.until_written()
    pair.held_back.hold()
    old.send(report(older["id"]))
    await until(lambda: pair.first._writer.waiting)
    old.drop()
    await until(lambda: pair.first._attached.find(feed.APP, pair.ep) is None)
    await pair.configure(1)
    new = await pair.device(1)
    newer = await pushed(new)
    assert newer["full"] == {"n": 1}  # in full: what it had applied is not known here
    new.send(report(newer["id"]))
    assert await new.packet() == (0x40, b"\x00\x4d")
    written = await pair.stored()
    assert (written["presence"]["server"], written["config"]["applied"]["id"]) == ("operations-1", newer["id"])
    pair.held_back.let_go()
    await pair.until_written()
    assert await pair.stored() == written
    new.drop()
    await until(lambda: pair.second._attached.find(feed.APP, pair.ep) is None)
    await pair.configure(0)
    back = await pair.device(0)
    assert (await pushed(back))["id"] == older["id"]
    back.drop()


async def test_an_endpoint_that_moves_in_the_middle_of_a_push_gets_it_from_the_new_server(pair: Pair) -> None:
    old = await pair.device(0)
    await old.message()  # a configuration that it never acknowledges
    await pair.until_written()
    new = await pair.device(1)
    sent = await pushed(new)
    new.send(report(sent["id"]))
    assert await new.packet() == (0x40, b"\x00\x4d")
    await old.ended_quietly()
    await pair.until_written()
    ledger = (await pair.stored())["config"]
    assert {ledger[state]["id"] for state in ("assigned", "sent", "delivered", "applied")} == {sent["id"]}
    # It moves again and says what it holds: nothing is sent.
    again = await Wire.connected(pair.port, mqtt.connect(pair.ep, username=feed.APP, password=feed.CLAIM))
    await again.published("a1/me/u/hello", json.dumps({"config": sent["id"]}))
    await again.subscribed(("a1/me/d/#", 1))
    await again.quiet()
    await new.ended_quietly()
    again.drop()


async def test_a_server_that_was_not_told_finds_out_by_itself(pair: Pair) -> None:
    """The new server cannot know of the old one: its presence was held back."""
    known = await pair.device(0)
    await pushed(known)
    await known.leave()
    await pair.until_written()
    pair.held_back.hold()
    old = await pair.device(0)
    await pushed(old)
    attached = pair.first._attached.find(feed.APP, pair.ep)
    assert attached is not None
    new = await pair.device(1)
    await pushed(new)
    await until(lambda: not pair.second._writer.waiting)
    pair.held_back.let_go()
    await pair.until_written()
    assert (await pair.stored())["presence"]["server"] == "operations-1"
    await old.quiet()
    await pair.first._takeovers.look({attached.key: attached})
    await old.ended_quietly()
    assert attached.moved_to == "operations-1"
    await new.quiet()
    new.drop()


async def test_a_word_that_comes_late_ends_no_newer_connection(pair: Pair) -> None:
    wire = await pair.device(0)
    await pushed(wire)
    endpoint = pair.first._attached.find(feed.APP, pair.ep)
    assert endpoint is not None
    taken = pair.first._peers.counts.received
    body = {"kind": takeovers.KIND, "app": feed.APP, "ep": pair.ep}
    for generation in (endpoint.generation, "0000000000000001-operations-1", ""):
        assert pair.second._peers.send("operations-0", body | {"generation": generation})
    await until(lambda: pair.first._peers.counts.received == taken + 3)
    await wire.quiet()
    wire.drop()


async def test_what_another_server_sends_is_read_one_by_one(pair: Pair) -> None:
    heard: list[tuple[str, Any]] = []
    kind = f"test-{pair.ep}"
    pair.first._peers.on(kind, lambda sender, message: heard.append((sender, message["n"])))
    counts = pair.first._peers.counts
    received, unknown = counts.received, counts.unknown
    link = ServerLink("127.0.0.1", pair.port, client_id="peer-x", user="$operations", password=SECRET)
    await link.connect()
    for payload in (b"no JSON", b"[]", b"{}", b'{"from": 1, "messages": []}', b'{"from": "x", "messages": [1]}'):
        await link.publish("$akela/peer", payload)
    assert counts.received == received
    messages: list[dict[str, Any]] = [{"kind": "?"}, {}, {"kind": ["x"]}, {"kind": kind}, {"kind": kind, "n": 7}]
    await link.publish("$akela/peer", json.dumps({"from": "x", "messages": messages}).encode())
    await link.close()
    assert heard == [("x", 7)]
    assert (counts.received, counts.unknown) == (received + 5, unknown + 4)


async def test_only_operations_servers_speak_at_the_topic_of_peers(pair: Pair) -> None:
    device = await pair.device(0)
    await pushed(device)
    received = pair.first._peers.counts.received
    message = {"kind": takeovers.KIND, "app": feed.APP, "ep": pair.ep, "generation": "f" * 16}
    body = json.dumps({"from": "x", "messages": [message]})
    operator = await pair.operator(0)
    control = await Wire.connected(pair.port, mqtt.connect("c", username="$control", password=SECRET))
    for wire in (operator, control):
        wire.send(mqtt.publish("$akela/peer", body))
        assert await wire.subscribed(("$akela/#", 0), ("$akela/peer", 0)) == [0x80, 0x80]
        wire.drop()
    other = await pair.device(0, f"{pair.ep}-other")
    await pushed(other)
    other.send(mqtt.publish("$akela/peer", body, qos=1, packet_id=5))
    assert (await other.message()).topic == "a1/me/d/err/403"
    other.drop()
    await device.quiet()
    assert pair.first._peers.counts.received == received
    device.drop()
