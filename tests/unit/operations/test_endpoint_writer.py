"""What is set with patience goes along with the endpoint's next write, or alone after a while; order and values stay."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from akela.documents.store import EndpointUpdate
from operations.endpoint_writer import EndpointWriter


class Stored:
    """Stored endpoints' fields, and each call that set some."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Mapping[str, Any]]] = []

    async def write_endpoints(self, updates: Sequence[EndpointUpdate]) -> int:
        self.calls.append({update.key: update.fields for update in updates})
        return len(updates)


async def written(writer: EndpointWriter, key: str, fields: Mapping[str, Any]) -> bool:
    told = asyncio.get_running_loop().create_future()
    writer.set(key, fields, told.set_result)
    return bool(await told)


async def test_what_is_set_with_patience_goes_along_with_the_next_write() -> None:
    stored = Stored()
    writer = EndpointWriter(stored, "a")
    writer.set("a", {"config.assigned": 1, "config.sent": 1}, patient=True)
    writer.set("a", {"config.sent": 2}, patient=True)
    writer.set("b", {"config.assigned": 1}, patient=True)
    assert writer.waiting == 2
    assert await written(writer, "a", {"config.applied": 3})
    assert stored.calls == [{"a": {"config.assigned": 1, "config.sent": 2, "config.applied": 3}}]
    await writer.close(1)
    assert stored.calls[1:] == [{"b": {"config.assigned": 1}}]
    assert (writer.calls, writer.statements, writer.written, writer.waiting) == (2, 2, 2, 0)


async def test_patience_has_an_end_and_then_all_go_in_one_call() -> None:
    stored = Stored()
    writer = EndpointWriter(stored, "a")
    for number in range(1000):
        writer.set(f"e-{number}", {"config.sent": {"id": "x"}}, patient=True)
    while not stored.calls:
        await asyncio.sleep(0)
    assert [len(call) for call in stored.calls] == [1000]


async def test_an_older_value_never_follows_a_newer_one() -> None:
    stored = Stored()
    writer = EndpointWriter(stored, "a")
    writer.set("a", {"config.sent": 1}, patient=True)
    writer.set("a", {"config.sent": 2})
    writer.set("a", {"config.sent": 3}, patient=True)
    await writer.close(1)
    assert [call["a"]["config.sent"] for call in stored.calls] in ([2, 3], [3])
    assert writer.waiting == 0
