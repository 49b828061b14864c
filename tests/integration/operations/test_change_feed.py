"""Operations servers follow the change log, whatever becomes of the events that tell them of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from akela.documents import changelog, model, retention, upgrades
from akela.documents.changelog import ChangeLog, Draft
from akela.lifecycle import Stopper
from akela.link import ServerLink
from control.secrets import digest
from operations import changes
from operations.server import OperationsServer
from operations.settings import OperationsSettings
from tests import mqtt
from tests.akela_up import Subscriber
from tests.database import Database
from tests.mqtt import Wire
from tests.ports import free_offset

APP, CLAIM, TOKEN = "fleet222", "akc_claim", "akt_0a_text"
WAIT_S = 60.0
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
SCHEMA = {"type": "record", "name": "C", "fields": [{"name": "n", "type": "int", "default": 0}]}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ChangeLog]:
    """The leader's change log, with an application, its schema, and an operator's token."""
    with Database(tmp_path / "data") as database, contextlib.ExitStack() as stack:
        stack.callback(model.disconnect)
        yield filled(database)


def filled(database: Database) -> ChangeLog:
    """A leader's change log, with an application, its schema, and an operator's token."""
    model.connect(database.uri, "akela")
    model.ensure_indexes()
    made = ChangeLog(1)
    made.resume()
    write(made, "tenant", {"_id": "t", "name": "T"})
    claims = [{"id": "c1", "hash": digest(CLAIM)}]
    write(made, "application", {"_id": APP, "tenant": "t", "name": "fleet", "trust": "open", "claim_secrets": claims,
                                "default_stream": "values", "created": MOMENT})  # fmt: skip
    write(made, "schema", {"_id": f"{APP}/config/default/1", "app": APP, "tenant": "t", "kind": "config", "name": "default",
                           "version": 1, "fingerprint": "0" * 16, "body": SCHEMA, "created": MOMENT})  # fmt: skip
    write(made, "token", {"_id": "0a", "tenant": "t", "user": "op", "name": "op", "roles": ["tenant-viewer"], "hash": digest(TOKEN),
                          "created": MOMENT, "expires": None, "revoked": False})  # fmt: skip
    return made


def write(log: ChangeLog, kind: str, content: dict[str, Any]) -> int:
    """Make a document, or replace it."""
    found = model.find(kind, content["_id"])
    app = content["_id"] if kind == "application" else content.get("app")
    content = upgrades.upgraded({"format": 1} | content, kind)
    return log.write(
        Draft(
            kind,
            "put",
            content["_id"],
            content,
            None if found is None else found["rev"],
            "admin",
            "test",
            "t",
            app,
            before=found,
        )
    )


def configure(log: ChangeLog, n: int) -> int:
    """Set the layer of all; returns the change's number."""
    return write(log, "configuration", {"_id": f"{APP}/default/all:-", "app": APP, "tenant": "t", "name": "default", "scope": "all",
                                        "target": "-", "body": {"n": n}, "changed": MOMENT})  # fmt: skip


class Server:
    """A running Operations server, and a link to it as Control has one."""

    def __init__(self, settings: OperationsSettings) -> None:
        self.settings = settings
        self.server = OperationsServer(settings)
        self.link = ServerLink(
            "127.0.0.1", settings.listen_mqtt, client_id="control-1", user="$control", password="cluster secret"
        )

    @property
    def position(self) -> int:
        return self.server._feed.position

    def device(self, name: str) -> Subscriber:
        port = str(self.settings.listen_mqtt)
        return Subscriber(["-p", port, "-i", name, "-u", APP, "-P", CLAIM, "-q", "1"], "a1/me/d/#")

    def operator(self) -> Subscriber:
        return Subscriber(["-p", str(self.settings.listen_mqtt), "-u", "op", "-P", TOKEN], f"a1/{APP}/#")

    async def event(self, seq: int) -> None:
        await self.link.publish("$akela/control", json.dumps({"seq": seq}).encode())


@asynccontextmanager
async def serving(directory: Path, index: int, offset: int) -> AsyncIterator[Server]:
    started = Server(
        OperationsSettings(data=directory, index=index, port_offset=offset, cluster_secret="cluster secret")  # type: ignore[arg-type]
    )
    stopper = Stopper()
    task = asyncio.create_task(started.server.run(stopper))
    async with asyncio.timeout(WAIT_S):
        while started.server._registration is None:
            await asyncio.sleep(0.02)
    await started.link.connect()
    yield started
    await started.link.close()
    stopper.set()
    await task


@pytest.fixture(params=[1, 3])
async def servers(log: ChangeLog, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[list[Server]]:
    """One server, and several."""
    ports = tuple(port + 10 * index for port in (1883, 8083, 9101) for index in range(request.param))
    offset = free_offset(ports)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(serving(tmp_path / "data", index, offset)) for index in range(request.param)
        ]


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.02)


