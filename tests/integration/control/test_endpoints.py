"""Endpoints over REST: whose they are, what operators say of them, trying again."""

import httpx

from tests.rest import made, match, problem, rows


def patched(api: httpx.Client, path: str, body: object, status: int = 200) -> httpx.Response:
    answer = api.patch(path, json=body, headers=match(api, path))
    assert answer.status_code == status, answer.text
    return answer


def test_an_endpoint_has_an_owner(api: httpx.Client, app: str) -> None:
    root = f"/applications/{app}"
    for name in ("jo", "mia"):
        made(api.post(f"{root}/owners", json={"name": name}))
    assert made(api.post(f"{root}/endpoints", json={"id": "e1", "owner": "jo"}))["owner"] == "jo"
    assert made(api.post(f"{root}/endpoints", json={"id": "e2"}))["owner"] is None
    wrong = problem(api.post(f"{root}/endpoints", json={"id": "e3", "owner": "nobody"}), 422)
    assert wrong["errors"] == [{"path": "/owner", "reason": "no owner 'nobody'"}]
    path = f"{root}/endpoints/e2"
    assert problem(patched(api, path, {"owner": "nobody"}, 422), 422)["errors"][0]["path"] == "/owner"
    assert made(patched(api, path, {"owner": "jo"}), 200)["owner"] == "jo"
    assert [row["id"] for row in rows(api, f"{root}/endpoints", owner="jo")] == ["e1", "e2"]
    assert [row["id"] for row in rows(api, f"{root}/endpoints", owner="jo", revoked=False, limit=1)] == ["e1", "e2"]
    owner = f"{root}/owners/jo"
    assert "'e" in problem(api.delete(owner, headers=match(api, owner)), 409)["detail"]
    for ep in ("e1", "e2"):
        assert made(patched(api, f"{root}/endpoints/{ep}", {"owner": None}), 200)["owner"] is None
    assert api.delete(owner, headers=match(api, owner)).status_code == 204
    assert rows(api, f"{root}/endpoints", owner="jo") == []


def test_operators_ask_to_try_again(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}/endpoints/e1"
    made(api.post(f"/applications/{app}/endpoints", json={"id": "e1"}))
    problem(api.post(f"{path}/retry"), 428)
    for _ in range(2):
        made(api.post(f"{path}/retry", headers=match(api, path)), 200)
    changes = rows(api, "/audit", app=app)[::-1]
    assert [c["after"]["retry"] for c in changes if c["target"] == f"{app}/e1" and "retry" in c["after"]] == [1, 2]
