"""Conditional requests, idempotency keys, bad input: what is refused is refused whole."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.rest import As, fresh, made, match, problem, rows, token_client

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def unchanged(platform: httpx.Client, api: httpx.Client) -> Iterator[None]:
    """Nothing is written in the test: the change log's head is the same behind it."""

    def head() -> int:
        return int(made(platform.get("/changes?limit=1"), 200)["head"])

    before = head()
    yield
    assert head() == before


def test_if_match_takes_a_list_and_a_star(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}"
    tag = match(api, path)["If-Match"]
    assert api.patch(path, json={"trust": "closed"}, headers={"If-Match": f'"1", {tag}'}).status_code == 200
    assert api.patch(path, json={"trust": "open"}, headers={"If-Match": "*"}).status_code == 200
    refused = api.patch(path, json={"trust": "closed"}, headers={"If-Match": tag})
    problem(refused, 412)
    assert refused.headers["etag"] == match(api, path)["If-Match"]
    missing = api.patch(path, json={"trust": "closed"})
    problem(missing, 428)
    assert missing.headers["etag"] == match(api, path)["If-Match"]


def test_a_patch_of_a_patch_leaves_the_rest(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}"
    before = made(api.get(path), 200)
    after = made(api.patch(path, json={}, headers=match(api, path)), 200)
    assert after | {"rev": 0} == before | {"rev": 0}
    changed = made(api.patch(path, json={"trust": "closed", "default_stream": None}, headers=match(api, path)), 200)
    assert (changed["trust"], changed["default_stream"], changed["name"]) == ("closed", "values", before["name"])


def test_the_same_key_and_body_is_the_same_answer(api: httpx.Client, app: str, signed_in: As) -> None:
    path = f"/applications/{app}/endpoints"
    key = {"Idempotency-Key": fresh("key")}
    first = api.post(path, json={"id": "e1"}, headers=key)
    again = api.post(path, json={"id": "e1"}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "another request" in problem(api.post(path, json={"id": "e2"}, headers=key), 422)["detail"]
    assert [row["id"] for row in rows(api, path)] == ["e1"]
    problem(api.post(path, json={"id": "e1"}), 409)
    other = token_client(api.base_url, made(api.post("/tokens", json={"name": "other"}))["token"])
    made(other.post(path, json={"id": "e2"}, headers=key))  # another caller's key is another key


def test_a_refused_create_frees_its_key(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}/groups"
    key = {"Idempotency-Key": fresh("key")}
    problem(api.post(path, json={"name": "g", "weight": 1, "filter": "("}, headers=key), 422)
    made(api.post(path, json={"name": "g", "weight": 1, "filter": "true"}, headers=key))


def test_one_key_used_at_once_makes_one_thing(api: httpx.Client) -> None:
    key = {"Idempotency-Key": fresh("key")}
    barrier = threading.Barrier(6)

    def create(_: int) -> httpx.Response:
        barrier.wait()
        return api.post("/tokens", json={"name": "once"}, headers=key)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(create, range(6)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert [row["name"] for row in rows(api, "/tokens")].count("once") == 1


@pytest.mark.parametrize("key", ["", "x" * 129, "a\tb"])
def test_a_wrong_key_is_refused(api: httpx.Client, key: str) -> None:
    assert problem(api.post("/tokens", json={"name": "t"}, headers={"Idempotency-Key": key}), 422)["errors"]


def test_a_key_is_for_what_makes_something(api: httpx.Client, app: str) -> None:
    problem(
        api.post(
            f"/applications/{app}/schemas/check", json={"kind": "log", "body": "int"}, headers={"Idempotency-Key": "k"}
        ),
        422,
    )


BAD_BODIES: list[tuple[bytes, int]] = [
    (b"{", 400), (b"\xff\xfe", 400), (b'{"name": NaN}', 400), (b'{"name": "\\ud800"}', 400), (b"[" * 100_000, 400),
    (b'{"a":' * 70 + b"1" + b"}" * 70, 400), (b'{"name": "x", "a\\u0000b": 1}', 400), (b'{"name": 1e400}', 400),
    (b'{"name": 99999999999999999999999999}', 400), (b"[]", 422), (b"", 422), (b"null", 422), (b'"x"', 422), (b'{"name": 1}', 422),
    (b'{"name": "x", "other": 1}', 422), (b'{"name": "a\\u0000b"}', 422), (b'{"name": ""}', 422), (b'{"name": "x", "trust": "maybe"}', 422),
    (b'{"name": "x", "keys": {}}', 422), (b'{"name": "' + b"x" * 10_000_000 + b'"}', 413),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), BAD_BODIES, ids=[f"{body[:24]!r}" for body, _ in BAD_BODIES])
@pytest.mark.usefixtures("unchanged")
def test_bad_bodies_write_nothing(api: httpx.Client, body: bytes, status: int) -> None:
    refused = problem(api.post("/applications", content=body, headers=JSON), status)
    assert "Traceback" not in json.dumps(refused)
    if status == 422:
        assert all(error["path"].startswith("/") or error["path"] == "" for error in refused["errors"])


@pytest.mark.usefixtures("unchanged")
def test_a_chunked_body_that_is_too_large_is_told_so(api: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(160):
            yield b"x" * 65536

    problem(api.post("/applications", content=chunks(), headers=JSON), 413)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "", "application/jsonx"]
)
@pytest.mark.usefixtures("unchanged")
def test_a_body_that_is_not_json_is_refused_by_its_type(api: httpx.Client, kind: str) -> None:
    assert (
        "application/json"
        in problem(api.post("/applications", content=b'{"name": "x"}', headers={"Content-Type": kind}), 415)["detail"]
    )


