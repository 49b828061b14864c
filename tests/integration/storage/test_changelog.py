"""The change log under everything that can happen to its writer: stopped before each step, overtaken, raced."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import monitoring

from akela.documents import changelog, model
from akela.documents.changelog import ChangeLog, Draft, ExistsError, FencedError, StaleError
from akela.documents.model import Change

TENANT = {"_id": "t1", "name": "first", "format": 1}


class Killed(BaseException):
    """The writer's process ends here: nothing of its own runs any more."""


class Executioner(monitoring.CommandListener):
    """Ends the writer before its n-th command reaches the database."""

    def __init__(self) -> None:
        self.left = -1

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in ("insert", "update", "delete", "find", "findAndModify"):
            self.left -= 1
            if self.left == 0:
                raise Killed

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


EXECUTIONER = Executioner()
monitoring.register(EXECUTIONER)  # it acts only where a test arms it


@pytest.fixture(autouse=True)
def connected(name: str) -> Iterator[None]:
    EXECUTIONER.left = -1
    yield
    EXECUTIONER.left = -1


def put(target: str, before: int | None, **fields: Any) -> Draft:
    after = TENANT | {"_id": target} | fields
    return Draft("tenant", "put", target, after, before, who="admin", where="test", tenant=target)


def deletion(target: str, before: int, kind: str = "tenant") -> Draft:
    return Draft(kind, "delete", target, None, before, who="admin", where="test")


def leader(epoch: int) -> ChangeLog:
    log = ChangeLog(epoch)
    log.resume()
    return log


def states() -> list[tuple[int, str]]:
    return [(change["_id"], change["state"]) for change in changelog.read(0, 1000)]


def test_each_write_is_a_change_with_who_before_and_after() -> None:
    log = leader(1)
    first = log.write(put("t1", None))
    second = log.write(put("t1", first, name="renamed"))
    third = log.write(deletion("t1", second))
    assert (first, second, third) == (1, 2, 3)
    entries = list(changelog.read(0, 10))
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
    EXECUTIONER.left = step
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
    EXECUTIONER.left = step
    try:
        log.write(deletion("app2", 1, "application"))
    except Killed:
        leader(2)
    EXECUTIONER.left = -1
    assert model.find("application", "app2") is None
    for kind in model.DEPENDENTS:
        assert [doc["_id"] for doc in model.KINDS[kind].collection().find({})] == ["zzzz/1"]


@pytest.mark.parametrize("step", [1, 2])
def test_an_old_leader_gets_nothing(step: int) -> None:
    old = leader(1)
    old.write(put("t1", None))
    if step == 2:  # it has its number already when it is overtaken
        EXECUTIONER.left = 2
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
