"""Group commit: hands the journal's batches to the store, one at a time, in a thread of their own.

While one batch is written the next one gathers, so the slower the disk, the more each `fsync` carries.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from broker.errors import SessionStoreError
from broker.journal import Batch, Journal, Row, Table
from broker.stats import BrokerStats
from broker.store import Store

log = logging.getLogger(__name__)

LAZY_S: Final = 0.2  # how long a change may wait that nobody waits for
RETRY_S: Final = 0.5  # after a batch could not be written


class Durability:
    """The journal of a broker and its file. Open and close it in one event loop."""

    def __init__(self, path: Path, max_bytes: int, stats: BrokerStats, clock: Callable[[], float]) -> None:
        self.journal = Journal(self._due, lambda: time.time() - clock())
        self._store = Store(path, max_bytes)
        self._stats = stats
        self._thread = ThreadPoolExecutor(1, "broker-store")
        self._wake = asyncio.Event()
        self._lazy: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    async def open(self) -> Mapping[Table, Sequence[Row]]:
        """Open the file; gives what it holds. Raises: SessionStoreError."""
        self._loop = asyncio.get_running_loop()
        rows = await self._loop.run_in_executor(self._thread, self._store.open)
        self._task = self._loop.create_task(self._run())
        return rows

    async def flush(self) -> bool:
        """Write what was noted up to now; False when it could not be."""
        async with self._writing:
            return await self._write()

    async def close(self) -> None:
        """Write what is left, and close the file."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        await self._loop.run_in_executor(self._thread, self._store.close)
        self._thread.shutdown()
        if self._lazy is not None:
            self._lazy.cancel()

    def _due(self, urgent: bool) -> None:
        if urgent:
            self._wake.set()
        elif self._lazy is None and self._task is not None:
            self._lazy = self._loop.call_later(LAZY_S, self._wake.set)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._lazy is not None:
                self._lazy.cancel()
                self._lazy = None
            if not await self.flush():
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _write(self) -> bool:
        batch = self.journal.take()
        try:
            # Shielded: a write that has begun is finished, and its outcome told, before anything else is done.
            done = self._loop.run_in_executor(self._thread, self._store.write, batch.changes)
            await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            self._told(batch, done.exception())
            raise
        except SessionStoreError as error:
            self._told(batch, error)
            return False
        self._told(batch, None)
        return True

    def _told(self, batch: Batch, error: BaseException | None) -> None:
        if error is None:
            if self.journal.failing:
                log.warning("sessions and messages can be stored again")
            self._stats.store_batches += 1
            self.journal.written(batch)
            return
        if not self.journal.failing:
            log.error("sessions and messages cannot be stored: refusing what has to be", extra={"error": str(error)})
        self._stats.store_failures += 1
        self.journal.not_written(batch)
