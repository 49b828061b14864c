"""Convergence, stragglers and explanations over REST and on the command line, on endpoints that the ledger knows in every way."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from akela.coordination import Member, Role
from akela.documents.fleet import Endpoint
from control.summary import Summaries
from tests import control_inside
from tests.rest import CONFIG, made, match, problem, rows

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
OLD = "0" * 16


class Fleet:
    """An application with endpoints whose ledger is written here, as Operations servers would."""

    def __init__(self, admin: httpx.Client) -> None:
        self.api = admin
        self.app = str(made(admin.post("/applications", json={"name": "fleet"}))["id"])
        self.root = f"/applications/{self.app}"
        made(admin.post(f"{self.root}/schemas", json={"kind": "config", "body": CONFIG}))
        made(admin.post(f"{self.root}/groups", json={"name": "odd", "weight": 5, "filter": "ep in ['e1', 'e3']"}))
        made(admin.post(f"{self.root}/owners", json={"name": "jo"}))
        for place, n in (("all/-", 2), ("group/odd", 3), ("owner/jo", 4)):
            made(admin.put(f"{self.root}/configurations/{place}", json={"data": {"n": n}}))
        items = [{"id": f"e{n}"} for n in range(8)]
        made(admin.post(f"{self.root}/endpoint-batches", json={"items": items}), 200)
        self.target = self.effective("e0")["id"]
        self.odd = self.effective("e1")["id"]

    def effective(self, ep: str) -> dict[str, Any]:
        return made(self.api.get(f"{self.root}/endpoints/{ep}/configuration"), 200)

    def seen(self, ep: str, server: str | None, **ledger: tuple[str, float, dict[str, Any]]) -> None:
        """What became of configurations at an endpoint: by state the id, seconds after NOW, and more."""
        config = {
            state: {"id": number, "at": NOW + timedelta(seconds=late_s), **more}
            for state, (number, late_s, more) in ledger.items()
        }
        fields = {"presence": {"at": NOW, "server": server}, "config": config}
        assert Endpoint.collection().update_one({"_id": f"{self.app}/{ep}"}, {"$set": fields}).matched_count == 1

    def live(self) -> None:
        """Everybody in another way: converged after 2 s and 4 s, refused, held, silent, away, gone with its server, never seen."""
        target = self.target
        self.seen("e0", "ops-1", assigned=(target, 0, {}), applied=(target, 2, {}))
        self.seen("e1", None, assigned=(self.odd, 0, {}), applied=(self.odd, 4, {}))
        refused = (target, 3, {"code": 422, "key": "/n", "reason": "too high", "tries": 1})
        self.seen("e2", "ops-1", assigned=(target, 0, {}), refused=refused)
        self.seen("e3", "ops-1", held=(self.odd, 9, {"cause": "silent", "tries": 5}))
        self.seen("e4", "ops-1", assigned=(target, 0, {}), sent=(target, 1, {}), delivered=(target, 2, {}))
        self.seen("e5", None, applied=(OLD, -9, {}))
        self.seen("e6", "ops-2", assigned=(target, 5, {}))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One Control server in this process on a database of its own; Operations server ops-1 is there, ops-2 is not."""
    path: Path = tmp_path_factory.mktemp("convergence")
    with control_inside.connected(path / "data"):
        core = control_inside.core()
        core.members[Role.OPERATIONS] = {"ops-1": Member("ops-1", 1, {})}
        found = Fleet(control_inside.first_admin(core))
        found.live()
        yield found


@pytest.fixture(autouse=True)
def fresh_summaries(monkeypatch: pytest.MonkeyPatch) -> None:
    """No summary of another test."""
    monkeypatch.setattr("control.resources.convergence.SUMMARIES", Summaries())


def summary(fleet: Fleet, **where: str) -> dict[str, Any]:
    return made(fleet.api.get(f"{fleet.root}/convergence", params=where), 200)


def stragglers(fleet: Fleet, **where: Any) -> list[dict[str, Any]]:
    return rows(fleet.api, f"{fleet.root}/convergence/stragglers", **where)


def explained(fleet: Fleet, ep: str) -> dict[str, Any]:
    return made(fleet.api.get(f"{fleet.root}/endpoints/{ep}/explain"), 200)


def test_a_fleet_is_summed_up(fleet: Fleet) -> None:
    found = summary(fleet)
    counts = {
        name: found[name] for name in ("converged", "refused", "held", "waiting_online", "waiting_offline", "unknown")
    }
    assert counts == {"converged": 2, "refused": 1, "held": 1, "waiting_online": 1, "waiting_offline": 2, "unknown": 1}
    assert (found["endpoints"], found["percent"], found["revoked"]) == (8, 25.0, 0)
    assert found["seconds"] == {"p50": 2.0, "p95": 4.0, "max": 4.0}
    assert found["as_of"]