async def pushed(device: Subscriber) -> Any:
    return await asyncio.to_thread(device.json, "a1/me/d/config")


async def entered(subscriber: Subscriber) -> Subscriber:
    return await asyncio.to_thread(subscriber.__enter__)


@pytest.mark.parametrize(
    "events",
    [(3,), (1, 2, 3), (1, 1, 2, 2, 3, 3, 3), (3, 1, 2), (2, 3, 1, 2)],
    ids=["lost", "in order", "doubled", "reordered", "doubled and reordered"],
)
async def test_each_change_has_its_effect_once_whatever_becomes_of_its_event(
    log: ChangeLog, servers: list[Server], events: tuple[int, ...]
) -> None:
    devices = [await entered(server.device(f"d{number}")) for number, server in enumerate(servers)]
    for device in devices:
        await pushed(device)
    first = changelog.head_seq()
    for n in (1, 2, 3):
        await asyncio.to_thread(configure, log, n)
    for server in servers:
        for number in events:
            await server.event(first + number)
    for server, device in zip(servers, devices, strict=True):
        await until(lambda server=server: server.position == first + 3)
        last = await pushed(device)
        while last.get("full", last.get("delta")) != {"n": 3}:
            last = await pushed(device)
        assert last["seq"] == first + 3
    # One more change: what comes next is that one, so nothing was told twice.
    await asyncio.to_thread(configure, log, 4)
    for server, device in zip(servers, devices, strict=True):
        await server.event(first + 4)
        assert (await pushed(device))["seq"] == first + 4
        await asyncio.to_thread(device.__exit__, None, None, None)


async def test_a_server_that_hears_nothing_looks_by_itself(
    log: ChangeLog, servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "LOOK_EVERY_S", 0.1)
    await servers[0].event(1)  # it waits with the new time from now on
    seq = await asyncio.to_thread(configure, log, 7)
    await until(lambda: servers[0].position == seq)


async def test_a_change_that_is_still_being_written_holds_the_later_ones_back(
    log: ChangeLog, servers: list[Server]
) -> None:
    before = changelog.head_seq()
    seq = await asyncio.to_thread(configure, log, 1)
    model.Change.collection().update_one({"_id": seq}, {"$set": {"state": "pending"}})
    await asyncio.to_thread(configure, log, 2)
    for server in servers:
        await server.event(seq + 1)
    await asyncio.to_thread(log.resume)
    for server in servers:
        assert server.position == before
        await server.event(seq)
        await until(lambda server=server: server.position == seq + 1)


async def test_a_server_behind_the_cut_starts_over(log: ChangeLog, servers: list[Server]) -> None:
    server = servers[0]
    kept, gone = await entered(server.device("kept")), await entered(server.device("gone"))
    operator = await entered(server.operator())
    for device in (kept, gone):
        await pushed(device)
    await until(lambda: model.find("endpoint", f"{APP}/gone") is not None)
    endpoint = model.find("endpoint", f"{APP}/gone")
    token = model.find("token", "0a")
    assert endpoint is not None
    assert token is not None
    await asyncio.to_thread(write, log, "endpoint", {**endpoint, "revoked": True})
    await asyncio.to_thread(write, log, "token", {**token, "revoked": True})
    seq = await asyncio.to_thread(configure, log, 9)
    later = datetime.now(UTC) + timedelta(days=1)
    assert retention.cut(log, [], keep=timedelta(0), now=later, newest=0) > 0
    await server.event(seq)
    last = await pushed(kept)
    assert (last.get("full", last.get("delta")), last["seq"]) == ({"n": 9}, seq)
    assert server.position == seq
    for ended in (gone, operator):
        await asyncio.to_thread(ended._process.wait, WAIT_S)  # mosquitto_sub ends: the server has sent it away
    for subscriber in (kept, gone, operator):
        await asyncio.to_thread(subscriber.__exit__, None, None, None)
    following = await asyncio.to_thread(configure, log, 10)
    await server.event(following)
    await until(lambda: server.position == following)


async def test_an_operator_is_sent_away_when_its_api_token_expires(log: ChangeLog, tmp_path: Path) -> None:
    token = model.find("token", "0a")
    assert token is not None
    async with serving(tmp_path / "data", 0, free_offset((1883, 8083, 9101))) as server:
        expires = datetime.now(UTC) + timedelta(seconds=2)
        await asyncio.to_thread(write, log, "token", {**token, "expires": expires})
        port = server.settings.listen_mqtt
        wire = await Wire.connected(port, mqtt.connect("dashboard", username="op", password=TOKEN))
        await wire.closed()
        assert datetime.now(UTC) >= expires - timedelta(milliseconds=1)  # as exact as the database keeps times
        again = await Wire.open(port)
        again.send(mqtt.connect("dashboard", username="op", password=TOKEN))
        assert (await again.packet()).body[1] == 5
