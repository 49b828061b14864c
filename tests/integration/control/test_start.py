"""A Control server that starts on a database that is not as it should be."""

import os
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest

from tests.database import Database
from tests.ports import free_offset

PORTS = (8080, 9103)


def started(database: Database, directory: Path) -> subprocess.CompletedProcess[str]:
    """`akela run control` on the database; it is expected to end by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AKELA_")}
    where = ["--data", str(directory), "--mongodb-url", database.uri, "--port-offset", str(free_offset(PORTS))]
    command = [sys.executable, "-m", "akela", "run", "control", *where, "--cluster-secret", "secret"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize(("collection", "first", "second"), [("groups", "app", "weight"), ("users", "tenant", "name")])
def test_an_index_that_is_not_as_declared_ends_the_start(
    tmp_path: Path, collection: str, first: str, second: str
) -> None:
    with Database(tmp_path / "data") as database:
        pymongo.MongoClient[dict[str, object]](database.uri)["akela"][collection].create_index(
            [(first, 1), (second, 1)]
        )
        ended = started(database, tmp_path / "control")
    assert ended.returncode == 1
    assert f"there is an index ({first}, {second}) where ({first}, {second}) unique is declared" in ended.stderr
    assert "drop it and start again" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_documents_that_break_a_unique_index_end_the_start(tmp_path: Path) -> None:
    with Database(tmp_path / "data") as database:
        groups = pymongo.MongoClient[dict[str, object]](database.uri)["akela"]["groups"]
        groups.insert_many([{"_id": str(number), "app": "a", "name": "same", "weight": number} for number in range(2)])
        ended = started(database, tmp_path / "control")
    assert ended.returncode == 1
    assert "collection groups: index (app, name) unique cannot be made" in ended.stderr
    assert "Traceback" not in ended.stderr
