"""The change log as a trail: what it is asked, how long it is kept, who may still need it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from akela.documents import changelog, history, retention
from akela.documents.changelog import FencedError
from akela.documents.model import Change
from akela.documents.store import OperationsStore
from tests.integration.storage.writers import EXECUTIONER, Killed, leader, put

YEAR = timedelta(days=365)


@pytest.fixture(autouse=True)
def connected(name: str) -> Iterator[None]:
    yield
    EXECUTIONER.disarm()


def written(count: int) -> changelog.ChangeLog:
    """A log of `count` changes, an hour apart; the last is of now."""
    log = leader(1)
    for number in range(count):
        log.write(put(f"t{number}", None))
    for number in range(1, count + 1):
        # With the whole document: the embedded database turns a time that `$set` writes into text.
        found = Change.collection().find_one({"_id": number})
        assert found is not None
        moment = datetime.now(UTC) - timedelta(hours=count - number)
        Change.collection().replace_one({"_id": number}, found | {"at": moment})
    return log


def numbers() -> list[int]:
    return [change["_id"] for change in history.read(0, 1000)]


def test_a_moment_is_a_place_in_the_log() -> None:
    written(20)
    now = datetime.now(UTC)
    assert history.position_at(now - timedelta(hours=100)) == 1
    assert history.position_at(now - timedelta(hours=5, minutes=30)) == 15
    assert history.position_at(now + timedelta(hours=1)) == 21


def test_an_empty_log_has_no_moments() -> None:
    assert history.position_at(datetime.now(UTC)) == 1
    assert history.newest({}, since=None, until=None, before=None, limit=10) == []


def test_changes_are_found_newest_first_by_what_and_when() -> None:
    written(20)
    now = datetime.now(UTC)

    def found(before: int | None = None, limit: int = 100, **where: str) -> list[int]:
        since, until = now - timedelta(hours=9, minutes=30), now - timedelta(hours=4, minutes=30)
        return [c["_id"] for c in history.newest(where, since=since, until=until, before=before, limit=limit)]

    assert found(who="admin") == [15, 14, 13, 12, 11]
    assert found(who="admin", limit=2) == [15, 14]
    assert found(before=14, who="admin") == [13, 12, 11]
    assert found(target="t12") == [13]
    assert found(who="nobody") == []


@pytest.mark.parametrize(
    ("positions", "left"),
    [
        ([], 11),  # nobody follows: by age
        ([20, 20], 11),
        ([20, 5], 6),  # one of them still needs what comes behind 5
        ([20, None], 1),  # one does not say: everything stays
        ([0], 1),
    ],
)
def test_what_a_server_still_needs_is_never_cut(positions: list[int | None], left: int) -> None:
    log = written(20)
    retention.cut(log, positions, keep=timedelta(hours=9, minutes=30), now=datetime.now(UTC), newest=0)
    assert numbers() == list(range(left, 21))


def test_the_newest_changes_stay_however_old() -> None:
    log = written(20)
    assert retention.cut(log, [], keep=timedelta(0), now=datetime.now(UTC) + YEAR, newest=3) == 17
    assert numbers() == [18, 19, 20]
    leader(2)
    assert numbers() == [18, 19, 20]  # a new leader takes what was cut for no gap
    assert leader(2).write(put("next", None)) == 21


async def test_the_log_says_that_it_was_cut_before_it_is(store: OperationsStore) -> None:
    log = written(20)
    assert await store.cut_seq() == 0
    EXECUTIONER.arm(1, commands=("delete",))
    with pytest.raises(Killed):
        retention.cut(log, [], keep=timedelta(0), now=datetime.now(UTC) + YEAR, newest=3)
    assert await store.cut_seq() == 17
    assert numbers() == list(range(1, 21))


def test_what_is_pending_stays() -> None:
    log = written(5)
    EXECUTIONER.arm(3)
    with pytest.raises(Killed):
        log.write(put("pending", None))
    log.write(put("t99", None))
    assert retention.cut(log, [], keep=timedelta(0), now=datetime.now(UTC) + YEAR, newest=0) == 5
    assert numbers() == [6, 7]


def test_an_old_leader_cuts_nothing() -> None:
    log = written(20)
    leader(2)
    with pytest.raises(FencedError):
        retention.cut(log, [], keep=timedelta(0), now=datetime.now(UTC) + YEAR, newest=0)
    assert len(numbers()) == 20
