"""What happens between the read of an endpoint's document and its attach is not lost (docs/decisions/0056)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from akela.documents import model
from akela.documents.changelog import ChangeLog
from tests import mqtt
from tests.integration.operations.test_change_feed import APP, CLAIM, MOMENT, Server, serving, until, write
from tests.integration.operations.test_change_feed import log as log  # noqa: PLC0414  the fixture
from tests.mqtt import Wire
from tests.ports import free_offset

PROFILE = {"type": "record", "name": "P", "fields": [{"name": "model", "type": "string"}]}


class HeldReads:
    """Reads of endpoints' documents answer with what they found when they are let go."""

    def __init__(self, server: Server, patch: pytest.MonkeyPatch) -> None:
        self.reading, self.go = asyncio.Event(), asyncio.Event()
        self._find = server.server._store.find_endpoints
        patch.setattr(server.server._store, "find_endpoints", self._held)

    async def _held(self, ids: Sequence[str]) -> Sequence[Any]:
        found = await self._find(ids)
        self.reading.set()
        await self.go.wait()
        return found


@pytest.fixture
async def server(log: ChangeLog, tmp_path: Path) -> AsyncIterator[Server]:
    """A server with two groups, by owner and by profile, whose layers set n to 1 and 2."""
    write(log, "schema", {"_id": f"{APP}/profile/default/1", "app": APP, "tenant": "t", "kind": "profile", "name": "default",
                          "version": 1, "fingerprint": "0" * 16, "body": PROFILE, "created": MOMENT})  # fmt: skip
    asked = {"owned": 'owner == "jo"', "red": 'has(profile.model) && profile.model == "red"'}
    for weight, (name, filter_text) in enumerate(asked.items(), 1):
        write(log, "group", {"_id": f"{APP}/{name}", "app": APP, "tenant": "t", "name": name, "weight": weight, "filter": filter_text,
                             "created": MOMENT, "changed": MOMENT})  # fmt: skip
        write(log, "configuration", {"_id": f"{APP}/default/group:{name}", "app": APP, "tenant": "t", "name": "default", "scope": "group",
                                     "target": name, "body": {"n": weight}, "changed": MOMENT})  # fmt: skip
    async with serving(tmp_path / "data", 0, free_offset((1883, 8083, 9101))) as started:
        yield started


async def connected(server: Server) -> Wire:
    connecting = mqtt.connect("dev", username=APP, password=CLAIM)
    return await Wire.connected(server.settings.listen_mqtt, connecting)


async def configured(wire: Wire) -> bytes:
    assert await wire.subscribed(("a1/me/d/#", 1)) == [1]
    return (await wire.message()).payload


async def test_a_change_between_read_and_attach(
    log: ChangeLog, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (await connected(server)).drop()
    await until(lambda: (model.find("endpoint", f"{APP}/dev") or {}).get("presence", {}).get("server", "") is None)
    reads = HeldReads(server, monkeypatch)
    connecting = asyncio.create_task(connected(server))
    await reads.reading.wait()
    found = model.find("endpoint", f"{APP}/dev")
    assert found is not None
    seq = await asyncio.to_thread(write, log, "endpoint", {**found, "owner": "jo"})
    await server.event(seq)
    await until(lambda: server.position == seq)
    reads.go.set()
    assert b'"n":1' in await configured(await connecting)


async def test_an_endpoint_that_was_revoked_between_read_and_attach_is_sent_away(
    log: ChangeLog, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (await connected(server)).drop()
    await until(lambda: (model.find("endpoint", f"{APP}/dev") or {}).get("presence", {}).get("server", "") is None)
    reads = HeldReads(server, monkeypatch)
    wire = await Wire.open(server.settings.listen_mqtt)
    wire.send(mqtt.connect("dev", username=APP, password=CLAIM))
    await reads.reading.wait()
    found = model.find("endpoint", f"{APP}/dev")
    assert found is not None
    seq = await asyncio.to_thread(write, log, "endpoint", {**found, "revoked": True})
    await server.event(seq)
    await until(lambda: server.position == seq)
    reads.go.set()
    await wire.ended_quietly()


async def test_a_profile_that_the_connection_before_sent_between_read_and_attach(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await connected(server)
    reads = HeldReads(server, monkeypatch)
    connecting = asyncio.create_task(connected(server))
    await reads.reading.wait()
    await before.published("a1/me/u/profile", '{"model": "red"}')
    reads.go.set()
    assert b'"n":2' in await configured(await connecting)
