"""Configuration layers over REST: drafts, activation, history, roll-back; groups and topics that they go with."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.rest import fresh, made, match, problem, rows


@pytest.fixture
def layer(app: str) -> str:
    return f"/applications/{app}/configurations/all/-"


def test_k22_a_version_that_is_active_does_not_change(api: httpx.Client, layer: str) -> None:
    made(api.put(layer, json={"data": {"n": 2}}))
    tag = match(api, f"{layer}/versions/1")
    for answer in (
        api.put(f"{layer}/versions/1", json={"data": {"n": 3}}, headers=tag),
        api.patch(f"{layer}/versions/1", json={"data": {"n": 3}}, headers=tag),
        api.delete(f"{layer}/versions/1", headers=tag),
    ):
        assert "version 1 is active" in problem(answer, 409)["detail"]
    assert made(api.get(layer), 200)["data"] == {"n": 2}


def test_k23_saving_again_changes_the_draft_that_is_there(api: httpx.Client, layer: str) -> None:
    first = made(api.post(f"{layer}/versions", json={"data": {"n": 2}}))
    again = made(api.post(f"{layer}/versions", json={"data": {"n": 3}}), 200)
    assert (first["version"], again["version"], again["state"]) == (1, 1, "draft")
    assert [(row["version"], row["data"]) for row in rows(api, f"{layer}/versions")] == [(1, {"n": 3})]
    shown = made(api.get(layer), 200)
    assert (shown["data"], shown["active"], shown["draft"]) == ({}, None, 1)


def test_k25_a_draft_is_activated_once_and_the_old_version_is_superseded(api: httpx.Client, layer: str) -> None:
    before = made(api.put(layer, json={"data": {"n": 2}}))
    made(api.post(f"{layer}/versions", json={"data": {"n": 3}}))
    path = f"{layer}/versions/2"
    activated = made(api.post(f"{path}/activate", headers=match(api, path)), 200)
    assert activated["state"] == "active"
    assert activated["rev"] > before["rev"]
    assert {row["version"]: row["state"] for row in rows(api, f"{layer}/versions")} == {1: "superseded", 2: "active"}
    assert "active already" in problem(api.post(f"{path}/activate", headers=match(api, path)), 409)["detail"]
    assert made(api.get(layer), 200) | {"changed": 0, "rev": 0} == {
        "id": "all:-", "scope": "all", "target": "-", "data": {"n": 3}, "active": 2, "draft": None, "leases": [],
        "by": api.get("/me").json()["user"], "changed": 0, "rev": 0,
    }  # fmt: skip


def test_k26_a_deactivated_layer_contributes_nothing(api: httpx.Client, app: str) -> None:
    group = f"/applications/{app}/configurations/group/g1"
    made(api.post(f"/applications/{app}/groups", json={"name": "g1", "weight": 1, "filter": "true"}))
    made(api.put(group, json={"data": {"n": 2}}))
    made(api.post(f"{group}/versions", json={"data": {"n": 3}}))
    made(api.post(f"{group}/deactivate", headers=match(api, group)), 200)
    shown = made(api.get(group), 200)
    assert (shown["data"], shown["active"]) == ({}, None)
    assert {row["version"]: row["state"] for row in rows(api, f"{group}/versions")} == {1: "superseded", 2: "draft"}
    problem(api.post(f"{group}/deactivate", headers=match(api, group)), 409)
    draft = f"{group}/versions/2"
    assert api.delete(draft, headers=match(api, draft)).status_code == 204
    problem(api.get(draft), 404)
    assert api.delete(group, headers=match(api, group)).status_code == 204
    problem(api.get(f"{group}/versions"), 404)


def test_roll_back_makes_an_old_version_active_again(api: httpx.Client, layer: str) -> None:
    made(api.put(layer, json={"data": {"n": 1}}))
    for number in (2, 3):
        made(api.put(layer, json={"data": {"n": number}}, headers=match(api, layer)), 200)
    path = f"{layer}/versions/1"
    assert made(api.get(path), 200)["data"] == {"n": 1}
    made(api.post(f"{path}/activate", headers=match(api, path)), 200)
    shown = made(api.get(layer), 200)
    assert (shown["data"], shown["active"]) == ({"n": 1}, 1)
    states = [(row["version"], row["state"]) for row in rows(api, f"{layer}/versions", limit=1)]
    assert states == [(3, "superseded"), (2, "superseded"), (1, "active")]
    assert made(api.put(layer, json={"data": {"n": 9}}, headers=match(api, layer)), 200)["active"] == 4


def test_a_draft_outlives_what_is_set_directly(api: httpx.Client, layer: str) -> None:
    made(api.post(f"{layer}/versions", json={"data": {"n": 5}}))
    made(api.put(layer, json={"data": {"n": 2}}, headers=match(api, layer)), 200)
    states = {row["version"]: (row["state"], row["data"]) for row in rows(api, f"{layer}/versions", limit=1)}
    assert states == {2: ("active", {"n": 2}), 1: ("draft", {"n": 5})}


def test_the_same_again_is_no_new_version(api: httpx.Client, layer: str) -> None:
    made(api.put(layer, json={"data": {"n": 2}}))
    again = made(api.put(layer, json={"data": {"n": 2}}, headers=match(api, layer)), 200)
    assert again["active"] == 1


def test_a_patch_is_a_merge_patch(api: httpx.Client, layer: str) -> None:
    made(api.put(layer, json={"data": {"n": 2, "s": ["a"]}}))
    tag = match(api, layer) | {"Content-Type": "application/merge-patch+json"}
    changed = made(api.patch(layer, content=b'{"data": {"n": null, "s": ["b"]}}', headers=tag), 200)
    assert changed["data"] == {"s": ["b"]}


def test_k31_an_owner_layer_that_sets_nothing_is_refused(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}/configurations/owner/ann"
    assert problem(api.put(path, json={"data": {}}), 422)["errors"][0]["path"] == "/data"
    for body in (b"", b'{"data": ""}', b'{"data": null}', b"{}"):
        problem(api.put(path, content=body, headers={"Content-Type": "application/json"}), 422)
    problem(api.put("/applications/zzzzzzzz/configurations/owner/ann", json={"data": {"n": 1}}), 404)
    problem(api.get(path), 404)
    assert made(api.put(path, json={"data": {"n": 1}}))["scope"] == "owner"


def test_k32_two_editors_of_one_draft(api: httpx.Client, layer: str) -> None:
    made(api.post(f"{layer}/versions", json={"data": {"n": 1}}))
    path = f"{layer}/versions/1"
    tag = match(api, path)
    assert api.put(path, json={"data": {"n": 2}}, headers=tag).status_code == 200
    problem(api.put(path, json={"data": {"n": 3}}, headers=tag), 412)
    assert made(api.get(path), 200)["data"] == {"n": 2}


def test_writers_at_once_leave_a_history_that_is_true(api: httpx.Client, layer: str) -> None:
    """Each version in the history is what its writer wrote, whoever lost the race."""
    made(api.put(layer, json={"data": {"n": 0, "s": ["0"]}}))

    def put(number: int) -> None:
        body = {"data": {"n": number, "s": [str(number)]}}
        assert api.put(layer, json=body, headers=match(api, layer)).status_code in (200, 412)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(put, range(1, 25)))
    history = rows(api, f"{layer}/versions", limit=3)
    assert [row["version"] for row in history] == list(range(len(history), 0, -1))
    assert all(row["data"]["s"] == [str(row["data"]["n"])] for row in history)
    assert len({row["data"]["n"] for row in history}) == len(history)


def test_k46_the_group_all_has_no_filter(api: httpx.Client, app: str) -> None:
    groups = f"/applications/{app}/groups"
    shown = made(api.get(f"{groups}/all"), 200)
    assert (shown["weight"], shown["filter"]) == (0, "true")
    tag = match(api, f"{groups}/all")
    problem(api.put(f"{groups}/all", json={"weight": 0, "filter": "ep == 'x'"}, headers=tag), 422)
    for answer in (
        api.put(f"{groups}/all", json={"weight": 5, "filter": "ep == 'x'"}, headers=tag),
        api.patch(f"{groups}/all", json={"filter": "ep == 'x'"}, headers=tag),
        api.post(groups, json={"name": "all", "weight": 5, "filter": "true"}),
        api.delete(f"{groups}/all", headers=tag),
    ):
        assert "everyone" in problem(answer, 409)["detail"]


def test_a_weight_is_unique_within_its_application(api: httpx.Client, app: str) -> None:
    groups = f"/applications/{app}/groups"
    made(api.post(groups, json={"name": "a", "weight": 5, "filter": "true"}))
    assert (
        "group 'a' has" in problem(api.post(groups, json={"name": "b", "weight": 5, "filter": "true"}), 409)["detail"]
    )
    made(api.post(groups, json={"name": "b", "weight": 6, "filter": "true"}))
    problem(api.patch(f"{groups}/b", json={"weight": 5}, headers=match(api, f"{groups}/b")), 409)
    other = made(api.post("/applications", json={"name": "other"}))["id"]
    made(api.post(f"/applications/{other}/groups", json={"name": "a", "weight": 5, "filter": "true"}))


def test_groups_are_listed_by_weight_and_all_is_one_of_them(api: httpx.Client, app: str) -> None:
    groups = f"/applications/{app}/groups"
    for name, weight in (("b", 1), ("a", 7), ("c", 3)):
        made(api.post(groups, json={"name": name, "weight": weight, "filter": "true"}))
    for limit in (1, 2, 50):
        assert [row["id"] for row in rows(api, groups, limit=limit)] == ["all", "b", "c", "a"]
        assert [row["id"] for row in rows(api, groups, limit=limit, sort="-weight")] == ["a", "c", "b", "all"]
        assert [row["id"] for row in rows(api, groups, limit=limit, sort="name")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("profile.model ==", "Syntax error"),
        ("device.model == 'x'", "'device' is unknown here"),
        ("(" * 2000, "Syntax error"),
        ("", "at least 1"),
    ],
)
def test_a_filter_that_is_no_cel_is_refused(api: httpx.Client, app: str, text: str, reason: str) -> None:
    answer = api.post(f"/applications/{app}/groups", json={"name": "g", "weight": 1, "filter": text})
    assert reason in problem(answer, 422)["errors"][0]["reason"]


def test_a_filter_may_bring_names_of_its_own(api: httpx.Client, app: str) -> None:
    text = "['a', 'b'].exists(tag, tag == profile.tag) && size(server.list) > 1"
    made(api.post(f"/applications/{app}/groups", json={"name": "g", "weight": 1, "filter": text}))


def test_k64_a_group_and_a_topic_go_from_each_other(api: httpx.Client, app: str) -> None:
    root = f"/applications/{app}"
    made(api.post(f"{root}/groups", json={"name": "g", "weight": 1, "filter": "true"}))
    for name in ("t", "u"):
        made(api.post(f"{root}/topics", json={"name": name, "groups": ["g", "all"], "mandatory": True}))
    assert api.delete(f"{root}/topics/t", headers=match(api, f"{root}/topics/t")).status_code == 204
    problem(api.get(f"{root}/topics/t"), 404)
    made(api.get(f"{root}/groups/g"), 200)
    made(api.put(f"{root}/configurations/group/g", json={"data": {"n": 2}}))
    assert api.delete(f"{root}/groups/g", headers=match(api, f"{root}/groups/g")).status_code == 204
    assert made(api.get(f"{root}/topics/u"), 200)["groups"] == ["all"]
    problem(api.get(f"{root}/configurations/group/g"), 404)


def test_a_layer_of_a_group_that_is_not_there_is_refused(api: httpx.Client, app: str) -> None:
    for group in (fresh("g"), "all"):
        path = f"/applications/{app}/configurations/group/{group}"
        assert problem(api.put(path, json={"data": {"n": 2}}), 422)["errors"][0]["path"] == "/target"
    path = f"/applications/{app}/configurations/all/default"
    assert problem(api.put(path, json={"data": {"n": 2}}), 422)["errors"] == [{"path": "/target", "reason": "-"}]
    problem(api.get(path), 404)
    problem(api.get(f"{path}/versions"), 404)
