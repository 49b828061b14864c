"""The change log under everything that can happen to its writer: stopped before each step, overtaken, raced."""

import dataclasses
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from akela.documents import changelog, history, model, upgrades
from akela.documents.changelog import ExistsError, FencedError, StaleError
from akela.documents.model import Change
from tests.integration.storage.writers import (
    EXECUTIONER,
    Killed,
    deletion,
    elsewhere,
    endpoint,
    endpoints,
    leader,
    many,
    put,
    states,
)


@pytest.fixture(autouse=True)
def connected(name: str) -> Iterator[None]:
    yield
    EXECUTIONER.disarm()


def test_each_write_is_a_change_with_who_before_and_after() -> None:
    log = leader(1)
    first = log.write(put("t1", None))
    second = log.write(put("t1", first, name="renamed"))
    third = log.write(deletion("t1", second))
    assert (first, second, third) == (1, 2, 3)
    entries = list(history.read(0, 10))
    assert [(c["state"], c["who"], c["op"], c["before_rev"]) for c in entries] == [
        ("done", "admin", "put", None),
        ("done", "admin", "put", 1),
        ("done", "admin", "delete", 2),
    ]
    assert entries[1]["after"]["name"] == "renamed"
    assert model.find("tenant", "t1") is None


def test_stale_and_doubled_writes_change_nothing_and_are_void_with_the_reason() -> None:
    log = leader(1)
    first = log.write(put("t1", None))
    second = log.write(put("t1", first, name="winner"))
    with pytest.raises(StaleError, match="changed meanwhile"):
        log.write(put("t1", first, name="loser"))
    with pytest.raises(ExistsError, match="there already"):
        log.write(put("t1", None))
    with pytest.raises(StaleError):
        log.write(deletion("t1", first))
    found = model.find("tenant", "t1")
    assert found is not None
    assert (found["name"], found["rev"]) == ("winner", second)
    assert [state for _, state in states()] == ["done", "done", "void", "void", "void"]


def test_content_that_does_not_fit_takes_no_number() -> None:
    log = leader(1)
    with pytest.raises(model.DocumentError, match="tenant"):
        log.write(put("t1", None, name=None))
    assert changelog.head_seq() == 0


@pytest.mark.parametrize("operation", ["create", "update", "delete"])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_whoever_leads_next_finishes_what_a_dead_writer_began(operation: str, step: int) -> None:
    log = leader(1)
    rev = log.write(put("t1", None))
    draft = {
        "create": put("t2", None),
        "update": put("t1", rev, name="renamed"),
        "delete": deletion("t1", rev),
    }[operation]
    EXECUTIONER.arm(step)
    with pytest.raises(Killed):
        log.write(draft)
    next_leader = leader(2)
    began = step > 2  # the change was recorded: it is completed; else nothing of it happened
    assert changelog.head_seq() == (1 if step == 1 else 2)
    assert states() == [(1, "done")] + ([] if step == 1 else [(2, "done" if began else "void")])
    first, second = model.find("tenant", "t1"), model.find("tenant", "t2")
    assert (second is not None) == (operation == "create" and began)
    assert (first is None) == (operation == "delete" and began)
    assert first is None or first["name"] == ("renamed" if operation == "update" and began else "first")
    assert next_leader.resume() == 0
    assert next_leader.write(put("t3", None)) == changelog.head_seq()


@pytest.mark.parametrize("step", range(3, 10))
def test_deleting_an_application_is_finished_with_all_that_hangs_on_it(step: int) -> None:
    log = leader(1)
    app = {"_id": "app2", "tenant": "t", "name": "demo", "trust": "open", "claim_secrets": [], "default_stream": "values",
           "created": datetime.now(UTC), "format": 1, "rev": 1}  # fmt: skip
    model.KINDS["application"].collection().insert_one(dict(app))
    for kind in model.DEPENDENTS:
        model.KINDS[kind].collection().insert_many(
            [
                {"_id": f"app2/{n}", "app": "app2", "ep": str(n), "kind": kind, "name": str(n), "version": n}
                for n in range(3)
            ]
            + [{"_id": "zzzz/1", "app": "zzzz", "ep": "1", "kind": kind, "name": "1", "version": 1}]
        )
    EXECUTIONER.arm(step)
    try:
        log.write(deletion("app2", 1, "application"))
    except Killed:
        leader(2)
    EXECUTIONER.disarm()
    assert model.find("application", "app2") is None
    for kind in model.DEPENDENTS:
        assert [doc["_id"] for doc in model.KINDS[kind].collection().find({})] == ["zzzz/1"]


