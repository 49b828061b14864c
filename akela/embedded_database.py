"""The embedded database: nx-27017 (MongoDB's wire protocol on SQLite) on a Unix socket in a directory that only its owner may enter.

A process of its own: `python -m akela.embedded_database DIR`. nx-27017 has no authentication, so nobody else may reach it. Its
writes are committed with `synchronous = FULL`: an acknowledged write survives a power cut, not only a killed process (docs/decisions/0002).
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from neosqlite import Connection
from nx_27017.handler import NeoSQLiteHandler
from nx_27017.server import handle_client

from akela.errors import ServerError
from akela.lifecycle import Stopper, run_server
from akela.logs import set_up
from akela.paths import DataDirectory

log = logging.getLogger(__name__)

FILE: Final = "akela.db"


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
        handler = NeoSQLiteHandler(str(directory.database / FILE), journal_mode="WAL", single_db_compat=True)
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
