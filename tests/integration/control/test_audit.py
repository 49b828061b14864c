"""The audit trail over REST: who did what, when, from where; nobody sees another tenant's; secrets are masked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.rest import As, fresh, made, match, problem, rows


def listed(api: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    return rows(api, "/audit", **query)


def test_each_write_says_who_where_before_and_after(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}"
    answer = api.patch(path, json={"trust": "closed"}, headers=match(api, path) | {"X-Request-Id": "audit-1"})
    assert answer.status_code == 200
    me = made(api.get("/me"), 200)
    (change,) = listed(api, target=app, limit=1)[:1]
    assert (change["who"], change["where"], change["token"], change["request"]) == (
        me["user"],
        "127.0.0.1",
        me["token"],
        "audit-1",
    )
    assert (change["before"]["trust"], change["after"]["trust"]) == ("open", "closed")
    assert (change["op"], change["state"], change["before_rev"]) == ("put", "done", change["before"]["rev"])


def test_it_is_searched_and_paged_newest_first(api: httpx.Client, app: str) -> None:
    for number in range(7):
        made(api.post(f"/applications/{app}/endpoints", json={"id": f"e{number}"}))
    page = made(api.get("/audit", params={"kind": "endpoint", "app": app, "limit": 3}), 200)
    assert [row["target"] for row in page["items"]] == [f"{app}/e6", f"{app}/e5", f"{app}/e4"]
    found = listed(api, kind="endpoint", app=app, limit=3)
    assert [row["target"] for row in found] == [f"{app}/e{number}" for number in range(6, -1, -1)]
    assert listed(api, kind="endpoint", who="nobody") == []
    assert [row["op"] for row in listed(api, target=f"{app}/e3")] == ["put"]
    assert len(listed(api, app=app)) == 9  # the application and its schema, too


def test_it_is_searched_by_time(api: httpx.Client, app: str) -> None:
    now = datetime.now(UTC)
    assert listed(api, app=app, since=(now + timedelta(hours=1)).isoformat()) == []
    assert listed(api, app=app, until=(now - timedelta(hours=1)).isoformat()) == []
    between = listed(
        api, app=app, since=(now - timedelta(hours=1)).isoformat(), until=(now + timedelta(hours=1)).isoformat()
    )
    assert len(between) == 2


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"since": "yesterday"}, "/since"),
        ({"since": "2026-01-01T00:00:00"}, "/since"),
        ({"until": "0.5"}, "/until"),
        ({"app": "NOT AN APP"}, "/app"),
        ({"who": "\x00"}, "/who"),
        ({"limit": "0"}, "/limit"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(api: httpx.Client, query: dict[str, str], path: str) -> None:
    assert path in [error["path"] for error in problem(api.get("/audit", params=query), 422)["errors"]]


def test_secrets_are_masked_before_and_after(api: httpx.Client, app: str) -> None:
    secret = made(api.post(f"/applications/{app}/claim-secrets"))["claim_secret"]
    user = fresh("user")
    path = f"/users/{user}"
    text = api.get("/audit").text + api.get("/changes").text
    assert secret not in text
    for change in listed(api, app=app):
        for side in ("before", "after"):
            assert (change[side] or {}).get("claim_secrets", "(masked)") == "(masked)"
    problem(api.get(path), 404)


def test_nobody_sees_another_tenant_s(signed_in: As, app: str) -> None:
    stranger = signed_in(fresh("tenant"))
    assert listed(stranger, app=app) == []
    assert listed(stranger, target=app) == []
    problem(stranger.get("/audit", params={"tenant": "default"}), 404)


@pytest.mark.parametrize("role", ["tenant-developer", "tenant-viewer"])
def test_it_is_for_admins(signed_in: As, role: str) -> None:
    problem(signed_in(fresh("tenant"), role).get("/audit"), 403)


def test_nothing_writes_or_removes_from_it(api: httpx.Client) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        problem(api.request(method, "/audit", json={}), 405)


def test_a_platform_admin_sees_all_tenants_or_one(platform: httpx.Client, api: httpx.Client, app: str) -> None:
    tenant = made(api.get("/me"), 200)["tenant"]
    assert {row["tenant"] for row in listed(platform, tenant=tenant, kind="application")} == {tenant}
    assert app in [
        row["target"]
        for row in made(platform.get("/audit", params={"kind": "application", "limit": 100}), 200)["items"]
    ]


def test_a_large_number_in_a_layer_is_shown(api: httpx.Client, app: str) -> None:
    schema = {"type": "record", "name": "C", "fields": [{"name": "big", "type": "long", "default": 0}]}
    made(api.post(f"/applications/{app}/schemas", json={"kind": "config", "body": schema, "force": True}))
    layer = f"/applications/{app}/configurations/all/-"
    made(api.put(layer, json={"data": {"big": 3_000_000_000}}))
    assert made(api.get(layer), 200)["data"] == {"big": 3_000_000_000}
    assert made(api.get(f"/applications/{app}/endpoints/x/configuration"), 200)["value"] == {"big": 3_000_000_000}
