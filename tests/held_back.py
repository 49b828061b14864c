"""A way to the database that can hold writes back, as a slow disk or network does: reads pass, updates wait until they are let go."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

UPDATE = b"\x02update\x00"  # the first field of the update command, in BSON


class HeldBack:
    """Use it as a context manager; `uri` is its near end. `database_socket` is where the database listens."""

    def __init__(self, database_socket: Path, socket: Path) -> None:
        self._database = str(database_socket)
        self._socket = str(socket)
        self._free = asyncio.Event()
        self._free.set()
        self.uri = f"mongodb://{quote(self._socket, safe='')}"
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self) -> None:
        """Updates wait from now on."""
        self._free.clear()

    def let_go(self) -> None:
        """They go on."""
        self._free.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._connected, self._socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._database)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if UPDATE in data[:64]:
                    await self._free.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()