def test_a_group_and_a_configuration_are_summed_up(fleet: Fleet) -> None:
    odd = summary(fleet, group="odd")
    assert (odd["endpoints"], odd["converged"], odd["held"]) == (2, 1, 1)
    assert summary(fleet, config=fleet.odd)["endpoints"] == 2
    assert summary(fleet, config=fleet.target)["endpoints"] == 6
    assert summary(fleet, config=OLD) | {"as_of": ""} == {
        "as_of": "", "evaluating": True, "endpoints": 0, "percent": 100.0, "converged": 0, "refused": 0, "held": 0, "unservable": 0,
        "waiting_online": 0, "waiting_offline": 0, "unknown": 0, "revoked": 0, "seconds": {"p50": None, "p95": None, "max": None},
    }  # fmt: skip
    problem(fleet.api.get(f"{fleet.root}/convergence", params={"group": "nope"}), 404)
    problem(fleet.api.get(f"{fleet.root}/convergence", params={"config": "x"}), 422)


def test_a_summary_is_kept_for_a_moment(fleet: Fleet) -> None:
    assert summary(fleet)["as_of"] == summary(fleet)["as_of"]


def test_stragglers_are_named_with_what_they_said(fleet: Fleet) -> None:
    found = stragglers(fleet, limit=4)
    assert [(row["endpoint"], row["state"], row["online"]) for row in found] == [
        ("e2", "refused", True), ("e3", "held", True), ("e4", "waiting-online", True), ("e5", "waiting-offline", False),
        ("e6", "waiting-offline", False), ("e7", "unknown", False),
    ]  # fmt: skip
    assert found[0] == {
        "endpoint": "e2", "state": "refused", "code": 422, "key": "/n", "reason": "too high", "since": "2026-11-25T12:00:03Z",
        "online": True,
    }  # fmt: skip
    assert [row["endpoint"] for row in stragglers(fleet, group="odd")] == ["e3"]


def test_an_application_without_a_schema_has_no_convergence(fleet: Fleet) -> None:
    app = made(fleet.api.post("/applications", json={"name": "bare"}))["id"]
    problem(fleet.api.get(f"/applications/{app}/convergence"), 409)
    made(fleet.api.post(f"/applications/{app}/endpoints", json={"id": "e"}))
    value = made(fleet.api.get(f"/applications/{app}/endpoints/e/explain"), 200)
    assert (value["state"], value["configuration"]["id"]) == ("unconfigured", None)
    assert "no configuration schema" in value["because"]


def test_all_layers_make_the_effective_configuration(fleet: Fleet) -> None:
    assert fleet.effective("e0")["origin"] == {"/n": "all", "/s": "default"}
    assert fleet.effective("e1")["origin"]["/n"] == "group:odd"
    path = f"{fleet.root}/endpoints/e7"
    made(fleet.api.patch(path, json={"owner": "jo"}, headers=match(fleet.api, path)), 200)
    assert fleet.effective("e7")["origin"]["/n"] == "owner:jo"
    made(fleet.api.put(f"{fleet.root}/configurations/endpoint/e7", json={"data": {"n": 9}}))
    assert fleet.effective("e7") | {"id": ""} == {
        "id": "", "value": {"n": 9, "s": []}, "origin": {"/n": "endpoint:e7", "/s": "default"},
    }  # fmt: skip
    assert fleet.effective("not-there-yet")["value"]["n"] == 2


def test_k44_the_order_of_weights_is_the_order_of_layers(fleet: Fleet) -> None:
    made(fleet.api.post(f"{fleet.root}/groups", json={"name": "low", "weight": 1, "filter": "ep == 'e1'"}))
    made(fleet.api.put(f"{fleet.root}/configurations/group/low", json={"data": {"n": 7}}))
    assert fleet.effective("e1")["value"]["n"] == 3
    path = f"{fleet.root}/groups/low"
    made(fleet.api.patch(path, json={"weight": 50}, headers=match(fleet.api, path)), 200)
    assert (fleet.effective("e1")["value"]["n"], fleet.effective("e1")["origin"]["/n"]) == (7, "group:low")
    assert fleet.api.delete(path, headers=match(fleet.api, path)).status_code == 204


def test_an_endpoint_is_explained(fleet: Fleet) -> None:
    value = explained(fleet, "e2")
    assert value["because"] == f"it refused {fleet.target} with 422 at /n: too high; it is sent again later"
    assert value["configuration"] == fleet.effective("e2") | {"reason": None}
    verdicts = [(row["name"], row["filter"], row["verdict"]) for row in value["groups"]]
    assert verdicts == [("odd", "ep in ['e1', 'e3']", "not-matched")]
    assert value["session"] == {"online": True, "server": "ops-1", "since": "2026-11-25T12:00:00Z", "generation": None}
    assert list(value["ledger"]) == ["assigned", "refused"]
    assert [entry["code"] for entry in value["refusals"]] == [422]
    assert (value["device"], value["proposals"], value["pending_notifications"]) == ([], [], [])
    assert [credential["kind"] for credential in value["credentials"]] == ["token"]
    assert explained(fleet, "e1")["groups"][0]["verdict"] == "matched"
    assert explained(fleet, "e6")["session"]["server"] is None
    problem(fleet.api.get(f"{fleet.root}/endpoints/nope/explain"), 404)


def test_a_filter_that_fails_is_explained(fleet: Fleet) -> None:
    made(fleet.api.post(f"{fleet.root}/groups", json={"name": "broken", "weight": 8, "filter": "profile.x == 1"}))
    verdict = next(row for row in explained(fleet, "e0")["groups"] if row["name"] == "broken")
    assert (verdict["verdict"], verdict["reason"]) == ("failed", "there is no 'x'")
