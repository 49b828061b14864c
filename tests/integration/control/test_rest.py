"""The REST API as a client meets it, on a running Akela. Each test makes what it needs in a tenant or application of its own."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.akela_up import AkelaUp
from tests.rest import CONFIG, PASSWORD, As, fresh, match, problem


def test_the_manual_of_the_api_is_served(akela: AkelaUp) -> None:
    described = httpx.get(f"{akela.ready['api']}/openapi.json").json()
    assert "/api/v1/applications/{app}/configurations/{scope}/{target}" in described["paths"]
    assert httpx.get(f"{akela.ready['api']}/docs").status_code == 200


def test_nothing_is_told_without_a_token(anonymous: httpx.Client) -> None:
    for path in (
        "applications",
        "tenants",
        "users",
        "tokens",
        "changes",
        "servers",
        "me",
        "applications/abcd/endpoints",
    ):
        assert "API token" in problem(anonymous.get(f"/{path}"), 401)["detail"]
    for token in (b"x", b"akt_", b"akt_1_2", b"Basic x", b"akt_" + b"0" * 32 + b"_x", b"\xff"):
        problem(anonymous.get("/me", headers=[(b"Authorization", b"Bearer " + token)]), 401)


@pytest.mark.parametrize(
    "body",
    [
        {"user": "admin", "password": "wrong"},
        {"user": "nobody", "password": "x" * 10},
        {"user": "a\0", "password": "x"},
    ],
)
def test_a_wrong_login_does_not_say_which_half_was_wrong(anonymous: httpx.Client, body: dict[str, str]) -> None:
    assert problem(anonymous.post("/login", json=body), 401)["detail"] == "wrong user name or password"


def test_an_application_s_life(api: httpx.Client) -> None:
    """K100: create, read, edit, delete, read."""
    made = api.post("/applications", json={"name": "fleet", "trust": "listed"})
    assert made.status_code == 201
    app = made.json()["id"]
    assert len(made.json()["claim_secret"]) > 20
    read = api.get(f"/applications/{app}")
    assert "claim_secret" not in read.text.replace("claim_secrets", "")
    assert read.json() | {"claim_secret": 0} == made.json() | {"claim_secret": 0}
    changed = api.patch(f"/applications/{app}", json={"name": "renamed"}, headers={"If-Match": read.headers["etag"]})
    assert changed.json()["name"] == "renamed"
    assert changed.headers["etag"] != read.headers["etag"]
    tag = {"If-Match": changed.headers["etag"]}
    assert api.delete(f"/applications/{app}", headers=tag).status_code == 204
    problem(api.get(f"/applications/{app}"), 404)
    problem(api.delete(f"/applications/{app}", headers=tag), 404)


def test_names_are_unique_within_a_tenant(api: httpx.Client, signed_in: As) -> None:
    assert api.post("/applications", json={"name": "same"}).status_code == 201
    problem(api.post("/applications", json={"name": "same"}), 409)
    assert signed_in(fresh("tenant")).post("/applications", json={"name": "same"}).status_code == 201


def test_k32_of_two_editors_the_second_is_told(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}/configurations/all/-"
    first = api.put(path, json={"data": {"n": 2}})
    assert first.status_code == 201
    tag = {"If-Match": first.headers["etag"]}
    assert api.put(path, json={"data": {"n": 3}}, headers=tag).status_code == 200
    assert "present ETag" in problem(api.put(path, json={"data": {"n": 4}}, headers=tag), 412)["detail"]
    problem(api.delete(path, headers=tag), 412)
    assert api.get(path).json()["data"] == {"n": 3}
    problem(api.put(f"/applications/{app}/configurations/endpoint/new", json={"data": {}}, headers=tag), 412)


def test_writers_at_once_lose_nothing_and_mix_nothing(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}/configurations/endpoint/e1"

    api.put(path, json={"data": {"n": -1, "s": ["-1"]}}).raise_for_status()

    def put(number: int) -> int:
        tag = match(api, path)
        return api.put(path, json={"data": {"n": number, "s": [str(number)]}}, headers=tag).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(put, range(24)))
    assert set(codes) <= {200, 412}
    assert 200 in codes
    data = api.get(path).json()["data"]
    assert data["s"] == [str(data["n"])]


def test_k103_many_tenants_use_the_same_names_at_once(platform: httpx.Client, signed_in: As) -> None:
    clients = [signed_in(fresh("tenant")) for _ in range(6)]

    def work(client: httpx.Client) -> list[str]:
        app = client.post("/applications", json={"name": "fleet"}).json()["id"]
        client.post(f"/applications/{app}/schemas", json={"kind": "config", "body": CONFIG}).raise_for_status()
        return [row["id"] for row in client.get("/applications").json()["items"]]

    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(work, clients))
    assert len({row[0] for row in seen}) == 6
    assert all(len(row) == 1 for row in seen)


def test_k100_a_tenant_sees_nothing_of_another(api: httpx.Client, app: str, signed_in: As) -> None:
    api.post(f"/applications/{app}/endpoints", json={"id": "e1"}).raise_for_status()
    api.put(f"/applications/{app}/configurations/all/-", json={"data": {"n": 2}}).raise_for_status()
    stranger = signed_in(fresh("tenant"))
    for path in (
        "",
        "/schemas",
        "/configurations",
        "/configurations/all/-",
        "/endpoints",
        "/endpoints/e1",
        "/streams/values/records",
    ):
        problem(stranger.get(f"/applications/{app}{path}"), 404)
    problem(stranger.put(f"/applications/{app}/configurations/all/-", json={"data": {"n": 3}}), 404)
    problem(stranger.delete(f"/applications/{app}"), 404)
    assert stranger.get("/applications").json()["items"] == []
    assert app not in stranger.get("/changes").text


@pytest.mark.parametrize("role", ["tenant-viewer", "tenant-developer"])
def test_k101_roles_bound_what_a_user_may(api: httpx.Client, app: str, signed_in: As, role: str) -> None:
    tenant = api.get("/me").json()["tenant"]
    limited = signed_in(tenant, role)
    assert limited.get(f"/applications/{app}").status_code == 200
    may = role == "tenant-developer"
    put = limited.put(f"/applications/{app}/configurations/all/-", json={"data": {"n": 5}})
    assert put.status_code == (201 if may else 403)
    user = {"name": fresh("u"), "password": PASSWORD, "roles": ["tenant-viewer"]}
    assert "roles: platform-admin, tenant-admin" in problem(limited.post("/users", json=user), 403)["detail"]
    problem(limited.post("/tenants", json={"id": fresh("t"), "name": "x"}), 403)
    problem(limited.post("/tokens", json={"name": "more", "roles": ["tenant-admin"]}), 403)


def test_k101_nobody_makes_a_user_that_is_not_theirs_to_make(api: httpx.Client, platform: httpx.Client) -> None:
    tenant = api.get("/me").json()["tenant"]
    user = {"name": fresh("u"), "password": PASSWORD}
    for role in ("platform-admin", "tenant-admin"):
        assert "platform-admin only" in problem(api.post("/users", json=user | {"roles": [role]}), 403)["detail"]
    for role in ("tenant-developer", "tenant-viewer"):
        body = user | {"roles": [role], "tenant": tenant}
        assert "tenant-admin of the tenant only" in problem(platform.post("/users", json=body), 403)["detail"]
    problem(api.post("/users", json=user | {"roles": ["tenant-viewer"], "tenant": "default"}), 404)
    for name in ("", "a b\0", "-x", "x" * 65, "a/b"):
        problem(api.post("/users", json=user | {"name": name, "roles": ["tenant-viewer"]}), 422)
    assert api.post("/users", json=user | {"roles": ["tenant-viewer"]}).status_code == 201
    problem(api.post("/users", json=user | {"roles": ["tenant-viewer"]}), 409)
    body = user | {"name": fresh("u"), "tenant": "no-such-tenant", "roles": ["tenant-admin"]}
    problem(platform.post("/users", json=body), 404)


def test_k101_nobody_takes_or_deletes_what_they_could_not_give(api: httpx.Client, platform: httpx.Client) -> None:
    me = api.get("/me").json()
    own = f"/users/{me['user']}"
    problem(
        api.put(own, json={"roles": ["tenant-admin", "tenant-developer", "platform-admin"]}, headers=match(api, own)),
        403,
    )
    problem(api.delete(own, headers=match(api, own)), 409)
    name = fresh("u")
    api.post("/users", json={"name": name, "password": PASSWORD, "roles": ["tenant-developer"]}).raise_for_status()
    theirs = f"/users/{name}?tenant={me['tenant']}"
    tag = match(platform, theirs)
    problem(platform.put(theirs, json={"roles": ["tenant-viewer"]}, headers=tag), 403)
    problem(platform.patch(theirs, json={"password": "another password"}, headers=tag), 403)
    problem(platform.patch(f"/users/{name}", json={"password": "another password"}, headers=tag), 404)
    assert (
        api.patch(f"/users/{name}", json={"roles": ["tenant-viewer"]}, headers=match(api, f"/users/{name}")).status_code
        == 200
    )
    assert platform.delete(theirs, headers=match(platform, theirs)).status_code == 204


def test_a_token_is_shown_once_and_ends_when_revoked(api: httpx.Client, anonymous: httpx.Client) -> None:
    made = api.post("/tokens", json={"name": "t", "roles": ["tenant-viewer"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert anonymous.get("/me", headers=headers).json()["roles"] == ["tenant-viewer"]
    secret = made["token"].split("_", 2)[2]
    assert secret not in api.get(f"/tokens/{made['id']}").text + api.get("/tokens").text + api.get("/changes").text
    tag = match(api, f"/tokens/{made['id']}")
    assert api.delete(f"/tokens/{made['id']}", headers=tag).status_code == 204
    assert "revoked" in problem(anonymous.get("/me", headers=headers), 401)["detail"]


def test_no_reader_sees_a_secret(api: httpx.Client, app: str) -> None:
    credential = api.post(f"/applications/{app}/endpoints", json={"id": "e1"}).json()["credential"]
    claim = api.post(f"/applications/{app}/claim-secrets").json()["claim_secret"]
    read = "".join(
        api.get(path).text
        for path in (f"/applications/{app}", f"/applications/{app}/endpoints/e1", "/users", "/changes")
    )
    for hidden in (credential, claim, "argon2"):
        assert hidden not in read
    assert not re.search(r'"hash": ?"[0-9a-f]', read)


def test_lists_are_paged_without_loss_or_repetition(api: httpx.Client, app: str) -> None:
    for number in range(7):
        api.post(f"/applications/{app}/endpoints", json={"id": f"e{number}"}).raise_for_status()
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = api.get(
            f"/applications/{app}/endpoints", params={"limit": 3} | ({"cursor": cursor} if cursor else {})
        ).json()
        assert len(page["items"]) <= 3
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sorted(set(seen))
    assert len(seen) == 7


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "cursor=x", "cursor=%00", "cursor=bnVsbA", "cursor=" + "A" * 5000]
)
def test_a_wrong_page_is_refused(api: httpx.Client, query: str) -> None:
    answer = api.get(f"/applications?{query}")
    assert answer.status_code in (400, 422)
    assert problem(answer, answer.status_code)["errors"]


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        ({"n": "x"}, "/n", "'x' is no int"),
        ({"s": ["a", 1]}, "/s/1", "1 is no string"),
        ({"nn": 1}, "/nn", "unknown field; C has: n, s"),
        ({"n": None}, "/n", "null is no int"),
    ],
)
def test_a_configuration_that_breaks_its_schema_names_the_field(
    api: httpx.Client, app: str, body: dict[str, Any], path: str, reason: str
) -> None:
    answer = api.put(f"/applications/{app}/configurations/all/-", json={"data": body})
    assert problem(answer, 422)["errors"] == [{"path": path, "reason": reason}]
    problem(api.get(f"/applications/{app}/configurations/all/-"), 404)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "record"},
        "nothing",
        None,
        [],
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "intt"}]},
        "int",
    ],
)
def test_what_is_no_avro_schema_is_refused(api: httpx.Client, app: str, body: Any) -> None:
    errors = problem(api.post(f"/applications/{app}/schemas", json={"kind": "profile", "body": body}), 422)
    assert errors["detail"]


def test_the_same_schema_again_is_the_same_version(api: httpx.Client, app: str) -> None:
    again = api.post(f"/applications/{app}/schemas", json={"kind": "config", "body": CONFIG})
    assert (again.status_code, again.json()["version"]) == (200, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b'{"name": NaN}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b"[" * 5000, 400),
        (b'{"name": 1}', 422),
        (b'{"name": "a\\u0000b"}', 422),
        (b'{"name": "x", "other": 1}', 422),
        (b"[]", 422),
        (b"", 422),
        (b'{"name": "' + b"x" * 1_100_000 + b'"}', 413),
    ],
)
def test_bad_bodies_get_a_problem_document(api: httpx.Client, body: bytes, status: int) -> None:
    problem(api.post("/applications", content=body, headers={"Content-Type": "application/json"}), status)


@pytest.mark.parametrize(
    "path", ["/nothing", "/applications/UPPER", "/applications/%00", "/applications/abcd/endpoints/a%2Fb", "/../x"]
)
def test_bad_paths_get_a_problem_document(api: httpx.Client, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code in (404, 422)
    problem(answer, answer.status_code)


def test_each_write_is_in_the_change_log(api: httpx.Client, app: str) -> None:
    api.put(f"/applications/{app}/configurations/all/-", json={"data": {"n": 2}}).raise_for_status()
    rows = api.get("/changes").json()["items"]
    mine = [(row["kind"], row["op"], row["state"]) for row in rows if row["app"] == app or row["target"] == app]
    assert ("application", "put", "done") in mine
    assert ("configuration", "put", "done") in mine
    assert json.dumps(rows[0])
    assert {row["who"] for row in rows if row["app"] == app} == {api.get("/me").json()["user"]}


def test_a_tenant_with_applications_is_not_deleted(platform: httpx.Client, api: httpx.Client, app: str) -> None:
    tenant = api.get("/me").json()["tenant"]
    assert (
        "still has applications"
        in problem(platform.delete(f"/tenants/{tenant}", headers=match(platform, f"/tenants/{tenant}")), 409)["detail"]
    )