@pytest.mark.usefixtures("unchanged")
def test_what_breaks_a_rule_writes_nothing(api: httpx.Client, platform: httpx.Client) -> None:
    for method, path, body, status in (
        ("POST", "/applications/zzzzzzzz/endpoints", {"id": "e1"}, 404),
        ("POST", "/applications/zzzzzzzz/schemas", {"kind": "config", "body": "int"}, 404),
        ("PUT", "/applications/zzzzzzzz/configurations/all/-", {"data": {}}, 404),
        ("PUT", "/applications/zzzzzzzz/configurations/some/-", {"data": {}}, 422),
        ("POST", "/types", {"body": {"type": "record", "name": "x y", "fields": []}}, 422),
        ("POST", "/types", {"body": {"type": "record", "name": "X", "fields": [{"name": "a", "type": "nope"}]}}, 422),
        ("POST", "/types", {"body": {"type": "error", "name": "X", "fields": []}}, 422),
        ("POST", "/tenants", {"id": "Upper", "name": "x"}, 422),
        ("POST", "/tokens", {"name": "t", "ttl_s": 1}, 422),
        ("POST", "/tokens", {"name": "t", "roles": []}, 422),
        ("POST", "/tokens", {"name": "t", "roles": ["root"]}, 422),
        ("POST", "/users", {"name": "u", "password": "short", "roles": ["tenant-viewer"]}, 422),
        ("POST", "/login", {"user": "a", "password": 1}, 422),
        ("POST", "/tokens", {"name": "t", "read_only": 0}, 422),
        ("POST", "/tokens", {"name": "t", "ttl_s": "60"}, 422),
        ("POST", "/tokens", {"name": "t", "ttl_s": 60.5}, 422),
        ("POST", "/applications/import", {"akela": 2, "application": {"name": "x"}}, 422),
    ):  # fmt: skip
        problem(api.request(method, path, json=body), status)


def deep(levels: int) -> Any:
    value: Any = "int"
    for _ in range(levels):
        value = {"type": "array", "items": value}
    return value


@pytest.mark.parametrize("levels", [40, 62, 80, 400])
def test_a_deep_schema_is_taken_or_refused_never_a_failure(api: httpx.Client, app: str, levels: int) -> None:
    answer = api.post(f"/applications/{app}/schemas", json={"kind": "log", "name": "deep", "body": deep(levels)})
    assert answer.status_code in (201, 400, 422)


def test_an_expired_token_and_a_forged_cursor_are_told_apart_from_good_ones(api: httpx.Client, app: str) -> None:
    for cursor in ("x", "e30", "AAAA" * 10, "bnVsbA", "=", "Ä", "A" * 1025):
        answer = api.get(f"/applications/{app}/endpoints", params={"cursor": cursor})
        assert answer.status_code in (400, 422)
        assert problem(answer, answer.status_code)["errors"][0]["path"] == "/cursor"
