"""Tokens that are good no more, and who is told what of it; a database that is away; a request that fails inside."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from akela.documents import model
from control.core import Caller, Core
from control.resources import tenants
from control.resources.signin import issue
from tests import control_inside
from tests.database import Database
from tests.rest import made, problem

ANN = Caller("ann", "acme", frozenset({"tenant-admin"}), "test")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with control_inside.connected(tmp_path / "data") as database:
        yield database


@pytest.fixture
def core(database: Database) -> Core:
    made_core = control_inside.core()
    made_core.put(ANN, "tenant", {"_id": "acme", "tenant": "acme", "name": "Acme"}, None)
    return made_core


def client(core: Core, ttl_s: int | None = None) -> TestClient:
    return control_inside.client(core, issue(core, ANN, "tool", ["tenant-admin"], ttl_s)[1])


def test_a_token_ends_with_its_time(core: Core) -> None:
    made(client(core, 60).get("/me"), 200)
    refused = client(core, -1).get("/me")
    assert "has expired" in problem(refused, 401)["detail"]
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_standby_reads_and_sends_writers_on(core: Core) -> None:
    standby = Core(cursor_key=b"key of the test", rate_per_s=0, burst=1)
    standby.active_api = lambda: "http://active:8080"
    token = issue(core, ANN, "tool", ["tenant-admin"], None)[1]
    with control_inside.client(standby, token) as reader:
        made(reader.get("/applications"), 200)
        key = {"Idempotency-Key": "k"}
        for headers in ({}, key):
            answer = reader.post("/applications?", json={"name": "x"}, headers=headers, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"]) == (307, "http://active:8080/api/v1/applications")
        standby.active_api = lambda: None
        assert problem(reader.post("/applications", json={"name": "x"}), 503)


def test_a_key_that_a_dead_leader_left_open_is_done_again(core: Core) -> None:
    """It died between the work and the answer: the name is taken, and the retry hears so; with its answer kept it would hear that."""
    token = issue(core, ANN, "tool", ["tenant-admin"], None)[1]
    key = {"Idempotency-Key": "k"}
    first = made(control_inside.client(core, token).post("/applications", json={"name": "x"}, headers=key))
    answered = model.Answered.collection()
    assert answered.update_one({}, {"$set": {"answer": None}}).matched_count == 1
    problem(control_inside.client(core, token).post("/applications", json={"name": "x"}, headers=key), 409)
    following = control_inside.core(epoch=2)
    retried = control_inside.client(following, token).post("/applications", json={"name": "x"}, headers=key)
    assert "taken" in problem(retried, 409)["detail"]
    rows = made(control_inside.client(following, token).get("/applications"), 200)["items"]
    assert [row["id"] for row in rows] == [first["id"]]


def test_what_is_kept_for_a_key_tells_a_reader_of_the_database_nothing(core: Core) -> None:
    token = issue(core, ANN, "tool", ["tenant-admin"], None)[1]
    key = {"Idempotency-Key": "k"}
    shown = made(control_inside.client(core, token).post("/applications", json={"name": "x"}, headers=key))
    stored = str(list(model.Answered.collection().find({})))
    assert shown["claim_secret"] not in stored
    assert shown["id"] not in stored


def test_a_database_that_is_away_is_told_and_nothing_else(core: Core, database: Database) -> None:
    caller = client(core)
    database.stop()
    refused = caller.get("/applications")
    assert problem(refused, 503)["detail"] == "the database does not answer; try again"
    assert refused.headers["retry-after"] == "1"
    database.start()
    made(caller.get("/applications"), 200)


def test_a_request_that_fails_inside_says_so_and_no_more(
    core: Core, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(document: object) -> None:
        raise ZeroDivisionError("the secret cause")

    monkeypatch.setattr(tenants, "_shown", broken)
    refused = client(core).get("/tenants/acme", headers={"X-Request-Id": "mine"})
    assert problem(refused, 500) | {"request_id": ""} == {
        "type": "about:blank", "title": "Internal Server Error", "status": 500, "request_id": "",
        "detail": "the server failed; its log says why",
    }  # fmt: skip
    assert "the secret cause" not in refused.text
    logged = next(record for record in caplog.records if record.exc_info)
    assert vars(logged)["request"] == "mine"
