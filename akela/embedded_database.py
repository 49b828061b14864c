"""The embedded database: nx-27017 (MongoDB's wire protocol on SQLite) on a Unix socket in a directory that only its owner may enter.

A process of its own: `python -m akela.embedded_database DIR`. nx-27017 has no authentication, so nobody else may reach it. Its
writes are committed with `synchronous = FULL`: an acknowledged write survives a power cut, not only a killed process (docs/decisions/0002).
What one command writes is one transaction of SQLite, so a batch waits for the disk once (docs/decisions/0075).
"""

import asyncio
import logging
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from neosqlite import Connection
from nx_27017.handler import NeoSQLiteHandler
from nx_27017.server import handle_client

from akela.embedded_queries import put_brackets
from akela.embedded_updates import conditions, set_same
from akela.errors import ServerError
from akela.lifecycle import Stopper, run_server
from akela.logs import set_up
from akela.paths import DataDirectory

log = logging.getLogger(__name__)

FILE: Final = "akela.db"


WRITING: Final = frozenset({"insert", "update", "delete", "findAndModify", "findandmodify", "bulkWrite"})

Message = dict[str, Any]
Answer = tuple[int, dict[str, Any]]  # number of the request, and what is said to it


class WritesTogether(NeoSQLiteHandler):  # type: ignore[misc]
    """Commits once per command. By itself the handler commits, and so waits for the disk, once per document.

    Its lock is held meanwhile, and all clients share its one connection: nobody reads what is not committed yet.
    """

    def handle_insert(self, msg: Message) -> Answer:
        """Serve one insertion."""
        return self._together(super().handle_insert, msg)

    def handle_command(self, msg: Message) -> Answer:
        """Serve one command of another kind."""
        put_brackets(_body(msg))
        if _writes(msg):
            return self._together(self._written, msg)
        answer: Answer = super().handle_command(msg)
        return answer

    def _written(self, msg: Message) -> Answer:
        updates, collection = _parts(msg, "updates"), _body(msg).get("update", "")
        where = conditions(self.conn, collection, updates)
        if where is None:
            for part in (*updates, *_parts(msg, "deletes")):
                put_brackets(part)
            answer: Answer = super().handle_command(msg)
            return answer
        met = set_same(self.conn, collection, updates, where)
        return msg["request_id"], {"ok": 1, "n": met, "nModified": met}

    def _together(self, serve: Callable[[Message], Answer], msg: Message) -> Answer:
        database: sqlite3.Connection = self.conn.db
        with self._db_lock:
            database.execute("BEGIN IMMEDIATE")
            try:
                answer = serve(msg)
                if not database.in_transaction:  # SQLite ends it by itself where the disk fails
                    return msg["request_id"], _failed("the disk is full, or a disk I/O error")
                database.execute("COMMIT")
            except sqlite3.Error as error:
                return msg["request_id"], _failed(str(error))
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")
            return answer


def _body(msg: Message) -> dict[str, Any]:
    return next((part for kind, part in msg["sections"] if kind == "body"), {})


def _writes(msg: Message) -> bool:
    return not WRITING.isdisjoint(_body(msg))


def _parts(msg: Message, name: str) -> list[dict[str, Any]]:
    """The updates or deletions of a command, in its body or beside it, as the client likes."""
    beside = [part[name] for kind, part in msg["sections"] if kind == "payload" and name in part]
    return [*_body(msg).get(name, ()), *(part for parts in beside for part in parts)]


def _failed(why: str) -> dict[str, Any]:
    return {"ok": 0, "errmsg": f"nothing of this command was written: {why}"}


def _durable(handler: NeoSQLiteHandler) -> None:
    connection: Connection = handler.conn
    connection.db.execute("PRAGMA synchronous = FULL")


def _serving(handler: NeoSQLiteHandler) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle_client(reader, writer, handler)
        except asyncio.CancelledError:
            return  # the process ends; asyncio would log a stack trace for each client that is still there

    return client


async def serve(directory: DataDirectory, stopper: Stopper) -> None:
    """Serve the directory's database until `stopper` is set. Raises: ServerError."""
    directory.make()
    socket = directory.database_socket
    socket.unlink(missing_ok=True)  # a killed predecessor leaves its socket; the supervisor's lock says that it is gone
    try:
        handler = WritesTogether(str(directory.database / FILE), journal_mode="WAL", single_db_compat=True)
        _durable(handler)
        server = await asyncio.start_unix_server(_serving(handler), str(socket))
    except OSError as error:
        raise ServerError(f"embedded database: {error}; see --data") from error
    log.info("ready", extra={"socket": str(socket)})
    await stopper.wait()
    server.close()


def main() -> int:
    """Entry of the process."""
    directory = DataDirectory(Path(sys.argv[1]))
    set_up(style="human", level="warning", name="database")
    return run_server(lambda stopper: serve(directory, stopper), supervised="--supervised" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
