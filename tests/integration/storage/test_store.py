"""What Akela asks of its database, each query as it is used: the embedded one must answer as MongoDB does."""

import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from akela.documents import model, records
from akela.documents.model import Configuration, Endpoint, User
from akela.documents.store import OperationsStore, StoreError
from tests.database import Database

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def endpoint(ep: str, app: str = "app2", **more: Any) -> dict[str, Any]:
    key = f"{app}/{ep}"
    return {
        "_id": key,
        "app": app,
        "ep": ep,
        "tenant": "t",
        "registered_at": NOW,
        "how": "claim",
        "format": 1,
        "rev": 0,
    } | more


async def test_endpoints_are_registered_once_and_found_in_one_query(store: OperationsStore) -> None:
    await store.register_endpoints([endpoint("a"), endpoint("b")])
    await store.register_endpoints([endpoint("b", how="again"), endpoint("c")])
    found = await store.find_endpoints(["app2/a", "app2/b", "app2/c", "app2/none"])
    assert {(doc["ep"], doc["how"]) for doc in found} == {("a", "claim"), ("b", "claim"), ("c", "claim")}


async def test_fields_are_set_in_groups_and_unknown_endpoints_passed_over(store: OperationsStore) -> None:
    await store.register_endpoints([endpoint(str(n)) for n in range(50)])
    at = NOW + timedelta(seconds=1.5)
    same = {"presence": {"at": at, "server": "s1"}, "config.applied": {"id": "x", "at": at}}
    updates: Sequence[tuple[str, Any]] = [
        *((f"app2/{n}", same) for n in range(49)),
        ("app2/49", {"profile": {"a": [1, None]}}),
        ("app2/none", same),
    ]
    await store.write_endpoints(updates)
    found = {doc["ep"]: doc for doc in await store.find_endpoints([f"app2/{n}" for n in range(50)] + ["app2/none"])}
    assert len(found) == 50
    assert found["7"]["presence"] == {"at": at, "server": "s1"}
    assert found["7"]["config"]["applied"] == {"id": "x", "at": at}
    assert found["49"]["profile"] == {"a": [1, None]}
    assert "presence" not in found["49"]


def record(number: str, ep: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"_id": number, "n": number, "ep": ep, "at": NOW, "body": body}


async def test_records_are_kept_once_and_read_newest_first(store: OperationsStore) -> None:
    await store.ensure_record_indexes("app2", "Readings")
    docs = [record(f"{records.id_at(NOW + timedelta(seconds=n))}-{n}", "ab"[n % 2], {"v": n}) for n in range(10)]
    await store.insert_records("app2", "Readings", docs[:6])
    await store.insert_records("app2", "Readings", docs[4:])  # a batch that is repeated in part
    page = records.query("app2", "Readings", endpoint=None, since=None, until=None, before=None, limit=4)
    assert [doc["body"]["v"] for doc in page] == [9, 8, 7, 6]
    page = records.query("app2", "Readings", endpoint=None, since=None, until=None, before=page[-1]["_id"], limit=100)
    assert [doc["body"]["v"] for doc in page] == [5, 4, 3, 2, 1, 0]
    mine = records.query(
        "app2", "Readings", endpoint="a", since=NOW + timedelta(seconds=3), until=NOW + timedelta(seconds=8), before=None, limit=10
    )  # fmt: skip
    assert [doc["body"]["v"] for doc in mine] == [6, 4]
    assert records.query("app2", "readings", endpoint=None, since=None, until=None, before=None, limit=1) == []


STRANGE: dict[str, Any] = {
    "$set": 1, "a.b": 2, "": 3, "deep": {"$x": [None, True, 2**62, -1.5, "ä\U0001f600"]}, "_id": "mine", "__proto__": {}, "n": 0,
}  # fmt: skip


async def test_any_json_is_stored_as_it_is(store: OperationsStore) -> None:
    await store.insert_records("app2", "s", [record("1", "e", STRANGE)])
    assert records.query("app2", "s", endpoint=None, since=None, until=None, before=None, limit=1)[0]["body"] == STRANGE
    Configuration.collection().insert_one({"_id": "c", "body": STRANGE})
    Configuration.collection().update_one({"_id": "c"}, {"$set": {"body": {"other": STRANGE}}})
    assert Configuration.collection().find_one({"_id": "c"}) == {"_id": "c", "body": {"other": STRANGE}}


async def test_large_numbers_come_back_as_plain_ones(store: OperationsStore) -> None:
    await store.insert_records("app2", "s", [record("1", "e", {"n": 2**53, "in": [3_000_000_000]})])
    body = records.query("app2", "s", endpoint=None, since=None, until=None, before=None, limit=1)[0]["body"]
    assert (type(body["n"]), type(body["in"][0])) == (int, int)
    await store.register_endpoints([endpoint("a", profile={"n": 2**40})])
    (found,) = await store.find_endpoints(["app2/a"])
    assert type(found["profile"]["n"]) is int


async def test_unique_names_are_unique(store: OperationsStore) -> None:
    await store.register_endpoints([endpoint("a")])
    await store.register_endpoints([endpoint("a") | {"_id": "other"}])
    assert Endpoint.collection().count_documents({}) == 1


async def test_pages_are_sorted_and_bounded(store: OperationsStore) -> None:
    await store.register_endpoints([endpoint(f"e{n:03}") for n in range(120)] + [endpoint("x", app="zzzz")])
    page = [doc["ep"] for doc in model.query("endpoint", {"app": "app2", "ep": {"$gt": "e009"}}, sort="ep", limit=3)]
    assert page == ["e010", "e011", "e012"]
    last = [doc["ep"] for doc in model.query("endpoint", {"app": "app2"}, sort="ep", descending=True, limit=2)]
    assert last == ["e119", "e118"]


async def test_a_document_of_another_format_is_refused(store: OperationsStore) -> None:
    User.collection().insert_one({"_id": "u", "format": 99})
    with pytest.raises(model.DocumentError, match="format 99; this build reads 1 to 2"):
        model.find("user", "u")


async def test_an_acknowledged_write_outlives_the_process(tmp_path: Path) -> None:
    database = Database(tmp_path / "data")
    with database:
        store = OperationsStore()
        store.connect(database.uri, "akela")
        await store.register_endpoints([endpoint(str(n)) for n in range(500)])
        database.stop(signal.SIGKILL)
        with pytest.raises(StoreError):
            await store.find_endpoints(["app2/1"])
        database.start()
        assert len(await store.find_endpoints([f"app2/{n}" for n in range(500)])) == 500
        await store.close()


def test_nobody_else_may_reach_the_embedded_database(tmp_path: Path) -> None:
    with Database(tmp_path / "data") as database:
        assert database.directory.database_socket.parent.stat().st_mode & 0o777 == 0o700
