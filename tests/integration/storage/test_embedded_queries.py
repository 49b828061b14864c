"""An `$or` beside other conditions: nx-27017 forgets the brackets, and a write for one document would meet others."""

from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from pymongo.collection import Collection

from tests.database import Database

WANTED = {"_id": "b", "$or": [{"at.n": {"$lte": 5}}, {"at.n": None}]}
Things = Collection[dict[str, Any]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database(tmp_path_factory.mktemp("database") / "data") as running:
        yield running


@pytest.fixture
def things(database: Database) -> Things:
    made: Things = pymongo.MongoClient(database.uri)["akela"]["bracketed"]
    made.drop()
    made.insert_many(
        [{"_id": name, **({} if n is None else {"at": {"n": n}})} for name, n in (("a", None), ("b", 9), ("c", 1))]
    )
    return made


def bystanders(things: Things) -> list[Any]:
    return list(things.find({"_id": {"$ne": "b"}}, sort=[("_id", 1)]))


@pytest.mark.parametrize(
    "act",
    [
        lambda things: things.update_many(WANTED, {"$set": {"x": {}}}).matched_count,
        lambda things: things.update_one(WANTED, {"$set": {"x": {}}}).matched_count,
        lambda things: things.update_many(WANTED, {"$inc": {"x": 1}}).matched_count,
        lambda things: things.replace_one(WANTED, {"x": 1}).matched_count,
        lambda things: things.delete_many(WANTED).deleted_count,
        lambda things: int(things.find_one_and_update(WANTED, {"$inc": {"x": 1}}) is not None),
        lambda things: len(things.find(WANTED).to_list()),
        lambda things: things.count_documents(WANTED),
        lambda things: len(things.distinct("at.n", WANTED)),
        lambda things: things.count_documents(
            {"$and": [{"_id": "b"}, {"_id": "b", "$or": [{"at.n": 1}, {"at.n": None}]}]}
        ),
    ],
    ids=["set", "set one", "inc", "replace", "delete", "find and update", "find", "count", "distinct", "nested"],
)
def test_an_or_holds_beside_other_conditions(things: Things, act: Callable[[Things], int]) -> None:
    before = bystanders(things)
    assert act(things) == 0
    assert bystanders(things) == before
    things.update_one({"_id": "b"}, {"$set": {"at": {"n": 1}}})
    assert act(things) == 1
    assert [row for row in bystanders(things) if row not in before] == []
