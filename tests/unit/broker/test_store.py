"""The file itself: all of a transaction or nothing, and a value that it cannot hold ends one transaction, not the file."""

from pathlib import Path

import pytest

from broker.errors import SessionStoreError
from broker.journal import Changes, Table
from broker.store import Store


def retained(topic: str, qos: int) -> Changes:
    return {Table.RETAINED: {(topic,): (b"x", qos, b"", None)}}


@pytest.mark.parametrize(("topic", "qos"), [("t", 2**70), ("\ud800", 1)])
def test_a_value_that_sqlite_cannot_hold_ends_its_transaction_only(tmp_path: Path, topic: str, qos: int) -> None:
    store = Store(tmp_path / "store", 2**20)
    store.open()
    with pytest.raises(SessionStoreError, match="store"):
        store.write({Table.RECEIVED: {(1, 1): ()}, **retained(topic, qos)})
    store.write(retained("good", 1))
    store.close()
    rows = Store(tmp_path / "store", 2**20).open()
    assert (rows[Table.RECEIVED], [row[0] for row in rows[Table.RETAINED]]) == ([], ["good"])
