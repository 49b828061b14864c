"""How stored endpoints are read for groups and convergence: each query that is used, on the database that is used."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from akela.documents import members
from akela.documents.fleet import Endpoint
from tests import control_inside

APP, OTHER = "app", "other"
AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ENDPOINTS = 57
WANTED = dict.fromkeys(("ep", "groups", "owner", "config", "presence"), 1)


def stored(app: str, n: int) -> dict[str, Any]:
    groups = [name for name, step in (("even", 2), ("third", 3)) if n % step == 0]
    config = {"applied": {"id": "a" * 16, "at": AT}}
    document = {
        "_id": f"{app}/e{n:02}",
        "app": app,
        "ep": f"e{n:02}",
        "groups": groups,
        "config": config,
        "owner": None,
    }
    return document | {"presence": {"at": AT, "server": "ops-1"}, "versions": {"config": n % 4}}


@pytest.fixture(scope="module", autouse=True)
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two applications with the same endpoints."""
    with control_inside.connected(tmp_path_factory.mktemp("members") / "data"):
        for app in (OTHER, APP):
            Endpoint.collection().insert_many(stored(app, n) for n in reversed(range(ENDPOINTS)))
        yield


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["ep"] for row in rows]


@pytest.mark.parametrize("size", [1, 10, 19, 57, 100])
def test_all_endpoints_come_once_in_order(size: int) -> None:
    batches = list(members.batches(APP, size, WANTED))
    assert [ep for batch in batches for ep in ids(batch)] == [f"e{n:02}" for n in range(ENDPOINTS)]
    assert {len(batch) for batch in batches[:-1]} <= {size}
    assert ids(next(members.batches(APP, 5, WANTED, after="e50"))) == ["e51", "e52", "e53", "e54", "e55"]


def test_values_come_as_they_were_stored() -> None:
    (row,) = members.batch(APP, "e06", 1, WANTED)
    expected = stored(APP, 7)
    assert row == {name: expected[name] for name in ("_id", *WANTED)}
    assert members.these(APP, ["e07", "gone"], WANTED) == [row]


def test_members_of_a_group() -> None:
    where = members.members_of("third")
    assert ids(members.batch(APP, None, 100, WANTED, where)) == [f"e{n:02}" for n in range(0, ENDPOINTS, 3)]
    assert members.batch(APP, None, 100, WANTED, members.members_of("nobody's")) == []
    found = Endpoint.collection().find({"app": APP, **where}).sort("ep", 1).limit(2)
    assert ids(list(found)) == ["e00", "e03"]
    assert members.members_of("all") == members.members_of(None) == {}


def test_who_runs_a_version() -> None:
    found = members.batch(APP, None, 100, WANTED, {"versions.config": 3})
    assert ids(found) == [f"e{n:02}" for n in range(3, ENDPOINTS, 4)]


def test_endpoints_are_counted_and_their_groups_told_apart() -> None:
    assert (members.count(APP), members.count("nobody's")) == (ENDPOINTS, 0)
    assert sorted(members.occurring(APP)) == [(), ("even",), ("even", "third"), ("third",)]


def test_a_sample_has_each_endpoint_at_most_once() -> None:
    found = ids(members.sample(APP, 20, WANTED))
    assert len(found) == len(set(found)) == 20
    assert set(found) <= {f"e{n:02}" for n in range(ENDPOINTS)}


def test_endpoints_with_failing_filters() -> None:
    members.write(OTHER, ["e05", "e09"], ["even"], {"a.b": "no such field"})
    members.write(OTHER, ["e07"], ["even"], {})
    members.write(OTHER, ["e08"], [], None)
    found = {row["ep"]: row["group_errors"] for row in members.failing(OTHER, None, 10) if row["group_errors"]}
    assert found == {"e05": {"a.b": "no such field"}, "e09": {"a.b": "no such field"}}
    assert ids(members.failing(OTHER, "e05", 1)) == ["e07"]
    assert "group_errors" not in members.these(OTHER, ["e08"], {"ep": 1, "group_errors": 1})[0]
