"""The background evaluation of groups on a real database: resumed, superseded, right under others' writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from akela.documents import members
from akela.documents.definitions import Group
from akela.documents.fleet import Endpoint
from control import evaluation, stored_groups
from control.evaluation import Evaluator, due
from tests import control_inside

APP = "app"
ENDPOINTS = 250
BATCH = 50


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[None]:
    """A database with endpoints that have a model each, and no groups yet."""
    with control_inside.connected(tmp_path / "data"):
        Endpoint.collection().insert_many(
            {"_id": f"{APP}/e{n:03}", "app": APP, "ep": f"e{n:03}", "profile": {"model": n % 10}}
            for n in range(ENDPOINTS)
        )
        yield


def group(name: str, text: str) -> None:
    document = {"_id": f"{APP}/{name}", "app": APP, "name": name, "weight": len(name), "filter": text}
    Group.collection().replace_one({"_id": document["_id"]}, document, upsert=True)


def in_group(name: str) -> list[str]:
    return sorted(row["ep"] for row in Endpoint.collection().find({"app": APP, "groups": {"$in": [name]}}))


def expected(*models: int) -> list[str]:
    return [f"e{n:03}" for n in range(ENDPOINTS) if n % 10 in models]


def state() -> dict[str, Any]:
    found = members.evaluation(APP)
    assert found is not None
    return found


class Leading:
    """A leader that loses its leadership after so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def __call__(self) -> bool:
        self.left -= 1
        return self.left >= 0


@pytest.mark.usefixtures("fleet")
def test_the_next_leader_goes_on_where_one_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "SAVE_EVERY_S", 0.0)
    group("g", "profile.model == 3")
    Evaluator(1, Leading(2), batch=BATCH).bring_all()
    found = state()
    assert (found["state"], found["done"], found["cursor"], found["total"]) == ("running", 2 * BATCH, "e099", ENDPOINTS)
    assert in_group("g") == [ep for ep in expected(3) if ep < "e100"]
    Endpoint.collection().update_many(
        {"ep": {"$lt": "e010"}}, {"$set": {"groups": ["kept"]}}
    )  # behind the place: not looked at again
    Evaluator(2, lambda: True, batch=BATCH).bring_all()
    found = state()
    assert (found["state"], found["done"], found["epoch"]) == ("done", ENDPOINTS, 2)
    assert found["counts"] == [{"group": "g", "matched": len(expected(3)), "errors": 0}]
    assert len(in_group("kept")) == 10
    assert list(due()) == []


@pytest.mark.usefixtures("fleet")
def test_a_newer_change_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    group("g", "profile.model == 3")
    evaluator = Evaluator(1, lambda: True, batch=BATCH)
    bring = stored_groups.bring
    seen: list[str] = []

    def bring_and_change(app: str, filters: Any, batch: Any, counts: Any) -> None:
        bring(app, filters, batch, counts)
        seen.append(filters.digest)
        if len(seen) == 2:  # in the midst
            group("g", "profile.model == 4")
            evaluator._changed.add(APP)

    monkeypatch.setattr(stored_groups, "bring", bring_and_change)
    evaluator.bring_all()
    assert in_group("g") == expected(4)
    assert [seen.count(digest) for digest in dict.fromkeys(seen)] == [2, ENDPOINTS // BATCH]
    assert state()["done"] == ENDPOINTS


@pytest.mark.usefixtures("fleet")
def test_an_older_leader_writes_nothing_any_more() -> None:
    group("g", "profile.model == 3")
    Evaluator(5, lambda: True).bring_all()
    group("g", "profile.model == 4")
    Evaluator(4, Leading(1)).bring_all()
    assert in_group("g") == expected(3)
    assert (state()["epoch"], list(due())) == (5, [APP])


@pytest.mark.usefixtures("fleet")
def test_a_profile_that_changes_meanwhile_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    group("g", "profile.model == 3")
    write = members.write
    changed = [{"model": 9, "groups": []}]

    def write_after_another(app: str, eps: list[str], *what: Any) -> None:
        while changed:  # an Operations server is first
            new = changed.pop()
            Endpoint.collection().update_one(
                {"_id": f"{app}/{eps[0]}"}, {"$set": {"profile": {"model": 9}, "groups": new["groups"]}}
            )
        write(app, eps, *what)

    monkeypatch.setattr(members, "write", write_after_another)
    Evaluator(1, lambda: True).bring_all()
    assert in_group("g") == expected(3)[1:]


@pytest.mark.usefixtures("fleet")
def test_only_what_differs_is_written() -> None:
    group("g", "profile.model == 3")
    group("broken", "profile.nothing == 1")
    Evaluator(1, lambda: True).bring_all()
    assert state()["written"] == ENDPOINTS
    assert Endpoint.collection().find_one({"_id": f"{APP}/e004"}, {"groups": 1, "group_errors": 1, "_id": 0}) == {
        "groups": [], "group_errors": {"broken": "there is no 'nothing'"},
    }  # fmt: skip
    Group.collection().delete_one({"_id": f"{APP}/broken"})
    group("g", "profile.model == 4")
    Evaluator(1, lambda: True).bring_all()
    group("g", "profile.model == 5")
    Evaluator(1, lambda: True).bring_all()
    assert state()["written"] == 2 * ENDPOINTS // 10
    Group.collection().delete_one({"_id": f"{APP}/g"})
    Evaluator(1, lambda: True).bring_all()
    assert (in_group("g"), state()["written"]) == ([], ENDPOINTS // 10)