@pytest.mark.parametrize("step", [1, 2])
def test_an_old_leader_gets_nothing(step: int) -> None:
    old = leader(1)
    old.write(put("t1", None))
    if step == 2:  # it has its number already when it is overtaken
        EXECUTIONER.arm(2)
        with pytest.raises(Killed):
            old.write(put("t2", None))
    leader(2)
    with pytest.raises(FencedError):
        old.write(put("t2", None))
    with pytest.raises(FencedError):
        old.resume()
    assert model.find("tenant", "t2") is None


def test_many_writers_of_one_epoch_leave_no_gap_and_lose_nothing() -> None:
    log = leader(1)
    log.write(put("counter", None, name="0"))
    done: list[int] = []
    refused: list[int] = []

    def work(number: int) -> None:
        for round_ in range(10):
            done.append(log.write(put(f"t{number}-{round_}", None)))
            found = model.find("tenant", "counter")
            assert found is not None
            try:
                log.write(put("counter", found["rev"], name=str(int(found["name"]) + 1)))
            except StaleError:
                refused.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counter = model.find("tenant", "counter")
    assert counter is not None
    assert int(counter["name"]) == 40 - len(refused)  # each accepted write was based on the one before
    assert len(set(done)) == 40
    assert [number for number, _ in states()] == list(range(1, changelog.head_seq() + 1))
    assert Change.collection().count_documents({"state": "pending"}) == 0


def test_gaps_of_several_writers_that_died_together_are_filled() -> None:
    log = leader(1)
    for _ in range(3):
        EXECUTIONER.arm(2)  # has its number, records nothing
        with pytest.raises(Killed):
            log.write(put("t1", None))
        log.write(put(f"t{changelog.head_seq()}", None))
    leader(2)
    assert states() == [(1, "void"), (2, "done"), (3, "void"), (4, "done"), (5, "void"), (6, "done")]


@pytest.mark.parametrize("create", [put("t1", None), many(["e1", "e2"])], ids=["one", "many"])
def test_a_frozen_writer_does_not_bring_back_what_was_deleted_meanwhile(create: changelog.Draft) -> None:
    """The writer stands still between recording its change and applying it; the next leader completes it, then it is deleted."""
    kind, target = ("tenant", "t1") if create.kind == "tenant" else ("endpoint", "app2/e1")

    def overtake() -> None:
        leader(2).write(deletion(target, 1, kind))
        assert model.find(kind, target) is None

    old = leader(1)
    EXECUTIONER.arm(3, elsewhere(overtake))
    with pytest.raises(FencedError):
        old.write(create)
    assert model.find(kind, target) is None
    assert states() == [(1, "done"), (2, "done")]
    assert kind == "tenant" or endpoints() == ["e2"]


def test_what_a_frozen_writer_brought_back_before_it_died_is_taken_away() -> None:
    old = leader(1)
    log = None

    def overtake() -> None:
        nonlocal log
        log = leader(2)
        log.write(deletion("app2/e1", 1, "endpoint"))

    EXECUTIONER.arm(3, elsewhere(overtake))
    with pytest.raises(FencedError):
        old.write(many(["e1", "e2"]))
    model.KINDS["endpoint"].collection().insert_one(
        endpoint("e1") | {"rev": 1}
    )  # as if it had died before it could look
    assert log is not None
    assert log.tidy() == 1
    assert endpoints() == ["e2"]
    assert log.tidy() == 0


def test_a_late_change_inside_an_application_dies_with_it() -> None:
    log = leader(1)
    app = {"_id": "app2", "tenant": "t", "name": "demo", "trust": "open", "claim_secrets": [], "default_stream": "values",
           "created": datetime.now(UTC), "format": 1}  # fmt: skip
    made = log.write(
        changelog.Draft(
            "application", "put", "app2", upgrades.upgraded(app, "application"), None, "admin", "test", "t", "app2"
        )
    )
    log.write(deletion("app2", made, "application", app="app2"))
    with pytest.raises(StaleError, match="deleted meanwhile"):
        log.write(many(["e1"]))
    assert endpoints() == []


def test_a_change_says_what_was_there_before() -> None:
    log = leader(1)
    first = log.write(put("t1", None))
    before = model.find("tenant", "t1")
    log.write(dataclasses.replace(put("t1", first, name="new"), before=before, token="k1", request="r1"))
    change = list(history.read(0, 10))[1]
    assert (change["before"]["name"], change["after"]["name"]) == ("first", "new")
    assert (change["token"], change["request"]) == ("k1", "r1")
