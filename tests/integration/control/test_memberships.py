"""Who is in which group, over REST: stored at once for one endpoint, in the background for all; previews; filters that fail."""

from typing import Any

import httpx
import pytest

from tests.rest import made, match, polled, problem, rows

SERVER_PROFILE = {"type": "record", "name": "P", "fields": [{"name": "site", "type": "string"}]}


@pytest.fixture
def root(api: httpx.Client, app: str) -> str:
    """An application with endpoints n-0 to n-9 and a server-side profile."""
    root = f"/applications/{app}"
    made(api.post(f"{root}/schemas", json={"kind": "server-profile", "body": SERVER_PROFILE}))
    made(api.post(f"{root}/endpoint-batches", json={"items": [{"id": f"n-{n}"} for n in range(10)]}), 200)
    return root


def group(api: httpx.Client, root: str, name: str, text: str, weight: int) -> None:
    made(api.post(f"{root}/groups", json={"name": name, "weight": weight, "filter": text}))


def evaluated(api: httpx.Client, root: str, name: str) -> dict[str, Any]:
    """The evaluation of a group, once it is done."""
    return polled(
        lambda: made(api.get(f"{root}/groups/{name}/evaluation"), 200), lambda found: found["state"] == "done"
    )


def members(api: httpx.Client, root: str, name: str, **more: Any) -> list[str]:
    return [row["id"] for row in rows(api, f"{root}/endpoints", group=name, **more)]


def test_a_changed_group_reaches_the_stored_endpoints(api: httpx.Client, root: str) -> None:
    group(api, root, "low", 'ep < "n-3"', 10)
    found = evaluated(api, root, "low")
    assert (found["done"], found["total"], found["matched"], found["errors"]) == (10, 10, 3, 0)
    assert found["started"] <= found["ended"]
    assert members(api, root, "low", limit=2) == ["n-0", "n-1", "n-2"]
    path = f"{root}/groups/low"
    made(api.patch(path, json={"filter": 'ep >= "n-9"'}, headers=match(api, path)), 200)
    assert evaluated(api, root, "low")["matched"] == 1
    assert members(api, root, "low") == ["n-9"]
    group(api, root, "other", "true", 20)
    assert api.delete(path, headers=match(api, path)).status_code == 204
    evaluated(api, root, "other")
    assert members(api, root, "low") == []
    assert made(api.get(f"{root}/endpoints/n-9"), 200)["groups"] == ["other"]
    problem(api.get(f"{root}/groups/all/evaluation"), 404)


def test_k47_one_filter_in_two_groups(api: httpx.Client, root: str) -> None:
    group(api, root, "a", 'ep == "n-1"', 1)
    group(api, root, "b", 'ep == "n-1"', 2)
    polled(lambda: made(api.get(f"{root}/endpoints/n-1"), 200)["groups"], lambda found: found == ["a", "b"])


def test_k46_nobody_filters_all(api: httpx.Client, root: str) -> None:
    problem(api.patch(f"{root}/groups/all", json={"filter": "false"}, headers=match(api, f"{root}/groups/all")), 409)


def test_k52_server_side_profile_and_owner_move_an_endpoint_at_once(api: httpx.Client, root: str) -> None:
    group(api, root, "north", 'server.site == "north"', 10)
    group(api, root, "jos", 'owner == "jo"', 20)
    assert evaluated(api, root, "north")["errors"] == 10
    made(api.post(f"{root}/owners", json={"name": "jo"}))
    path = f"{root}/endpoints/n-4"
    changed = api.patch(path, json={"owner": "jo", "server_profile": {"site": "north"}}, headers=match(api, path))
    assert made(changed, 200)["groups"] == ["jos", "north"]
    assert made(api.get(path), 200)["group_errors"] == {}
    made(api.patch(path, json={"server_profile": {"site": "south"}}, headers=match(api, path)), 200)
    assert members(api, root, "north") == []
    assert members(api, root, "jos", owner="jo", revoked=False) == ["n-4"]


def test_what_is_provisioned_has_its_groups(api: httpx.Client, root: str) -> None:
    group(api, root, "new", 'ep.startsWith("new")', 10)
    group(api, root, "north", 'server.site == "north"', 20)
    evaluated(api, root, "new")
    one = made(api.post(f"{root}/endpoints", json={"id": "new-1", "server_profile": {"site": "north"}}))
    assert one["groups"] == ["new", "north"]
    made(api.post(f"{root}/endpoint-batches", json={"items": [{"id": "new-2"}, {"id": "old"}]}), 200)
    assert members(api, root, "new") == ["new-1", "new-2"]
    assert made(api.get(f"{root}/endpoints/old"), 200)["group_errors"] == {"north": "there is no 'site'"}


def test_a_filter_that_fails_is_listed_with_its_reason(api: httpx.Client, root: str) -> None:
    group(api, root, "a.b", 'ep == "n-0" || server.site == "north"', 10)
    assert evaluated(api, root, "a.b")["errors"] == 9
    found = rows(api, f"{root}/groups/a.b/errors", limit=4)
    assert found == [{"endpoint": f"n-{n}", "reason": "there is no 'site'"} for n in range(1, 10)]
    problem(api.get(f"{root}/groups/nope/errors"), 404)


def test_a_preview_tells_what_a_filter_would_match(api: httpx.Client, root: str) -> None:
    answer = made(api.post(f"{root}/group-preview", json={"filter": 'ep > "n-7" || server.site == "x"'}), 200)
    assert answer == {
        "matched": 2, "looked_at": 10, "total": 10, "sampled": False, "examples": ["n-8", "n-9"],
        "errors": [{"reason": "there is no 'site'", "endpoints": 8, "example": "n-0"}],
    }  # fmt: skip
    assert made(api.get(f"{root}/groups"), 200)["items"][1:] == []
    for text in ("(", "nobody == 1", ""):
        problem(api.post(f"{root}/group-preview", json={"filter": text}), 422)
