"""What operators decide of values that devices set and propose, and leases, over REST.

What an Operations server stores is put there by hand.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from akela.contract.device_values import made as value_of
from akela.documents.model import Endpoint
from control import layers
from control.core import Caller, Core
from control.lease_ends import end_due
from tests import control_inside
from tests.rest import made, match, problem, rows

SCHEMA = {
    "type": "record",
    "name": "C",
    "fields": [
        {"name": "n", "type": "int", "default": 1, "akela.authority": "hold"},
        {"name": "d", "type": "int", "default": 1, "akela.authority": "device"},
        {
            "name": "l",
            "type": {"type": "array", "items": "int"},
            "akela.authority": "hold",
            "overrideStrategy": "append",
        },
        {"name": "m", "type": {"type": "map", "values": "int"}, "akela.authority": "device"},
        {
            "name": "r",
            "type": {"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}]},
            "optional": True,
            "akela.authority": "hold",
        },
    ],
}
NOW = datetime.now(UTC)
SOON = NOW + timedelta(hours=1)
Stored = tuple[str, Any, datetime | None]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    with control_inside.connected(tmp_path_factory.mktemp("values") / "data"):
        yield control_inside.core()


@pytest.fixture(scope="module")
def api(core: Core) -> httpx.Client:
    return control_inside.first_admin(core)


@pytest.fixture
def app(api: httpx.Client) -> Iterator[str]:
    """An application that is alone with its leases."""
    app = str(made(api.post("/applications", json={"name": f"fleet {datetime.now(UTC).timestamp()}"}))["id"])
    made(api.post(f"/applications/{app}/schemas", json={"kind": "config", "body": SCHEMA}))
    made(api.post(f"/applications/{app}/endpoints", json={"id": "e1"}))
    yield app
    path = f"/applications/{app}"
    assert api.delete(path, headers=match(api, path)).status_code == 204


def said(app: str, field: str, *values: Stored) -> list[str]:
    """What an Operations server stores when the endpoint reports; gives the ids."""
    kept = [value_of(path, value, NOW, until, None) for path, value, until in values]
    Endpoint.collection().update_one({"_id": f"{app}/e1"}, {"$set": {field: [item.to_stored() for item in kept]}})
    return [item.id for item in kept]


def values(app: str) -> str:
    return f"/applications/{app}/endpoints/e1/values"


def layer(app: str) -> str:
    return f"/applications/{app}/configurations/endpoint/e1"


def decided(app: str) -> Any:
    found = Endpoint.collection().find_one({"_id": f"{app}/e1"})
    assert found is not None
    return found["decided"]


def test_values_and_proposals_are_listed(api: httpx.Client, app: str) -> None:
    assert made(api.get(values(app)), 200) == {"values": [], "held": []}
    said(app, "device", ("/d", 5, None), ("/m/a.b$", 6, SOON), ("/d/nothing", 1, None))
    said(app, "held_values", ("/n", 7, NOW - timedelta(hours=1)), ("/r/x", 8, None))
    shown = made(api.get(values(app)), 200)
    assert [(item["path"], item["value"], item["until"] is not None) for item in shown["values"]] == [
        ("/d", 5, False),
        ("/m/a.b$", 6, True),
    ]
    assert [item["path"] for item in shown["held"]] == ["/r/x"]  # the time of the other is over
    problem(api.get(f"/applications/{app}/endpoints/nobody/values"), 404)


def test_what_a_device_set_is_part_of_what_it_should_have(api: httpx.Client, app: str) -> None:
    endpoint = f"/applications/{app}/endpoints/e1"
    made(api.put(layer(app), json={"data": {"d": 3, "m": {"b": 1}}}))
    before = made(api.get(f"{endpoint}/configuration"), 200)
    said(app, "device", ("/d", 5, None), ("/m/a", 6, SOON), ("/m/b", 2, NOW - timedelta(hours=1)), ("/n", 4, None))
    shown = made(api.get(f"{endpoint}/configuration"), 200)
    assert shown["value"] == before["value"] | {"d": 5, "m": {"a": 6, "b": 1}}
    origin = shown["origin"]
    assert (origin["/d"], origin["/m/a"], origin["/m/b"]) == ("device", "device", "endpoint:e1")
    explained = made(api.get(f"{endpoint}/explain"), 200)
    assert explained["configuration"]["id"] == shown["id"]
    assert [item["path"] for item in explained["device"]] == ["/d", "/m/a"]
    assert api.delete(values(app), params={"path": "/d"}, headers=match(api, endpoint)).status_code == 204
    assert made(api.get(f"{endpoint}/configuration"), 200)["value"]["d"] == 3


def test_an_accepted_proposal_becomes_part_of_the_layer(api: httpx.Client, app: str) -> None:
    made(api.put(layer(app), json={"data": {"d": 3}}))
    first, second = said(app, "held_values", ("/n", 7, None), ("/r/x", 8, SOON))
    assert [item["id"] for item in made(api.post(f"{values(app)}/{first}/accept"), 200)["held"]] == [second]
    made(api.post(f"{values(app)}/{second}/accept"), 200)
    shown = made(api.get(layer(app)), 200)
    assert shown["data"] == {"d": 3, "n": 7, "r": {"x": 8}}
    assert [item["path"] for item in shown["leases"]] == ["/r/x"]
    assert decided(app) == {first: "accepted", second: "accepted"}
    before = rows(api, "/audit", app=app)
    made(api.post(f"{values(app)}/{first}/accept"), 200)  # again is once
    assert made(api.get(layer(app)), 200)["active"] == shown["active"]
    problem(api.post(f"{values(app)}/{first}/reject"), 409)
    assert len(rows(api, "/audit", app=app)) == len(before)


def test_a_rejected_proposal_changes_no_layer(api: httpx.Client, app: str) -> None:
    (number,) = said(app, "held_values", ("/n", 7, None))
    assert made(api.post(f"{values(app)}/{number}/reject"), 200)["held"] == []
    problem(api.get(layer(app)), 404)
    assert "rejected already" in problem(api.post(f"{values(app)}/{number}/accept"), 409)["detail"]
    assert decided(app) == {number: "rejected"}
    (later,) = said(app, "held_values", ("/n", 8, None))  # the Operations server has taken the first away
    made(api.post(f"{values(app)}/{later}/reject"), 200)
    assert decided(app) == {later: "rejected"}


@pytest.mark.parametrize(
    ("stored", "status", "why"),
    [
        (("/n", 7, NOW - timedelta(hours=1)), 409, "stood until"),
        (("/gone", 7, None), 409, "no leaf /gone"),
        (("/l", [1], None), 409, "layers add to /l"),
        (("/n", "x", None), 422, "no int"),
    ],
)
def test_what_cannot_be_accepted_says_why(api: httpx.Client, app: str, stored: Stored, status: int, why: str) -> None:
    (number,) = said(app, "held_values", stored)
    answer = problem(api.post(f"{values(app)}/{number}/accept"), status)
    assert why in f"{answer['detail']} {answer.get('errors')}"
    problem(api.get(layer(app)), 404)
    problem(api.post(f"{values(app)}/{'0' * 16}/accept"), 404)
    problem(api.post(f"{values(app)}/{'0' * 16}/reject"), 404)


def test_values_are_cleared_at_a_path_and_below(api: httpx.Client, app: str) -> None:
    first, second, third = said(app, "device", ("/d", 5, None), ("/m/a", 6, None), ("/m/b", 6, None))
    endpoint = f"/applications/{app}/endpoints/e1"
    problem(api.delete(values(app)), 428)
    problem(api.delete(values(app), params={"path": "m"}, headers=match(api, endpoint)), 422)
    problem(api.delete(values(app), params={"path": "/n"}, headers=match(api, endpoint)), 404)
    assert api.delete(values(app), params={"path": "/m"}, headers=match(api, endpoint)).status_code == 204
    assert decided(app) == {second: "cleared", third: "cleared"}
    assert [item["path"] for item in made(api.get(values(app)), 200)["values"]] == ["/d"]
    assert api.delete(values(app), headers=match(api, endpoint)).status_code == 204
    assert decided(app) == {first: "cleared", second: "cleared", third: "cleared"}


def leased(api: httpx.Client, app: str, path: str, until: object, status: int = 200) -> dict[str, Any]:
    answer = api.post(f"{layer(app)}/leases", json={"path": path, "until": until}, headers=match(api, layer(app)))
    return made(answer, status) if status < 300 else problem(answer, status)


def test_a_leased_value_leaves_the_layer(api: httpx.Client, app: str, core: Core) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    made(api.put(layer(app), json={"data": {"n": 7, "d": 3, "r": {"x": 1}}}))
    problem(api.post(f"{layer(app)}/leases", json={"path": "/n", "until": 60}), 428)
    leased(api, app, "/n", 3600)
    leased(api, app, "/d", 60)
    leased(api, app, "/d", None)
    shown = leased(api, app, "/r/x", soon.isoformat())
    assert [item["path"] for item in shown["leases"]] == ["/n", "/r/x"]
    assert end_due(core, datetime.now(UTC)) == 0
    assert end_due(core, soon + timedelta(minutes=1)) == 1
    shown = made(api.get(layer(app)), 200)
    assert (shown["data"], shown["leases"], shown["by"]) == ({"d": 3}, [], "control")
    assert end_due(core, soon + timedelta(minutes=1)) == 0
    leased(api, app, "/d", 60)
    assert end_due(core, datetime.now(UTC) + timedelta(minutes=2)) == 1
    shown = made(api.get(layer(app)), 200)
    assert (shown["data"], shown["active"]) == ({}, None)
    assert [c["who"] for c in rows(api, "/audit", app=app)][:1] == ["control"]


def test_who_sets_another_value_ends_its_lease(api: httpx.Client, app: str, core: Core) -> None:
    made(api.put(layer(app), json={"data": {"n": 7, "d": 3}}))
    leased(api, app, "/n", 3600)
    leased(api, app, "/d", 3600)
    made(api.put(layer(app), json={"data": {"n": 8, "d": 3}}, headers=match(api, layer(app))), 200)
    assert [item["path"] for item in made(api.get(layer(app)), 200)["leases"]] == ["/d"]
    made(api.post(f"{layer(app)}/versions", json={"data": {"n": 9}}))  # a draft changes nothing of it
    assert end_due(core, datetime.now(UTC) + timedelta(hours=2)) == 1
    assert made(api.get(layer(app)), 200)["data"] == {"n": 8}


@pytest.mark.parametrize(
    ("path", "until", "where"),
    [("/x", 60, "/path"), ("n", 60, "/path"), ("/n", -1, "/until"), ("/n", "soon", "/until")],
)
def test_a_lease_that_is_none(api: httpx.Client, app: str, path: str, until: object, where: str) -> None:
    made(api.put(layer(app), json={"data": {"n": 7}}))
    assert leased(api, app, path, until, 422)["errors"][0]["path"] == where


def test_a_layer_that_changes_while_its_lease_ends_is_looked_at_again(
    api: httpx.Client, app: str, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(api.put(layer(app), json={"data": {"n": 7, "d": 3}}))
    leased(api, app, "/n", 3600)
    moment = datetime.now(UTC) + timedelta(hours=2)
    set_active = layers.set_active

    def overtaken(core: Core, caller: Caller, *rest: Any) -> Any:
        monkeypatch.undo()
        made(api.put(layer(app), json={"data": {"n": 7, "d": 4}}, headers=match(api, layer(app))), 200)
        return set_active(core, caller, *rest)

    monkeypatch.setattr(layers, "set_active", overtaken)
    assert end_due(core, moment) == 0
    assert end_due(core, moment) == 1
    assert made(api.get(layer(app)), 200)["data"] == {"d": 4}
