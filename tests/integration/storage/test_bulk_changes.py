"""Bulk changes: many documents, one change, completed by whoever leads next wherever its writer died."""

from collections.abc import Iterator

import pytest

from akela.documents import changelog, history, model
from akela.documents.applying import BATCH
from akela.documents.changelog import MAX_ROWS, FencedError
from tests.integration.storage.writers import (
    EXECUTIONER,
    Killed,
    deletion,
    endpoint,
    endpoints,
    leader,
    many,
    states,
)

NAMES = [f"e{number:04}" for number in range(2 * BATCH + 10)]  # three batches


@pytest.fixture(autouse=True)
def connected(name: str) -> Iterator[None]:
    yield
    EXECUTIONER.disarm()


def test_many_documents_are_one_change() -> None:
    seq = leader(1).write(many(NAMES))
    assert states() == [(1, "done")]
    assert endpoints() == NAMES
    assert {doc["rev"] for doc in model.query("endpoint", {}, sort=None)} == {seq}


def test_documents_that_are_there_stay_as_they_are() -> None:
    model.KINDS["endpoint"].collection().insert_one(endpoint("e0001") | {"how": "claim", "rev": 0})
    seq = leader(1).write(many(NAMES))
    assert endpoints() == NAMES
    found = model.find("endpoint", "app2/e0001")
    assert found is not None
    assert (found["how"], found["rev"]) == ("claim", 0)
    assert states() == [(seq, "done")]


@pytest.mark.parametrize("rows", [0, MAX_ROWS + 1])
def test_a_change_takes_no_more_rows_than_fit_a_document(rows: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000 rows"):
        leader(1).write(many([str(number) for number in range(rows)]))
    assert changelog.head_seq() == 0


@pytest.mark.parametrize("step", range(1, 8))  # number, record, three batches, readmission, mark
def test_whoever_leads_next_finishes_a_bulk_change(step: int) -> None:
    log = leader(1)
    EXECUTIONER.arm(step)
    with pytest.raises(Killed):
        log.write(many(NAMES))
    began = step > 2
    assert len(endpoints()) == max(0, min(step - 3, 3)) * BATCH - (BATCH - 10) * (step >= 6)
    leader(2)
    assert endpoints() == (NAMES if began else [])
    assert states() == ([] if step == 1 else [(1, "done" if began else "void")])


def test_what_was_deleted_since_is_not_made_again() -> None:
    log = leader(1)
    EXECUTIONER.arm(6)
    with pytest.raises(Killed):
        log.write(many(NAMES))
    log.write(deletion("app2/e0007", 1, "endpoint", app="app2"))
    leader(2)
    assert endpoints() == [name for name in NAMES if name != "e0007"]


def test_a_leader_that_may_have_lost_stops_between_two_batches() -> None:
    asked = 0

    def leading() -> bool:
        nonlocal asked
        asked += 1
        return asked <= 3  # once before applying, then before each batch

    leader(1)
    with pytest.raises(FencedError):
        changelog.ChangeLog(1, leading).write(many(NAMES))
    assert endpoints() == NAMES[: 2 * BATCH]
    assert [change["state"] for change in history.read(0, 10)] == ["pending"]
    leader(2)
    assert endpoints() == NAMES
