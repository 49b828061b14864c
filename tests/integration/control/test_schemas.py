"""The schema registry over REST: versions, compatibility, impact, shared types, defaults."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.akela_up import AkelaUp, request
from tests.rest import As, fresh, made, match, problem, rows

Schema = dict[str, Any]


def record(*fields: Schema, name: str = "R", **more: Any) -> Schema:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name: str, kind: Any, **more: Any) -> Schema:
    return {"name": name, "type": kind, **more}


@pytest.fixture
def schemas(api: httpx.Client) -> str:
    """Where the schemas of a new application are."""
    return f"/applications/{made(api.post('/applications', json={'name': fresh('fleet')}))['id']}/schemas"


def test_k19_the_default_configuration_follows_from_the_schema(api: httpx.Client, schemas: str) -> None:
    inner = record(field("deep", "int", by_default=4), name="Inner")
    body = record(
        field("array", {"type": "array", "items": "int"}),
        field("maybe", "string", optional=True),
        field("one", "int", by_default=1),
        field("union", ["int", "string"]),
        field("bytes", "bytes", by_default=[1, 2, 3, 4, 5]),
        field("enum", {"type": "enum", "name": "E", "symbols": ["FIRST", "SECOND"]}),
        field("nested", inner),
    )
    made(api.post(schemas, json={"kind": "config", "body": body}))
    assert made(api.get(f"{schemas}/config/default/1/default"), 200) == {
        "array": [], "maybe": None, "one": 1, "union": 0, "bytes": "\x01\x02\x03\x04\x05", "enum": "FIRST", "nested": {"deep": 4},
    }  # fmt: skip


def test_k20_defaults_of_fixed_int_and_a_type_used_three_times(api: httpx.Client, schemas: str) -> None:
    part = record(field("x", "int", default=1), name="Part")
    fixed = field("fixed", {"type": "fixed", "name": "F", "size": 3})
    body = record(fixed, field("n", "int"), field("a", part), field("b", "Part"), field("c", "Part"))
    made(api.post(schemas, json={"kind": "config", "body": body}))
    assert made(api.get(f"{schemas}/config/default/1/default"), 200) == {
        "fixed": "\0\0\0", "n": 0, "a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (record(field("a", "int")), record(field("a", "int"), field("b", "int")), "/b"),
        (record(field("a", "long")), record(field("a", "int")), "/a"),
        (record(field("a", "string")), record(field("a", ["null", "int"])), "/a"),
        (record(field("a", ["null", "int"])), record(field("a", "int")), "/a"),
        (record(field("a", "int"), name="R"), record(field("a", "int"), name="S"), ""),
        (record(field("e", {"type": "enum", "name": "E", "symbols": ["A", "B"]})),
         record(field("e", {"type": "enum", "name": "E", "symbols": ["A"]})), "/e"),
        (record(field("r", record(field("x", "int"), name="I"))),
         record(field("r", record(field("x", "boolean"), name="I"))), "/r/x"),
    ],
)  # fmt: skip
def test_what_cannot_read_the_last_version_is_refused_unless_forced(
    api: httpx.Client, schemas: str, before: Schema, after: Schema, path: str
) -> None:
    made(api.post(schemas, json={"kind": "log", "name": "s", "body": before}))
    refused = problem(api.post(schemas, json={"kind": "log", "name": "s", "body": after}), 409)
    assert [error["path"] for error in refused["errors"]] == [f"/body{path}"]
    assert refused["impact"] == {"versions": [], "looked_at": 0, "more": False}
    checked = made(api.post(f"{schemas}/check", json={"kind": "log", "name": "s", "body": after}), 200)
    assert (checked["compatible"], checked["version"], [b["path"] for b in checked["breaks"]]) == (False, 2, [path])
    assert [row["version"] for row in rows(api, schemas, kind="log")] == [1]
    forced = made(api.post(schemas, json={"kind": "log", "name": "s", "body": after, "force": True}))
    assert forced["version"] == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (record(field("a", "int")), record(field("a", "int"), field("b", "int", default=3))),
        (record(field("a", "int")), record(field("a", "int"), field("b", "string", optional=True))),
        (record(field("a", "int")), record(field("a", "double"))),
        (record(field("a", "int"), field("b", "int")), record(field("a", "int"))),
        (record(field("a", "int")), record(field("a", ["null", "long"]))),
    ],
)
def test_what_reads_the_last_version_is_taken(api: httpx.Client, schemas: str, before: Schema, after: Schema) -> None:
    made(api.post(schemas, json={"kind": "log", "name": "s", "body": before}))
    assert made(api.post(schemas, json={"kind": "log", "name": "s", "body": after}))["version"] == 2


def test_a_configuration_schema_that_its_layers_do_not_fit_is_refused(api: httpx.Client, schemas: str) -> None:
    layer = schemas.replace("schemas", "configurations/endpoint/e1")
    made(api.post(schemas, json={"kind": "config", "body": record(field("a", "int"), field("b", "int", default=1))}))
    made(api.put(layer, json={"data": {"b": 2}}))
    refused = problem(api.post(schemas, json={"kind": "config", "body": record(field("a", "int"))}), 409)
    assert refused["errors"][0]["path"] == "/body/b"
    assert "layer endpoint:e1" in refused["errors"][0]["reason"]


def test_the_impact_tells_who_runs_which_version(akela: AkelaUp, platform: httpx.Client) -> None:
    schemas = f"/applications/{akela.app}/schemas"
    name = fresh("impact").replace("-", "_")
    made(platform.post(schemas, json={"kind": "log", "name": name, "body": record(field("a", "int"))}))
    for number, version in ((1, 1), (2, 1), (3, 7)):
        said = f'{{"versions": {{"log/{name}": {version}}}}}'
        device = akela.device(f"{name}-{number}")
        request(device, "a1/me/u/hello/h1", "a1/me/d/re/h1/200", said)
    rid = f"{name}-1"
    request(akela.device(rid), "a1/me/u/hello/h2", "a1/me/d/re/h2/200", f'{{"versions": {{"log/{name}": 1}}}}')
    body = {"kind": "log", "name": name, "body": record(field("a", "string"))}

    def runs() -> dict[int, list[str]]:
        checked = made(platform.post(f"{schemas}/check", json=body), 200)
        return {row["version"]: row["examples"] for row in checked["impact"]["versions"]}

    wanted = {1: [f"{name}-1", f"{name}-2"], 7: [f"{name}-3"]}
    for _ in range(200):  # what a hello says is written behind
        if runs() == wanted:
            break
    assert runs() == wanted


POSITION = record(field("lat", "double"), field("lon", "double"), name="Position", namespace="acme.geo")


def test_schemas_share_types_of_the_tenant(api: httpx.Client, schemas: str) -> None:
    made(api.post("/types", json={"body": POSITION}))
    track = record(
        field("from", "Position"), field("to", "acme.geo.Position"), name="Track", namespace="acme.geo",
        dependencies=[{"fqn": "acme.geo.Position", "version": 1}],
    )  # fmt: skip
    assert made(api.post("/types", json={"body": track}))["references"] == ["acme.geo.Position/1"]
    body = record(
        field("track", "acme.geo.Track"), field("home", "acme.geo.Position"),
        dependencies=[{"fqn": "acme.geo.Track", "version": 1}, {"fqn": "acme.geo.Position", "version": 1}],
    )  # fmt: skip
    schema = made(api.post(schemas, json={"kind": "config", "body": body}))
    assert schema["source"] == body
    assert schema["references"] == ["acme.geo.Position/1", "acme.geo.Track/1"]
    assert "dependencies" not in str(schema["body"])
    assert made(api.get(f"{schemas}/config/default/1/default"), 200)["track"]["to"] == {"lat": 0.0, "lon": 0.0}
    layer = schemas.replace("schemas", "configurations/all/-")
    assert (
        problem(api.put(layer, json={"data": {"track": {"to": {"lat": "x"}}}}), 422)["errors"][0]["path"]
        == "/track/to/lat"
    )
    path = "/types/acme.geo.Position/1"
    assert "uses it" in problem(api.delete(path, headers=match(api, path)), 409)["detail"]


def test_a_type_has_versions_and_goes_when_nothing_uses_it(api: httpx.Client) -> None:
    assert made(api.post("/types", json={"body": POSITION}))["version"] == 1
    assert made(api.post("/types", json={"body": POSITION}), 200)["version"] == 1
    more = POSITION | {"fields": [*POSITION["fields"], field("alt", "double")]}
    assert made(api.post("/types", json={"body": more}))["version"] == 2
    assert [row["id"] for row in rows(api, "/types", name="acme.geo.Position", limit=1)] == [
        "acme.geo.Position/1", "acme.geo.Position/2",
    ]  # fmt: skip
    path = "/types/acme.geo.Position/1"
    problem(api.delete(path), 428)
    assert api.delete(path, headers=match(api, path)).status_code == 204
    problem(api.get(path), 404)


@pytest.mark.parametrize(
    ("dependencies", "path"),
    [
        ([{"fqn": "no.Such", "version": 1}], "/body/dependencies/0"),
        ([{"fqn": "acme.geo.Position", "version": 9}], "/body/dependencies/0"),
        ([{"fqn": "acme.geo.Position", "version": "1"}], "/body/dependencies/0/version"),
        ([{"fqn": 1, "version": 1}], "/body/dependencies/0/fqn"),
        ([{"name": "x"}], "/body/dependencies/0"),
        ({}, "/body/dependencies"),
    ],
)
def test_a_wrong_dependency_is_named(api: httpx.Client, schemas: str, dependencies: Any, path: str) -> None:
    made(api.post("/types", json={"body": POSITION}))
    body = record(dependencies=dependencies)
    assert problem(api.post(schemas, json={"kind": "config", "body": body}), 422)["errors"][0]["path"] == path


def test_k103_many_tenants_save_the_same_type_at_once(signed_in: As) -> None:
    clients = [signed_in(fresh("tenant")) for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda client: client.post("/types", json={"body": POSITION}), clients))
    assert [made(answer)["version"] for answer in answers] == [1] * 12
    for client in clients:
        assert [row["id"] for row in rows(client, "/types")] == ["acme.geo.Position/1"]


def test_k49_each_new_version_is_one_change_behind_the_last(api: httpx.Client, schemas: str) -> None:
    app = schemas.split("/")[2]
    made(api.post(schemas, json={"kind": "config", "body": record(field("a", "int"))}))
    second = made(api.post(schemas, json={"kind": "config", "body": record(field("a", "long"))}))
    assert [row["version"] for row in rows(api, schemas, kind="config")] == [1, 2]

    def history(after: int) -> list[str]:
        items = made(api.get("/changes", params={"after": after, "limit": 500}), 200)["items"]
        return [row["target"] for row in items if row["app"] == app and row["kind"] == "schema"]

    assert history(0) == [f"{app}/config/default/1", f"{app}/config/default/2"]
    assert history(second["rev"] - 1) == [f"{app}/config/default/2"]  # the start is exclusive
    assert history(second["rev"]) == []


def test_only_old_versions_are_deleted(api: httpx.Client, schemas: str) -> None:
    made(api.post(schemas, json={"kind": "config", "body": record(field("a", "int"))}))
    made(api.post(schemas, json={"kind": "config", "body": record(field("a", "long"))}))
    for version, status in ((2, 409), (1, 204), (1, 404)):
        path = f"{schemas}/config/default/{version}"
        tag = {"If-Match": api.get(path).headers.get("etag", '"1"')}
        assert api.delete(path, headers=tag).status_code == status
    third = made(api.post(schemas, json={"kind": "config", "body": record(field("a", "double"))}))
    assert third["version"] == 3


def test_the_fingerprint_is_crc_64_avro_of_the_canonical_form(api: httpx.Client, schemas: str) -> None:
    """The specification's own example: \"int\" is 7275d51a3f395c8f, however it is written."""
    first = made(api.post(schemas, json={"kind": "log", "name": "a", "body": "int"}))
    second = made(api.post(schemas, json={"kind": "log", "name": "b", "body": {"type": "int", "doc": "x"}}))
    assert first["fingerprint"] == second["fingerprint"] == "7275d51a3f395c8f"
