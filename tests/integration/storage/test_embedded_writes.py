"""What one command writes into the embedded database is one transaction: a batch waits for the disk once, and is written whole or not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from akela.embedded_database import WritesTogether

COUNT = 100


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[WritesTogether]:
    made = WritesTogether(str(tmp_path / "akela.db"), journal_mode="WAL", single_db_compat=True)
    yield made
    made.close_all()


def asked(handler: WritesTogether, **command: Any) -> dict[str, Any]:
    message = {"request_id": 1, "sections": [("body", {**command, "$db": "akela"})]}
    serve = handler.handle_insert if "insert" in command else handler.handle_command
    return serve(message)[1]


def stored(handler: WritesTogether) -> list[dict[str, Any]]:
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
