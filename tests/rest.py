"""The REST API as tests talk to it: names of their own, problems checked, the present ETag fetched."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

PASSWORD = "a good password"
CONFIG: dict[str, Any] = {
    "type": "record",
    "name": "C",
    "fields": [
        {"name": "n", "type": "int", "default": 1},
        {"name": "s", "type": {"type": "array", "items": "string"}, "default": []},
    ],
}
WAIT_S = 20.0
POLL_S = 0.02
T = TypeVar("T")
As = Callable[..., httpx.Client]


def fresh(prefix: str) -> str:
    """A name that nobody else has."""
    return f"{prefix}-{secrets.token_hex(4)}"


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer, checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def match(client: httpx.Client, path: str) -> dict[str, str]:
    """If-Match with the present ETag of what is at `path`."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return {"If-Match": answer.headers["etag"]}


def made(answer: httpx.Response, status: int = 201) -> dict[str, Any]:
    """The value of an answer that made something."""
    assert answer.status_code == status, answer.text
    value: dict[str, Any] = answer.json()
    return value


def rows(client: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """All rows of a list, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = made(client.get(path, params=query | ({"cursor": cursor} if cursor else {})), 200)
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def polled(read: Callable[[], T], good: Callable[[T], bool]) -> T:
    """What `read` gives, once it is good."""
    deadline_s = time.monotonic() + WAIT_S
    while not good(found := read()):
        assert time.monotonic() < deadline_s, found
        time.sleep(POLL_S)
    return found


def token_client(base: httpx.URL | str, token: str) -> httpx.Client:
    """A client with a token."""
    return httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60, follow_redirects=True)


def sign_in(anonymous: httpx.Client, user: str, password: str = PASSWORD) -> str:
    """The token of a sign-in."""
    return str(made(anonymous.post("/login", json={"user": user, "password": password}))["token"])


@contextmanager
def signing_in(platform: httpx.Client, anonymous: httpx.Client) -> Iterator[As]:
    """A maker of clients, each a new user: `as_(tenant, role)`; the tenant is made if need be."""
    clients: list[httpx.Client] = []
    admins: dict[str, httpx.Client] = {}

    def user(maker: httpx.Client, tenant: str, role: str) -> httpx.Client:
        name = fresh("user")
        made(maker.post("/users", json={"name": name, "password": PASSWORD, "roles": [role], "tenant": tenant}))
        clients.append(token_client(anonymous.base_url, sign_in(anonymous, f"{tenant}/{name}")))
        return clients[-1]

    def as_(tenant: str, role: str = "tenant-admin") -> httpx.Client:
        if platform.get(f"/tenants/{tenant}").status_code == 404:
            made(platform.post("/tenants", json={"id": tenant, "name": tenant}))
        if role in ("tenant-admin", "platform-admin"):
            return user(platform, tenant, role)
        if tenant not in admins:
            admins[tenant] = user(platform, tenant, "tenant-admin")
        return user(admins[tenant], tenant, role)

    yield as_
    for client in clients:
        client.close()
