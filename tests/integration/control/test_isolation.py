"""Every route of the OpenAPI, walked by a stranger and by each role: another tenant's things cannot be told from what is not there."""

import re
from typing import Any

import httpx
import pytest

from tests.akela_up import AkelaUp
from tests.rest import As, fresh, made, problem
from tests.rest_world import Operation, World, every

NOBODY = {
    "app": "zzzzzzzz", "tenant": "no-such-tenant", "user": "no-such-user", "token": "000000000000", "type": "no.such.Type",
}  # fmt: skip
OWN_ACCOUNT = ("/login", "/logout", "/me", "/me/password")
WIDE = {"POST /applications/{app}/schemas/check"}  # a POST that writes nothing


@pytest.fixture
def described(akela: AkelaUp) -> dict[str, Any]:
    """The OpenAPI document."""
    value: dict[str, Any] = httpx.get(f"{akela.ready['api']}/openapi.json").json()
    return value


@pytest.fixture
def world(api: httpx.Client) -> World:
    """A tenant with one of everything."""
    return World(api)


def asked(client: httpx.Client, operation: Operation, path: str, body: Any) -> httpx.Response:
    headers = {"If-Match": "*"} if operation.matched else {}
    return client.request(operation.method, path, json=body, headers=headers) if body is not None else client.request(
        operation.method, path, headers=headers
    )  # fmt: skip


