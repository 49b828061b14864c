"""The database is killed inside a write, and comes back under the same leader."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError

from akela.documents import changelog, history, model
from tests.database import Database
from tests.integration.storage.writers import EXECUTIONER, leader, many, put


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "data") as started:
        model.connect(started.uri, "akela")
        model.ensure_indexes()
        yield started
        EXECUTIONER.disarm()
        model.disconnect()


@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("draft", [put("t1", None), many(["e1", "e2"])], ids=["one", "many"])
def test_a_leader_finishes_what_it_began_when_the_database_comes_back(
    database: Database, step: int, draft: changelog.Draft
) -> None:
    log = leader(1)
    log.write(put("t0", None))
    EXECUTIONER.arm(step, lambda: database.stop(signal.SIGKILL))
    with pytest.raises(PyMongoError):
        log.write(draft)
    assert log.broken
    database.start()
    log.repair()
    assert not log.broken
    began = step > 2
    changes = list(history.read(0, 10))
    assert [change["_id"] for change in changes] == list(range(1, changelog.head_seq() + 1))
    assert [change["state"] for change in changes[1:]] == ([] if step == 1 else ["done" if began else "void"])
    made = [model.find("tenant", "t1")] if draft.kind == "tenant" else list(model.query("endpoint", {}, sort=None))
    assert bool([document for document in made if document is not None]) == began
    assert log.write(put("t2", None)) == changelog.head_seq()
