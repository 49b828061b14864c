"""What one command writes into the embedded database is one transaction: a batch waits for the disk once, and is written whole or not.

Setting the same values in many documents is one statement, with the result that it has document by document.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from nx_27017.handler import NeoSQLiteHandler

from akela.embedded_database import WritesTogether
from akela.embedded_queries import bracketed

COUNT = 100


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[WritesTogether]:
    made = WritesTogether(str(tmp_path / "akela.db"), journal_mode="WAL", single_db_compat=True)
    yield made
    made.close_all()


def asked(handler: NeoSQLiteHandler, **command: Any) -> dict[str, Any]:
    message = {"request_id": 1, "sections": [("body", {**command, "$db": "akela"})]}
    serve = handler.handle_insert if "insert" in command else handler.handle_command
    answer: dict[str, Any] = serve(message)[1]
    return answer


def stored(handler: NeoSQLiteHandler) -> list[dict[str, Any]]:
    found = asked(handler, find="things", filter={}, sort={"_id": 1})
    return list(found["cursor"]["firstBatch"])


def things(count: int, size: int = 1) -> list[dict[str, Any]]:
    return [{"_id": f"t-{number:04}", "body": "x" * size} for number in range(count)]


@pytest.mark.parametrize(
    "command",
    [
        {"update": "things", "updates": [{"q": {}, "u": {"$set": {"n": 1}}, "multi": True}]},
        {"update": "things", "updates": [{"q": {"_id": f"t-{n:04}"}, "u": {"$set": {"n": n}}} for n in range(COUNT)]},
        {"delete": "things", "deletes": [{"q": {"_id": f"t-{n:04}"}, "limit": 1} for n in range(COUNT)]},
        {"insert": "things", "documents": [{"_id": f"new-{n}"} for n in range(COUNT)]},
    ],
    ids=["one update of all", "an update for each", "a deletion for each", "insertions"],
)
def test_a_command_is_committed_once(handler: WritesTogether, command: dict[str, Any]) -> None:
    asked(handler, insert="things", documents=things(COUNT))
    begun: list[str] = []
    handler.conn.db.set_trace_callback(lambda sql: begun.append(sql) if sql.startswith(("BEGIN", "COMMIT")) else None)
    assert asked(handler, **command)["n"] == COUNT
    assert begun == ["BEGIN IMMEDIATE", "COMMIT"]


def test_an_item_that_is_refused_leaves_its_neighbours_written(handler: WritesTogether) -> None:
    asked(handler, insert="things", documents=things(2))
    answer = asked(handler, insert="things", documents=[{"_id": "a"}, {"_id": "t-0001"}, {"_id": "z"}], ordered=False)
    assert [error["code"] for error in answer["writeErrors"]] == [11000]
    assert [row["_id"] for row in stored(handler)] == ["a", "t-0000", "t-0001", "z"]


def test_a_disk_that_fills_up_leaves_nothing_of_the_command(handler: WritesTogether) -> None:
    asked(handler, insert="things", documents=things(2))
    pages = handler.conn.db.execute("PRAGMA page_count").fetchone()[0]
    handler.conn.db.execute(f"PRAGMA max_page_count = {pages + 4}")
    answer = asked(handler, insert="things", documents=[{"_id": f"n-{n}", "body": "x" * 3000} for n in range(COUNT)])
    handler.conn.db.execute("PRAGMA max_page_count = 1000000")
    assert (answer["ok"], "disk is full" in str(answer)) == (0, True), answer
    assert [row["_id"] for row in stored(handler)] == ["t-0000", "t-0001"]


AT: Final = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
SAME: Final = [
    {"presence": {"at": AT, "server": None}},
    {"config.applied": {"id": "a", "at": AT}, "config.refused": None, "config.deep.er": {"x": [1, {"y": True}]}},
    {"groups": ["a", "b"], "note": 'it\'s "quoted"', "count": 3, "none": None},
    {"body": {}, "list": []},
    {"flag": True, "share": 0.5},
]
OTHER: Final = [
    {"when": AT},
    {"raw": b"\x00\xff"},
    {"odd name": {"x": 1}},
    {"list.0": {"x": 1}},
]


NEWER: Final = [{"at.generation": {"$lte": "b"}}, {"at.generation": None}]  # is nothing newer stored


def updates_of(values: dict[str, Any], *, by: str) -> list[dict[str, Any]]:
    ids = ["t-0001", "t-0002", "absent"]
    if by == "one":
        return [{"q": {"_id": number}, "u": {"$set": values}} for number in ids]
    return [{"q": {"_id": {"$in": ids}}, "u": {"$set": values}, "multi": True}]


@pytest.mark.parametrize("by", ["one", "many"])
@pytest.mark.parametrize("values", [*SAME, *OTHER], ids=",".join)
def test_values_set_by_one_statement_are_stored_as_document_by_document(
    tmp_path: Path, values: dict[str, Any], by: str
) -> None:
    rows = []
    documents = [{"_id": f"t-{n:04}", "config": {"applied": {"id": "b"}}, "list": [0]} for n in range(4)]
    for name, kind in (("ours", WritesTogether), ("plain", NeoSQLiteHandler)):
        handler = kind(str(tmp_path / name), journal_mode="WAL", single_db_compat=True)
        asked(handler, insert="things", documents=documents)
        asked(handler, createIndexes="things", indexes=[{"key": {"note": 1}, "name": "note_1"}])
        answer = asked(handler, update="things", updates=updates_of(values, by=by))
        kept = handler.conn.db.execute("SELECT id, _id, json(data) FROM things").fetchall()
        by_index = asked(handler, find="things", filter={"note": 'it\'s "quoted"'})["cursor"]["firstBatch"]
        rows.append((answer["ok"], answer["n"], kept, by_index))
        handler.close_all()
    assert rows[0] == rows[1]
    assert rows[0][:2] == (1, 2)


@pytest.mark.parametrize("values", SAME, ids=",".join)
def test_the_same_values_for_many_are_one_statement(handler: WritesTogether, values: dict[str, Any]) -> None:
    asked(handler, insert="things", documents=things(COUNT))
    said: list[str] = []
    handler.conn.db.set_trace_callback(said.append)
    asked(handler, update="things", updates=updates_of(values, by="many"))
    assert [sql.split()[0] for sql in said] == ["BEGIN", "UPDATE", "COMMIT"]


@pytest.mark.parametrize(
    "update",
    [
        {"q": {"rev": 2}, "u": {"$set": {"x": {}}}},
        {"q": {"_id": {"$gt": "t-0000"}}, "u": {"$set": {"x": {}}}, "multi": True},
        {"q": {"_id": "t-0001"}, "u": {"$inc": {"rev": 1}}},
        {"q": {"_id": "t-0001"}, "u": {"$set": {"x": {}}, "$push": {"credentials": 1}}},
        {"q": {"_id": "new"}, "u": {"$set": {"x": {}}}, "upsert": True},
        {"q": {"_id": "t-0001"}, "u": {"_id": "t-0001", "whole": 1}},
        {"q": {"_id": "t-0001"}, "u": {"$set": {"credentials.$[c].used": {}}}, "arrayFilters": [{"c.id": "k"}]},
    ],
    ids=["no id", "range", "inc", "push", "upsert", "replace", "array filter"],
)
def test_any_other_update_is_done_as_ever(tmp_path: Path, update: dict[str, Any]) -> None:
    seen = []
    for name, kind in (("ours", WritesTogether), ("plain", NeoSQLiteHandler)):
        handler = kind(str(tmp_path / name), journal_mode="WAL", single_db_compat=True)
        asked(
            handler,
            insert="things",
            documents=[{"_id": f"t-{n:04}", "rev": n + 1, "body": 1, "credentials": [{"id": "k"}]} for n in range(3)],
        )
        asked(handler, update="things", updates=[update])
        seen.append(stored(handler))
        handler.close_all()
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("query", "change", "met"),
    [
        ({"_id": {"$in": ["t-0", "t-1", "t-2", "t-3", "t-4"]}, "$or": NEWER}, {"$set": {"at": {"server": "s"}}}, 4),
        ({"_id": "t-2", "$or": NEWER}, {"$set": {"at": {"server": "s"}}}, 0),
        ({"_id": {"$in": ["t-0", "t-1"]}}, {"$unset": {"at": "", "none.such": ""}}, 2),
        ({"_id": {"$in": ["t-0", "t-3"]}, "n": 3}, {"$set": {"n": 4, "x.y": {}}, "$unset": {"at.generation": ""}}, 1),
    ],
    ids=["where none is newer", "one is newer", "unset", "both"],
)
def test_a_condition_holds_for_each_of_many(
    tmp_path: Path, query: dict[str, Any], change: dict[str, Any], met: int
) -> None:
    kept = [{"generation": "a"}, {"generation": "b"}, {"generation": "c"}, {"server": None}, None]
    documents = [{"_id": f"t-{n}", "n": n} | ({} if at is None else {"at": at}) for n, at in enumerate(kept)]
    seen = []
    for name, kind in (("ours", WritesTogether), ("plain", NeoSQLiteHandler)):
        handler = kind(str(tmp_path / name), journal_mode="WAL", single_db_compat=True)
        asked(handler, insert="things", documents=documents)
        said: list[str] = []
        handler.conn.db.set_trace_callback(said.append)
        asking = query if kind is WritesTogether else bracketed(query)
        answer = asked(handler, update="things", updates=[{"q": asking, "u": change, "multi": True}])
        handler.conn.db.set_trace_callback(None)
        seen.append((answer["ok"], answer["n"], stored(handler)))
        assert kind is NeoSQLiteHandler or [sql.split()[0] for sql in said] == ["BEGIN", "UPDATE", "COMMIT"]
        handler.close_all()
    assert seen[0] == seen[1]
    assert seen[0][1] == met