def told(answer: httpx.Response, names: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    """What an answer tells: without the names asked for, the request's id, the date."""
    text = re.sub(r'"request_id":"\w+"', "", answer.text)
    for name in sorted(names.values(), key=len, reverse=True):
        text = text.replace(name, "?")
    headers = {
        k: v for k, v in answer.headers.items() if k not in ("x-request-id", "date", "content-length", "location")
    }
    return answer.status_code, text, headers


@pytest.mark.parametrize("role", ["tenant-admin", "tenant-developer", "tenant-viewer"])
def test_every_route_answers_a_stranger_as_if_nothing_were_there(
    described: dict[str, Any], world: World, signed_in: As, role: str
) -> None:
    stranger = signed_in(fresh("tenant"), role)
    owned = 0
    for operation in every(described):
        if operation.path in OWN_ACCOUNT or "{" not in operation.path:
            continue
        body = world.body(operation, name="same")
        theirs = asked(stranger, operation, world.path(operation.path, world.values()), body)
        nobodys = asked(stranger, operation, world.path(operation.path, NOBODY), body)
        assert told(theirs, world.values()) == told(nobodys, NOBODY), operation
        expected = 403 if operation.path == "/users/{name}" and role != "tenant-admin" else 404
        problem(theirs, expected)
        owned += 1
    assert owned > 80


def test_every_list_shows_a_stranger_its_own_only(
    described: dict[str, Any], world: World, signed_in: As, api: httpx.Client
) -> None:
    stranger = signed_in(fresh("tenant"))
    lists = [o for o in every(described) if o.method == "GET" and "{" not in o.path]
    assert len(lists) >= 8
    for operation in lists:
        text = stranger.get(operation.path).text
        for name in world.values().values():
            assert name not in text, operation
        for query in (f"?prefix={world.name}", f"?name={world.name}", f"?user={world.user}", f"?tenant={world.tenant}"):
            assert world.app not in stranger.get(operation.path + query).text


def test_names_that_another_tenant_has_are_free(world: World, signed_in: As) -> None:
    """Neither users, applications nor types tell by a conflict that somebody else has them."""
    stranger = signed_in(fresh("tenant"))
    user = {"name": world.user, "password": "a good password", "roles": ["tenant-viewer"]}
    made(stranger.post("/users", json=user))
    made(stranger.post("/applications", json={"name": world.name}))
    body = {"type": "record", "name": "Position", "namespace": world.type.partition(".")[0], "fields": []}
    assert made(stranger.post("/types", json={"body": body}))["version"] == 1
    scoped = problem(stranger.post("/tokens", json={"name": "t", "applications": [world.app]}), 422)
    nobody = problem(stranger.post("/tokens", json={"name": "t", "applications": ["zzzzzzzz"]}), 422)
    assert scoped["detail"].replace(world.app, "?") == nobody["detail"].replace("zzzzzzzz", "?")


def test_references_do_not_reach_another_tenant(world: World, signed_in: As) -> None:
    stranger = signed_in(fresh("tenant"))
    app = made(stranger.post("/applications", json={"name": "mine"}))["id"]
    schema = {
        "type": "record", "name": "X", "dependencies": [{"fqn": world.type, "version": 1}],
        "fields": [{"name": "p", "type": world.type}],
    }  # fmt: skip
    refused = problem(stranger.post(f"/applications/{app}/schemas", json={"kind": "config", "body": schema}), 422)
    assert refused["errors"][0]["path"] == "/body/dependencies/0"


def test_a_cursor_of_another_list_is_refused(world: World, signed_in: As, api: httpx.Client) -> None:
    cursor = made(api.get(f"/applications/{world.app}/schemas?limit=1"), 200)["next"]
    stranger = signed_in(fresh("tenant"))
    app = made(stranger.post("/applications", json={"name": "mine"}))["id"]
    problem(stranger.get(f"/applications/{app}/schemas?limit=1&cursor={cursor}"), 400)
    problem(api.get(f"/applications/{world.app}/schemas?limit=1&kind=config&cursor={cursor}"), 400)
    assert made(api.get(f"/applications/{world.app}/schemas?limit=1&cursor={cursor}"), 200)["items"]


@pytest.mark.parametrize("role", ["tenant-viewer", "tenant-developer", "tenant-admin", "platform-admin"])
def test_every_route_refuses_what_a_role_may_not(
    described: dict[str, Any], world: World, signed_in: As, role: str, api: httpx.Client
) -> None:
    """K101: viewers write nothing, developers manage no users, tenant-admins touch no tenants, platform-admins work in no tenant."""
    caller = signed_in(world.tenant, role)
    seen: dict[str, int] = {}
    for operation in every(described):
        if operation.path in OWN_ACCOUNT or operation.path.startswith("/tokens"):
            continue  # everybody's own
        body = world.body(operation) if operation.method != "DELETE" else None
        if operation.method == "DELETE" and role != "tenant-viewer":
            continue  # the world is needed to the end
        answer = asked(caller, operation, world.path(operation.path, world.values()), body)
        seen[str(operation)] = answer.status_code
        write = operation.method != "GET" and str(operation) not in WIDE
        may = {
            "tenant-viewer": not write,
            "tenant-developer": True,
            "tenant-admin": True,
            "platform-admin": not operation.path.startswith(("/applications", "/types")),
        }[role]
        if operation.path.startswith("/users") or operation.path in ("/changes", "/audit"):
            may = role in ("tenant-admin", "platform-admin")
        if operation.path.startswith("/tenants") and write:
            may = role == "platform-admin"
        if operation.path == "/users" and operation.method == "POST":
            may = role == "tenant-admin"
        assert (answer.status_code == 403) == (not may), (str(operation), role, answer.text)
    assert len(seen) > 70


def test_a_read_only_token_writes_nothing(described: dict[str, Any], world: World, api: httpx.Client) -> None:
    token = made(api.post("/tokens", json={"name": "reader", "read_only": True}))["token"]
    with httpx.Client(base_url=api.base_url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as reader:
        for operation in every(described):
            path = world.path(operation.path, world.values()) if "{" in operation.path else operation.path
            if operation.method == "GET":
                assert asked(reader, operation, path, None).status_code == 200, operation
            elif operation.path not in ("/login", "/logout"):
                problem(asked(reader, operation, path, world.body(operation)), 403)


def test_a_token_scoped_to_an_application_reaches_no_other(world: World, api: httpx.Client) -> None:
    other = made(api.post("/applications", json={"name": "other"}))["id"]
    token = made(api.post("/tokens", json={"name": "scoped", "applications": [world.app]}))
    assert (token["roles"], token["applications"]) == (["tenant-developer"], [world.app])
    with httpx.Client(
        base_url=api.base_url, headers={"Authorization": f"Bearer {token['token']}"}, timeout=60
    ) as scoped:
        assert [row["id"] for row in made(scoped.get("/applications"), 200)["items"]] == [world.app]
        made(scoped.post(f"/applications/{world.app}/endpoints", json={"id": fresh("e")}))
        problem(scoped.get(f"/applications/{other}"), 404)
        problem(scoped.post(f"/applications/{other}/endpoints", json={"id": "e1"}), 404)
        for path in ("/users", "/changes"):
            problem(scoped.get(path), 403)
        problem(scoped.post("/applications", json={"name": "more"}), 403)
        problem(scoped.post("/tokens", json={"name": "more", "applications": [other]}), 422)
        made_here = made(scoped.post("/tokens", json={"name": "less"}))
        assert made_here["applications"] == [world.app]
        assert [row["id"] for row in made(scoped.get("/tokens"), 200)["items"]] == [token["id"]]
        problem(scoped.get(f"/tokens/{world.token}"), 404)
