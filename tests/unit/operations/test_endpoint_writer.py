"""What nobody waits for waits itself, and goes along with what somebody waits for; order and values stay."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from operations.endpoint_writer import EndpointWriter


class Stored:
    """Stored endpoints' fields, and each call that set some."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Mapping[str, Any]]] = []

    async def write_endpoints(self, updates: Sequence[tuple[str, Mapping[str, Any]]]) -> int:
        self.calls.append(dict(updates))
        return len(updates)


async def written(writer: EndpointWriter, key: str, fields: Mapping[str, Any]) -> bool:
    told = asyncio.get_running_loop().create_future()
    writer.set(key, fields, told.set_result)
    return bool(await told)


async def test_what_nobody_waits_for_goes_along_with_what_somebody_waits_for() -> None:
    stored = Stored()
    writer = EndpointWriter(stored)
    writer.set("a", {"config.assigned": 1, "config.sent": 1})
    writer.set("a", {"config.sent": 2})
    writer.set("b", {"config.assigned": 1})
    assert writer.waiting == 2
    assert await written(writer, "a", {"config.applied": 3})
    assert stored.calls == [{"a": {"config.assigned": 1, "config.sent": 2, "config.applied": 3}}]
    await writer.close(1)
    assert stored.calls[1:] == [{"b": {"config.assigned": 1}}]
    assert (writer.calls, writer.statements, writer.written, writer.waiting) == (2, 2, 2, 0)


async def test_what_nobody_waits_for_is_written_soon_and_in_one_call() -> None:
    stored = Stored()
    writer = EndpointWriter(stored)
    for number in range(1000):
        writer.set(f"e-{number}", {"presence": {"server": "s"}})
    while not stored.calls:
        await asyncio.sleep(0)
    assert [len(call) for call in stored.calls] == [1000]


async def test_an_older_value_never_follows_a_newer_one() -> None:
    stored = Stored()
    writer = EndpointWriter(stored)
    writer.set("a", {"presence": 1})
    await written(writer, "a", {"presence": 2})
    writer.set("a", {"presence": 3})
    await writer.close(1)
    assert [call["a"]["presence"] for call in stored.calls] == [2, 3]
