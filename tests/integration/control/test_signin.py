"""Sign-in: waits after wrong passwords, never a lock; passwords changed, tokens that end, rates, request ids. On an Akela of its own."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.akela_up import AkelaUp, started
from tests.rest import PASSWORD, As, fresh, made, match, problem, sign_in, signing_in, token_client

RATE = {"AKELA_API_RATE": "5", "AKELA_API_BURST": "40"}


@pytest.fixture
def anonymous(tmp_path: Path) -> Iterator[httpx.Client]:
    for up in started(tmp_path / "data"):
        with httpx.Client(base_url=f"{up.ready['api']}/api/v1", timeout=60) as client:
            client.headers["X-Admin"] = json.dumps(up.ready["admin"])
            yield client


@pytest.fixture
def platform(anonymous: httpx.Client) -> Iterator[httpx.Client]:
    admin = json.loads(anonymous.headers["X-Admin"])
    with token_client(anonymous.base_url, sign_in(anonymous, admin["user"], admin["password"])) as client:
        yield client


@pytest.fixture
def signed_in(platform: httpx.Client, anonymous: httpx.Client) -> Iterator[As]:
    with signing_in(platform, anonymous) as as_:
        yield as_


def attempt(client: httpx.Client, user: str, password: str) -> httpx.Response:
    return client.post("/login", json={"user": user, "password": password})


def test_wrong_passwords_make_the_next_try_wait_and_lock_nobody_out(anonymous: httpx.Client, signed_in: As) -> None:
    tenant = fresh("tenant")
    admin = signed_in(tenant)
    made(admin.post("/users", json={"name": "ann", "password": PASSWORD, "roles": ["tenant-viewer"]}))
    made(admin.post("/users", json={"name": "bob", "password": PASSWORD, "roles": ["tenant-viewer"]}))
    ann = f"{tenant}/ann"
    waits: list[int] = []
    for _ in range(4):
        problem(attempt(anonymous, ann, "wrong"), 401)
    refused = attempt(anonymous, ann, PASSWORD)  # the right one, too early
    assert "try again in" in problem(refused, 429)["detail"]
    waits.append(int(refused.headers["retry-after"]))
    assert 1 <= waits[0] <= 2
    assert sign_in(anonymous, f"{tenant}/bob")  # nobody else waits
    for _ in range(5000):  # asking too early does not make the wait longer
        answer = attempt(anonymous, ann, PASSWORD)
        if answer.status_code == 201:
            break
        assert answer.status_code == 429
    assert answer.status_code == 201
    for _ in range(3):  # and it begins anew
        problem(attempt(anonymous, ann, "wrong"), 401)


def test_a_user_that_is_not_there_waits_as_one_that_is(anonymous: httpx.Client) -> None:
    for _ in range(4):
        problem(attempt(anonymous, "default/nobody", "wrong"), 401)
    assert "retry-after" in attempt(anonymous, "default/nobody", "wrong").headers


def test_an_address_that_tries_many_users_waits(anonymous: httpx.Client) -> None:
    codes = [attempt(anonymous, f"default/user{number}", "wrong").status_code for number in range(23)]
    assert codes[:21] == [401] * 21
    assert set(codes[21:]) == {429}


def test_a_password_is_changed_by_who_knows_it(anonymous: httpx.Client, signed_in: As) -> None:
    tenant = fresh("tenant")
    user = signed_in(tenant)
    name = made(user.get("/me"), 200)["user"]
    other = token_client(anonymous.base_url, sign_in(anonymous, f"{tenant}/{name}"))
    tool = token_client(anonymous.base_url, made(user.post("/tokens", json={"name": "tool"}))["token"])
    wrong = user.put("/me/password", json={"present": "wrong", "new": "another password"})
    assert problem(wrong, 422)["errors"][0]["path"] == "/present"
    problem(user.put("/me/password", json={"present": PASSWORD, "new": "short"}), 422)
    assert user.put("/me/password", json={"present": PASSWORD, "new": "another password"}).status_code == 204
    assert user.get("/me").status_code == 200
    problem(other.get("/me"), 401)  # the other sign-in ends, the tool's token goes on
    assert tool.get("/me").status_code == 200
    problem(attempt(anonymous, f"{tenant}/{name}", PASSWORD), 401)
    assert sign_in(anonymous, f"{tenant}/{name}", "another password")


def test_sign_out_ends_this_token_alone(anonymous: httpx.Client, signed_in: As) -> None:
    tenant = fresh("tenant")
    user = signed_in(tenant)
    other = token_client(anonymous.base_url, sign_in(anonymous, f"{tenant}/{made(user.get('/me'), 200)['user']}"))
    assert user.post("/logout").status_code == 204
    problem(user.get("/me"), 401)
    problem(user.post("/logout"), 401)
    assert other.get("/me").status_code == 200


def test_a_user_that_is_deleted_or_loses_a_role_has_no_tokens(anonymous: httpx.Client, signed_in: As) -> None:
    tenant = fresh("tenant")
    admin = signed_in(tenant)
    for change in ("roles", "delete", "password"):
        name = fresh("user")
        made(admin.post("/users", json={"name": name, "password": PASSWORD, "roles": ["tenant-developer"]}))
        client = token_client(anonymous.base_url, sign_in(anonymous, f"{tenant}/{name}"))
        assert client.get("/me").status_code == 200
        path, tag = f"/users/{name}", match(admin, f"/users/{name}")
        if change == "delete":
            assert admin.delete(path, headers=tag).status_code == 204
        elif change == "roles":
            made(admin.put(path, json={"roles": ["tenant-viewer"]}, headers=tag), 200)
        else:
            made(admin.patch(path, json={"password": "a new password"}, headers=tag), 200)
            assert sign_in(anonymous, f"{tenant}/{name}", "a new password")
        problem(client.get("/me"), 401)


def test_a_user_outside_the_default_tenant_names_it(anonymous: httpx.Client, signed_in: As) -> None:
    tenant = fresh("tenant")
    name = made(signed_in(tenant).get("/me"), 200)["user"]
    problem(attempt(anonymous, name, PASSWORD), 401)
    assert (
        made(anonymous.post("/login", json={"user": name, "tenant": tenant, "password": PASSWORD}))["tenant"] == tenant
    )
    both = {"user": f"{tenant}/{name}", "tenant": "default", "password": PASSWORD}
    assert problem(anonymous.post("/login", json=both), 422)["errors"][0]["path"] == "/tenant"


def test_a_token_has_a_rate_and_a_request_an_id(tmp_path: Path) -> None:
    for up in started(tmp_path / "data", environment=RATE):
        base = f"{up.ready['api']}/api/v1"
        with httpx.Client(base_url=base, timeout=60) as anonymous:
            client = token_client(base, sign_in(anonymous, up.ready["admin"]["user"], up.ready["admin"]["password"]))
            other = token_client(base, sign_in(anonymous, up.ready["admin"]["user"], up.ready["admin"]["password"]))
            answers = [client.get("/me") for _ in range(200)]
            assert [answer.status_code for answer in answers[:40]] == [200] * 40
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert problem(refused, 429)
            assert int(refused.headers["retry-after"]) >= 1
            assert other.get("/me").status_code == 200  # its own bucket
            check_ids(up, other)


def check_ids(up: AkelaUp, client: httpx.Client) -> None:
    answer = client.post("/applications", json={"name": "x"}, headers={"X-Request-Id": "mine-1.2:3"})
    assert answer.headers["x-request-id"] == "mine-1.2:3"
    up.lines.until("request=mine-1.2:3")
    for bad in ("a b", "x" * 129, "a\tb", '"'):
        made_up = client.get("/nothing", headers={"X-Request-Id": bad})
        assert re.fullmatch(r"[0-9a-f]{16}", problem(made_up, 404)["request_id"])
