"""The engine's SQLite file: what `broker.journal` notes. Blocking; `broker.durability` calls it in a thread of its own.

One writer, WAL, `synchronous=FULL`: a transaction that has returned survives kill -9 and a power cut (SQLite, "PRAGMA synchronous").
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from broker.errors import SessionStoreError
from broker.journal import Changes, Row, Table

FORMAT: Final = 1  # of the file: PRAGMA user_version
PAGE_BYTES: Final = 4096

_COLUMNS: Final[Mapping[Table, tuple[str, str]]] = {  # key columns, the others
    Table.SESSION: ("id INTEGER", "namespace TEXT, client_id TEXT, expiry_s REAL, detached_at REAL"),
    Table.WILL: (
        "session INTEGER",
        "topic TEXT, payload BLOB, qos INTEGER, retain INTEGER, delay_s INTEGER, properties BLOB, expiry_s INTEGER",
    ),
    Table.SUBSCRIPTION: (
        "session INTEGER, name TEXT",
        (
            "topic_filter TEXT, qos INTEGER, prefix TEXT, shown TEXT, requested TEXT, share TEXT, no_local INTEGER, "
            "as_published INTEGER, identifier INTEGER"
        ),
    ),
    Table.CONTENT: ("number INTEGER", "topic BLOB, payload BLOB, properties BLOB, expires_at REAL"),
    Table.WAITING: (
        "number INTEGER",
        "session INTEGER, content INTEGER, qos INTEGER, retain INTEGER, packet_id INTEGER, released INTEGER",
    ),
    Table.RECEIVED: ("session INTEGER, packet_id INTEGER", ""),
    Table.RETAINED: ("topic TEXT", "payload BLOB, qos INTEGER, properties BLOB, expires_at REAL"),
}


def _names(columns: str) -> list[str]:
    return [column.split()[0] for column in columns.split(", ") if column]


def _create(table: Table) -> str:
    key, others = _COLUMNS[table]
    columns = f"{key}, {others}" if others else key
    tail = "" if len(_names(key)) == 1 and "INTEGER" in key else " WITHOUT ROWID"
    return f"CREATE TABLE {table.value} ({columns}, PRIMARY KEY ({', '.join(_names(key))})){tail}"


def _put(table: Table) -> str:
    key, others = _COLUMNS[table]
    marks = ", ".join("?" * len(_names(key) + _names(others)))
    return f"INSERT OR REPLACE INTO {table.value} VALUES ({marks})"  # noqa: S608  our own names


def _drop(table: Table) -> str:
    return f"DELETE FROM {table.value} WHERE {' AND '.join(f'{name} = ?' for name in _names(_COLUMNS[table][0]))}"  # noqa: S608  our own names


_PUT: Final = {table: _put(table) for table in Table}
_DROP: Final = {table: _drop(table) for table in Table}


class Store:
    """One file. Raises SessionStoreError from every method, naming the file and what to do."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._database: sqlite3.Connection | None = None

    def open(self) -> Mapping[Table, Sequence[Row]]:
        """Open or make the file; gives all rows, each with its key first."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=2.0)
        except (OSError, sqlite3.Error) as error:
            raise SessionStoreError(self._path, str(error)) from error
        try:
            rows = self._prepared(database)
        except sqlite3.Error as error:
            database.close()
            busy = "locked" in str(error)
            raise SessionStoreError(self._path, "another broker has it open" if busy else str(error)) from error
        except SessionStoreError:
            database.close()
            raise
        self._database = database
        return rows

    def write(self, changes: Changes) -> None:
        """Make all changes, or none; they are on disk when this returns."""
        database = self._database
        assert database is not None
        try:
            database.execute("BEGIN IMMEDIATE")
            for table, rows in changes.items():  # first, because it makes room on a full disk
                database.executemany(_DROP[table], (key for key, row in rows.items() if row is None))
            for table, rows in changes.items():
                database.executemany(_PUT[table], ((*key, *row) for key, row in rows.items() if row is not None))
            database.execute("COMMIT")
        except (sqlite3.Error, ValueError, OverflowError) as error:  # the last two: a value that SQLite cannot hold
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise SessionStoreError(self._path, str(error)) from error

    def close(self) -> None:
        """Close the file; what was written stays."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _prepared(self, database: sqlite3.Connection) -> Mapping[Table, Sequence[Row]]:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")  # before WAL: then no shared memory file is needed
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA max_page_count = {max(self._max_bytes // PAGE_BYTES, 64)}")
        found = database.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, FORMAT):
            raise SessionStoreError(
                self._path, f"it has format {found}, this broker reads {FORMAT}; use the version that wrote it"
            )
        database.execute("BEGIN IMMEDIATE")
        if not found:
            for table in Table:
                database.execute(_create(table))
            database.execute(f"PRAGMA user_version = {FORMAT}")
        rows = {table: database.execute(f"SELECT * FROM {table.value} ORDER BY 1").fetchall() for table in Table}  # noqa: S608
        database.execute("COMMIT")
        return rows
