"""Batches that form by themselves: what arrives while one call runs goes out together with the next.

A lone request waits for nobody; ten thousand at once share a few calls. No timer, no window to tune. The two directions:
`BatchLoader` reads by key, `GroupCommit` writes in order and tells each writer when its item is durable. Neither knows
what the items mean or which database they go to.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

Asker = Callable[[V | None, Exception | None], None]
"""Is told a value (None: there is none), or why it could not be read."""

MAX_BATCH: Final = 1000  # keys or items in one call
TURNS: Final = 2  # of the loop between two reads
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0


class BatchLoader(Generic[K, V]):
    """Reads values by key, many askers in one call.

    A failing call fails those who asked in it and nobody else.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._fetch = fetch
        self._waiting: dict[K, list[Asker[V]]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def load(self, key: K) -> V | None:
        """The value of `key`, or None when there is none. Raises: what the fetch raised."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self.ask(key, partial(_settle, future))
        return await future

    def ask(self, key: K, asker: Asker[V]) -> None:
        """The same by a call: `asker(value, None)`, or `asker(None, error)` with what the fetch raised. It must not raise."""
        self._waiting.setdefault(key, []).append(asker)
        if self._worker is None:
            self._worker = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            keys = list(itertools.islice(self._waiting, MAX_BATCH))
            askers = [self._waiting.pop(key) for key in keys]
            try:
                found = await self._fetch(keys)
            except Exception as error:  # noqa: BLE001  each asker gets it and decides
                for asker in itertools.chain.from_iterable(askers):
                    asker(None, error)
                continue
            for key, those in zip(keys, askers, strict=True):
                for asker in those:
                    asker(found.get(key), None)
            for _ in range(TURNS):  # those who come because these are served, and what has come meanwhile, go along
                await asyncio.sleep(0)
        self._worker = None


def _settle(future: asyncio.Future[V | None], value: V | None, error: Exception | None) -> None:
    if future.done():  # an asker that has gone is told nothing
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


class GroupCommit(Generic[T]):
    """Writes items in the order of their arrival, as many as wait in one call.

    A call that fails with one of `retriable` is repeated, with back-off, until it succeeds: an item is never given up and
    its writer never told too early. Any other failure is somebody's bad item: the batch is halved until the bad ones are
    alone, they are told `False`, and their neighbours are written.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[T]], Awaitable[None]],
        *,
        retriable: type[Exception] | tuple[type[Exception], ...],
        max_batch: int = MAX_BATCH,
    ) -> None:
        self._name = name
        self._write = write
        self._retriable = retriable
        self._max_batch = max_batch
        self._items: list[T] = []
        self._told: list[Callable[[bool], None] | None] = []
        self._worker: asyncio.Task[None] | None = None
        self.failing = False  # the last call failed: the database is away

    def __len__(self) -> int:
        """Items that are not yet durable."""
        return len(self._items)

    def add(self, item: T, on_written: Callable[[bool], None] | None = None) -> None:
        """Queue `item`; `on_written(True)` is called when it is durable, `on_written(False)` when it was refused for good."""
        self._items.append(item)
        self._told.append(on_written)
        if self._worker is None:
            self._worker = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Wait until all that was added is written."""
        while self._worker is not None:
            await asyncio.shield(self._worker)

    async def close(self, within_s: float) -> int:
        """Write what waits, for at most `within_s` seconds; returns how many items were left, all of them untold."""
        try:
            async with asyncio.timeout(within_s):
                await self.drain()
        except TimeoutError:
            if self._worker is not None:
                self._worker.cancel()
        return len(self._items)

    async def _run(self) -> None:
        await asyncio.sleep(0)  # what arrives in the same turn of the loop goes along
        while self._items:
            batch = self._items[: self._max_batch]
            written = await self._write_sorted(batch)
            told = self._told[: len(batch)]
            del self._items[: len(batch)], self._told[: len(batch)]
            for on_written, durable in zip(told, written, strict=True):
                self._tell(on_written, durable)
        self._worker = None

    def _tell(self, on_written: Callable[[bool], None] | None, written: bool) -> None:
        if on_written is None:
            return
        try:
            on_written(written)
        except Exception:
            log.exception("a writer failed on being told", extra={"writer": self._name})

    async def _write_sorted(self, batch: Sequence[T]) -> list[bool]:
        try:
            await self._write_until_it_holds(batch)
        except Exception:
            if len(batch) == 1:
                log.exception("an item cannot be written", extra={"writer": self._name})
                return [False]
            middle = len(batch) // 2
            return await self._write_sorted(batch[:middle]) + await self._write_sorted(batch[middle:])
        return [True] * len(batch)

    async def _write_until_it_holds(self, batch: Sequence[T]) -> None:
        delay_s = RETRY_FIRST_S
        while True:
            try:
                await self._write(batch)
            except self._retriable as error:
                if not self.failing:
                    log.warning("writing fails, holding back", extra={"writer": self._name, "error": str(error)})
                self.failing = True
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_MAX_S)
            else:
                break
        if self.failing:
            log.info("writing works again", extra={"writer": self._name})
        self.failing = False
