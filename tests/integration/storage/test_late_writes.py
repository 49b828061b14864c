"""The conditions under which a late write changes nothing, as the databases take them."""

from datetime import UTC, datetime
from typing import Any

from akela.documents.store import EndpointUpdate, OperationsStore
from tests.integration.storage.test_store import endpoint

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def presence(key: str, generation: str, by: str, server: str | None) -> EndpointUpdate:
    value = {"at": AT, "server": server, "generation": generation, "by": by}
    return EndpointUpdate(key, {"presence": value}, newest=generation)


async def stored(store: OperationsStore, *eps: str) -> dict[str, Any]:
    found = await store.find_endpoints([f"app2/{ep}" for ep in eps])
    return {document["ep"]: document for document in found}


async def test_presence_is_written_where_no_newer_one_is(store: OperationsStore) -> None:
    await store.register_endpoints([endpoint("new"), endpoint("older"), endpoint("same"), endpoint("newer")])
    before = [("older", "1-a"), ("same", "2-b"), ("newer", "3-a")]
    await store.write_endpoints([presence(f"app2/{ep}", generation, "a", "a") for ep, generation in before])
    eps = ("new", "older", "same", "newer", "none")
    await store.write_endpoints([presence(f"app2/{ep}", "2-b", "b", None) for ep in eps])  # one statement
    found = await stored(store, *eps)
    assert {ep: document["presence"]["generation"] for ep, document in found.items()} == {
        "new": "2-b",
        "older": "2-b",
        "same": "2-b",
        "newer": "3-a",
    }
    assert found["new"]["presence"] == {"at": AT, "server": None, "generation": "2-b", "by": "b"}
    # One endpoint by itself, beside others without a presence.
    await store.register_endpoints([endpoint("alone")])
    await store.write_endpoints([presence("app2/newer", "2-b", "b", None)])
    await store.write_endpoints([presence("app2/newer", "4-b", "b", "b")])
    found = await stored(store, "newer", "alone")
    assert found["newer"]["presence"]["generation"] == "4-b"
    assert "presence" not in found["alone"]


async def test_what_a_connection_brought_is_written_where_the_presence_is_of_its_server(store: OperationsStore) -> None:
    await store.register_endpoints([endpoint("mine"), endpoint("away"), endpoint("theirs"), endpoint("nobodys")])
    await store.write_endpoints(
        [
            presence("app2/mine", "1-a", "a", "a"),
            presence("app2/away", "1-a", "a", None),
            presence("app2/theirs", "2-b", "b", "b"),
        ]
    )
    eps = ("mine", "away", "theirs", "nobodys")
    fields = {"config.applied": {"id": "x", "at": AT}}
    assert await store.write_endpoints([EndpointUpdate(f"app2/{ep}", fields, by="a") for ep in eps]) == 1
    await store.write_endpoints([EndpointUpdate("app2/theirs", {"config.applied": {"id": "y"}}, ("rev",), by="a")])
    found = await stored(store, *eps)
    assert {ep for ep, document in found.items() if "config" in document} == {"mine", "away"}
    assert found["mine"]["config"] == {"applied": {"id": "x", "at": AT}}
    assert found["theirs"]["rev"] == 0
