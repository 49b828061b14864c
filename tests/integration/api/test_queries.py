"""Every query that the API makes, over all its routes: none scans a collection, none counts one.

Each is checked twice: its fields and order against the declared indexes, and by the database's own word (explain).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pymongo import monitoring
from pymongo.database import Database as MongoDatabase
from starlette.testclient import TestClient

from akela.documents import indexes, model
from akela.documents.base import Stored
from akela.documents.fleet import ClaimCount
from akela.documents.model import Answered, Change
from tests import control_inside
from tests.rest_world import World, every

OF_THE_LOG = ("/changes", "/audit")
LOG = ("changes", "heads")  # the change log's own queries: tests/integration/storage/test_changelog.py


class Recorder(monitoring.CommandListener):
    """Keeps each distinct read and write: collection, fields compared for equality, fields compared by range, order."""

    def __init__(self) -> None:
        self.armed = False
        self.seen: dict[tuple[Any, ...], tuple[str, Mapping[str, Any]]] = {}
        self.commands: set[str] = set()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if not self.armed:
            return
        name, command = event.command_name, event.command
        self.commands.add(name)
        for condition, order in _conditions(name, command):
            shape = (command[name], tuple(sorted(_equal(condition))), tuple(sorted(_ranged(condition))), tuple(order))
            self.seen.setdefault(shape, (name, dict(command)))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


def _conditions(name: str, command: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    match name:
        case "find":
            yield command.get("filter", {}), command.get("sort", {}).items()
        case "aggregate":
            stages = {name: value for stage in command["pipeline"] for name, value in stage.items()}
            yield stages["$match"], stages.get("$sort", {}).items()
        case "findAndModify":
            yield command.get("query", {}), ()
        case "update":
            yield from ((item["q"], ()) for item in command["updates"])
        case "delete":
            yield from ((item["q"], ()) for item in command["deletes"])


def _ranged(condition: Mapping[str, Any]) -> set[str]:
    return {
        key
        for key, value in condition.items()
        if isinstance(value, Mapping) and any(k.startswith("$") and k != "$in" for k in value)
    }


def _equal(condition: Mapping[str, Any]) -> set[str]:
    return condition.keys() - _ranged(condition)


RECORDER = Recorder()
monitoring.register(RECORDER)  # it records only while a test has armed it


@pytest.fixture
def walked(tmp_path: Path) -> Iterator[Recorder]:
    """The recorder after all routes, with every filter, order and page that they offer, have been asked."""
    RECORDER.seen.clear()
    RECORDER.commands.clear()
    with control_inside.connected(tmp_path / "data"):
        core = control_inside.core()
        admin = control_inside.first_admin(core)
        assert isinstance(admin, TestClient)
        RECORDER.armed = True
        try:
            walk(admin, World(admin))
            RECORDER.armed = False
            yield RECORDER
        finally:
            RECORDER.armed = False


def walk(admin: TestClient, world: World) -> None:
    described = admin.get("http://control/openapi.json").json()
    operations = sorted(every(described), key=lambda o: (o.method == "DELETE", o.method != "GET", -len(o.path)))
    for operation in operations:
        if operation.path in ("/logout", "/me/password"):
            continue
        path = world.path(operation.path, world.values()) if "{" in operation.path else operation.path
        body = world.body(operation)
        headers = {"If-Match": "*"} if operation.matched else {}
        parameters = described["paths"][f"/api/v1{operation.path}"][operation.method.lower()].get("parameters", ())
        if any(parameter["name"] == "Idempotency-Key" for parameter in parameters):
            headers["Idempotency-Key"] = path
        answer = admin.request(operation.method, path, json=body, headers=headers)
        assert answer.status_code in (200, 201, 204, 404, 409), (str(operation), answer.text)
        if operation.method == "GET" and operation.path not in OF_THE_LOG:
            for query in asked_of(parameters):
                answer = admin.get(path, params=query)
                assert answer.status_code == 200, (path, query, answer.text)
                cursor = answer.json()["next"]
                if cursor is not None:
                    assert admin.get(path, params=query | {"cursor": cursor}).status_code == 200
    for path, body in (("/login", {"user": "nobody", "password": "x"}), ("/login", {"user": "x/y", "password": "x"})):
        assert admin.post(path, json=body).status_code == 401


def asked_of(parameters: Any) -> Iterator[dict[str, Any]]:
    """Every filter and order of a list, with each other."""
    by_name = {parameter["name"]: parameter["schema"] for parameter in parameters if parameter["in"] == "query"}
    if "cursor" not in by_name:
        return
    filters: list[dict[str, Any]] = [{}]
    values = {
        "prefix": "a", "name": "default", "kind": "file", "scope": "all", "target": "-", "trust": "open", "revoked": False,
        "user": "admin", "endpoint": "e1", "who": "admin", "app": "abcd", "owner": "o1", "group": "g1",
        "config": "0123456789abcdef", "within_days": 30,
    }  # fmt: skip
    for name in by_name.keys() - {"limit", "cursor", "sort", "since", "until", "tenant"}:
        value = values[name]
        if name == "kind" and "config" in str(by_name[name]):
            value = "config"
        if name == "kind" and "trusting" in str(by_name[name]):
            value = "trusting"
        filters += [one | {name: value} for one in filters]
    for sort in by_name.get("sort", {}).get("enum", [None]):
        for one in filters:
            yield one | {"limit": 1} | ({} if sort is None else {"sort": sort})


def declared() -> dict[str, list[tuple[str, ...]]]:
    """Fields of the declared indexes by collection."""
    documents: list[type[Stored]] = [*model.KINDS.values(), Change, Answered, ClaimCount]
    return {
        document.collection().name: [tuple(name for name, _ in index.keys) for index in indexes.declared(document)]
        for document in documents
    }


def is_indexed(fields: tuple[str, ...], equal: set[str], ranged: set[str], order: list[str]) -> bool:
    """An index serves: its first fields are those compared for equality, then comes the order, which is the range too."""
    count = len(equal)
    rest = list(fields[count:])
    return (
        set(fields[:count]) == equal
        and (not order or rest[: len(order)] == order)
        and (not ranged or set(rest[:1]) >= ranged)
    )


def test_no_route_scans_or_counts_a_collection(walked: Recorder) -> None:
    known = declared()
    checked = 0
    for collection, compared, bounded, order in walked.seen:
        # Groups and their errors are looked at on the way along (app, ep); MongoDB has an index for arrays.
        equal, ranged = set(compared) - {"groups"}, set(bounded) - {"group_errors"}
        if collection in LOG or collection.startswith("records_") or "_id" in equal or "_id" in ranged:
            assert "_id" not in ranged or collection in LOG or collection.startswith("records_"), (collection, ranged)
            continue
        keys = [name for name, _ in order]
        if not equal and not ranged and not keys:
            assert collection == "users"  # is there any user at all? one is read
            continue
        assert any(is_indexed(fields, equal, ranged, keys) for fields in known[collection]), (
            collection, equal, ranged, order,
        )  # fmt: skip
        for name in equal:  # the embedded database wants each of them indexed alone, too
            assert any(fields[0] == name for fields in known[collection]), (collection, name)
            assert (name,) in known[collection] or len(equal) == 1, (collection, name)
        checked += 1
    assert checked > 40
    assert not walked.commands & {"count", "distinct", "mapReduce"}
    assert ("app", "groups", "ep") in known["endpoints"]


def test_the_database_says_so_itself(walked: Recorder) -> None:
    database: MongoDatabase[Any] = Change.collection().database
    explained = 0
    for (collection, equal, ranged, order), (name, command) in walked.seen.items():
        if name != "find" or collection in LOG or collection.startswith("records_") or not (equal or ranged):
            continue
        cursor = database[collection].find(command["filter"])
        cursor = cursor.sort(list(order)) if order else cursor
        plan = str(cursor.limit(1).explain()["queryPlanner"]["winningPlan"])
        first = plan.replace("COLLSCAN", "SCAN ").split("'detail': ")[1] if "'detail': " in plan else plan
        assert not first.startswith(("'SCAN ", '"SCAN ')), (collection, equal, ranged, order, plan)
        assert "USE TEMP B-TREE" not in plan, (collection, equal, ranged, order, plan)
        explained += 1
    assert explained > 40
