"""A layer that fits alone and does not fit together with others: refused at activation, naming the combination and the path."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from akela.documents.fleet import Endpoint
from tests import control_inside
from tests.rest import made, match, problem


def schema(*modes: str) -> dict[str, Any]:
    mode = {"type": "enum", "name": "Mode", "symbols": list(modes)}
    texts = {"type": "array", "items": "string"}
    fields = [
        {"name": "mode", "type": mode, "default": "off"},
        {"name": "texts", "type": texts, "default": [], "overrideStrategy": "append"},
    ]
    return {"type": "record", "name": "C", "fields": fields}


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Control server in this process on a database of its own."""
    with control_inside.connected(tmp_path_factory.mktemp("combinations") / "data"):
        yield control_inside.first_admin(control_inside.core())


@pytest.fixture
def root(admin: httpx.Client, request: pytest.FixtureRequest) -> str:
    """An application with two versions of its schema, groups low and high, and endpoints in one, in both, in none."""
    root = f"/applications/{made(admin.post('/applications', json={'name': request.node.name[:60]}))['id']}"
    for modes in (("off", "on"), ("off", "on", "auto")):
        made(admin.post(f"{root}/schemas", json={"kind": "config", "body": schema(*modes)}))
    for name, weight, who in (("low", 10, "['one', 'both']"), ("high", 20, "['both']")):
        made(admin.post(f"{root}/groups", json={"name": name, "weight": weight, "filter": f"ep in {who}"}))
    for ep in ("none", "one", "both"):
        made(admin.post(f"{root}/endpoints", json={"id": ep}))
    return root


def runs(root: str, ep: str, version: int) -> None:
    """The endpoint has said so."""
    app = root.rpartition("/")[2]
    Endpoint.collection().update_one({"_id": f"{app}/{ep}"}, {"$set": {"versions": {"config": version}}})


def put(admin: httpx.Client, root: str, place: str, data: Any) -> httpx.Response:
    path = f"{root}/configurations/{place}"
    headers = match(admin, path) if admin.get(path).status_code == 200 else {}
    return admin.put(path, json={"data": data}, headers=headers)


def test_a_value_that_an_older_version_does_not_know(admin: httpx.Client, root: str) -> None:
    assert put(admin, root, "group/high", {"mode": "on"}).status_code == 201
    runs(root, "both", 1)
    assert put(admin, root, "group/low", {"mode": "auto"}).status_code == 201  # high is above it where it matters
    runs(root, "one", 1)
    assert put(admin, root, "group/low", {"mode": "off"}).status_code == 200
    refused = problem(put(admin, root, "group/low", {"mode": "auto"}), 422)
    assert (
        "the combination of all, group:low for endpoints that run version 1 of the schema, such as one"
        in refused["detail"]
    )
    path = f"{root}/configurations/group/low/versions"
    draft = made(
        admin.post(path, json={"data": {"mode": "auto"}}, headers=match(admin, f"{root}/configurations/group/low"))
    )
    layer = match(admin, f"{root}/configurations/group/low")
    problem(admin.post(f"{path}/{draft['version']}/activate", headers=layer), 422)
    one = f"{root}/endpoints/one"
    made(admin.post(f"{one}/revoke", headers=match(admin, one)), 200)
    made(admin.post(f"{path}/{draft['version']}/activate", headers=layer), 200)


def test_what_was_so_before_refuses_nothing(admin: httpx.Client, root: str) -> None:
    assert put(admin, root, "all/-", {"mode": "auto"}).status_code == 201
    runs(root, "none", 1)
    assert put(admin, root, "all/-", {"mode": "auto", "texts": ["x"]}).status_code == 200
    assert put(admin, root, "endpoint/none", {"texts": ["y"]}).status_code == 201


def test_an_endpoint_s_own_layer(admin: httpx.Client, root: str) -> None:
    runs(root, "both", 1)
    refused = problem(put(admin, root, "endpoint/both", {"mode": "auto"}), 422)
    assert "the combination of all, endpoint:both" in refused["detail"]
    assert put(admin, root, "endpoint/one", {"mode": "auto"}).status_code == 201


def test_arrays_that_grow_too_long_together(admin: httpx.Client, root: str) -> None:
    many = ["x" * 1000] * 700
    assert put(admin, root, "group/low", {"texts": many}).status_code == 201
    refused = problem(put(admin, root, "group/high", {"texts": many}), 422)
    assert "the combination of all, group:high, group:low: 14" in refused["detail"]
    assert "at most 1048576" in refused["errors"][0]["reason"]
    assert put(admin, root, "all/-", {"texts": many[:10]}).status_code == 201
    made(admin.post(f"{root}/owners", json={"name": "jo"}))
    assert "all, group:low, owner:jo" in problem(put(admin, root, "owner/jo", {"texts": many}), 422)["detail"]


def test_a_pair_that_nobody_is_in_yet(admin: httpx.Client, root: str) -> None:
    many = ["x" * 1000] * 700
    made(admin.post(f"{root}/groups", json={"name": "empty", "weight": 30, "filter": "false"}))
    assert put(admin, root, "group/empty", {"texts": many}).status_code == 201
    assert "group:empty, group:low" in problem(put(admin, root, "group/low", {"texts": many}), 422)["detail"]
