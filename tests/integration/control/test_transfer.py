"""Export and import of a whole application: everything that it defines, again is once, nothing half, nothing secret."""

import copy
import json
from typing import Any

import httpx
import pytest

from tests.rest import As, fresh, made, match, problem, rows
from tests.rest_world import World

Document = dict[str, Any]


@pytest.fixture
def world(api: httpx.Client) -> World:
    return World(api)


@pytest.fixture
def document(api: httpx.Client, world: World) -> Document:
    """The export of a world whose schemas share a type of the tenant."""
    body = {
        "type": "record", "name": "Ev", "fields": [{"name": "at", "type": world.type}],
        "dependencies": [{"fqn": world.type, "version": 1}],
    }  # fmt: skip
    made(api.post(f"/applications/{world.app}/schemas", json={"kind": "event", "name": "moved", "body": body}))
    made(api.put(f"/applications/{world.app}/configurations/group/g1", json={"data": {"n": 7}}))
    return made(api.get(f"/applications/{world.app}/export"), 200)


def ops(answer: dict[str, Any]) -> set[str]:
    return {step["op"] for step in answer["steps"]}


def test_an_export_says_everything_but_secrets_and_ids(document: Document, world: World) -> None:
    text = json.dumps(document)
    for hidden in (world.app, world.tenant, "never shown", "hash", world.claim, world.credential, "rev", '"e1"}'):
        assert hidden not in text
    assert [layer["scope"] for layer in document["configurations"]] == ["all", "group"]
    assert document["configurations"][0] == {"scope": "all", "target": "-", "data": {"n": 3}, "draft": {"n": 4}}
    assert [schema["kind"] for schema in document["schemas"]] == [
        "config",
        "config",
        "event",
        "log",
        "notification",
        "server-profile",
    ]
    for kind, names in (
        ("groups", ["g1"]),
        ("sinks", ["k1"]),
        ("streams", ["s1"]),
        ("topics", ["t1"]),
        ("owners", ["o1"]),
        ("authorities", ["a1"]),
    ):
        assert [row["name"] for row in document[kind]] == names


def test_another_tenant_imports_it_and_exports_the_same(document: Document, signed_in: As) -> None:
    other = signed_in(fresh("tenant"))
    made(other.post("/types", json={"body": document["types"][0]["body"] | {"doc": "another first version"}}))
    dry = made(other.post("/applications/import?dry_run=true", json=document), 200)
    assert (dry["id"], dry["claim_secret"], ops(dry)) == (None, None, {"made"})
    assert rows(other, "/applications") == []
    done = made(other.post("/applications/import", json=document), 200)
    assert done["claim_secret"].startswith("akc_")
    assert [(s["op"], s["kind"], s["name"]) for s in done["steps"]] == [
        (s["op"], s["kind"], s["name"]) for s in dry["steps"]
    ]
    back = made(other.get(f"/applications/{done['id']}/export"), 200)
    assert back["types"][0]["version"] == 2  # its own number here
    assert back["schemas"][2]["body"]["dependencies"][0]["version"] == 2
    for one in (back, document):
        one["types"][0]["version"] = one["schemas"][2]["body"]["dependencies"][0]["version"] = 0
    assert back == document


def test_importing_again_changes_nothing(document: Document, api: httpx.Client, world: World) -> None:
    revision = made(api.get(f"/applications/{world.app}"), 200)["rev"]
    head = made(api.get("/changes?limit=1"), 200)["head"]
    again = made(api.post("/applications/import", json=document), 200)
    assert (again["id"], again["claim_secret"], ops(again)) == (world.app, None, {"kept"})
    assert made(api.get(f"/applications/{world.app}"), 200)["rev"] == revision
    assert made(api.get("/changes?limit=1"), 200)["head"] == head


def test_an_import_brings_an_application_to_what_the_document_says(
    document: Document, api: httpx.Client, world: World
) -> None:
    root = f"/applications/{world.app}"
    made(api.patch(f"{root}/groups/g1", json={"filter": "true"}, headers=match(api, f"{root}/groups/g1")), 200)
    assert api.delete(f"{root}/topics/t1", headers=match(api, f"{root}/topics/t1")).status_code == 204
    made(api.post(f"{root}/groups", json={"name": "extra", "weight": 99, "filter": "true"}))
    done = made(api.post("/applications/import", json=document), 200)
    changed = {(step["op"], step["kind"], step["name"]) for step in done["steps"] if step["op"] != "kept"}
    assert changed == {("changed", "group", "g1"), ("made", "topic", "t1")}
    assert made(api.get(f"{root}/groups/g1"), 200)["filter"] == "ep == 'e1'"
    assert made(api.get(f"{root}/sinks/k1"), 200)["has_secret"] is True  # what is not in the document stays
    made(api.get(f"{root}/groups/extra"), 200)


def test_a_copy_gets_a_name_of_its_own(document: Document, api: httpx.Client, world: World) -> None:
    copied = made(api.post("/applications/import?name=copy", json=document), 200)
    assert copied["id"] != world.app
    assert {row["name"] for row in rows(api, "/applications")} == {world.name, "copy"}


@pytest.mark.parametrize(
    ("place", "value", "path"),
    [
        (("groups", 0, "filter"), "(", "/groups/0/filter"),
        (("groups", 0, "name"), "all", "/groups/0/name"),
        (("topics", 0, "groups"), ["nope"], "/topics/0/groups"),
        (("streams", 0, "sinks"), [{"sink": "nope"}], "/streams/0/sinks"),
        (("owners", 0, "verifier"), "nope", "/owners/0/verifier"),
        (("configurations", 0, "data"), {"n": "x"}, "/configurations/0/data/n"),
        (("configurations", 0, "draft"), {"nope": 1}, "/configurations/0/draft/nope"),
        (("configurations", 1, "target"), "nope", "/configurations/1/target"),
        (("schemas", 0, "body"), "nothing", "/schemas/0/body"),
        (("schemas", 2, "body", "dependencies"), [], "/schemas/2/body/fields/0/type"),
        (("types", 0, "body"), {"type": "map"}, "/types/0/body/type"),
        (("sinks", 0, "settings"), {"nope": 1}, "/sinks/0/settings/nope"),
        (("authorities", 0, "certificate"), "nothing", "/authorities/0/certificate"),
    ],
)
def test_a_document_that_does_not_fit_writes_nothing(
    document: Document, signed_in: As, place: tuple[Any, ...], value: Any, path: str
) -> None:
    other = signed_in(fresh("tenant"))
    wrong = copy.deepcopy(document)
    inside: Any = wrong
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    assert problem(other.post("/applications/import", json=wrong), 422)["errors"][0]["path"] == path
    assert rows(other, "/applications") == rows(other, "/types") == []


def test_a_schema_that_other_layers_do_not_fit_is_refused(document: Document, api: httpx.Client, world: World) -> None:
    made(api.put(f"/applications/{world.app}/configurations/endpoint/e1", json={"data": {"more": 5}}))
    wrong = copy.deepcopy(document)
    fields = [field for field in wrong["schemas"][1]["body"]["fields"] if field["name"] != "more"]
    wrong["schemas"].insert(2, copy.deepcopy(wrong["schemas"][1]))
    wrong["schemas"][2]["body"]["fields"] = [*fields, {"name": "newer", "type": "int", "default": 1}]
    refused = problem(api.post("/applications/import", json=wrong), 422)
    assert "layer endpoint:e1" in refused["errors"][0]["path"]
