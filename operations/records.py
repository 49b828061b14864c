"""Records on their way into the database: one group commit per stream, acknowledged when they are durable.

A record's id is made here, once, so a write that is repeated because its answer got lost stores it once.
"""

import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from akela.documents.store import StoreError
from operations.batching import GroupCommit

log = logging.getLogger(__name__)

Record = Mapping[str, Any]

MAX_BATCH: Final = 500  # messages in one insert
MAX_WAITING: Final = 20_000  # messages of one stream that may wait for the database before more are refused


class RecordStore(Protocol):
    """Where records are stored."""

    async def ensure_record_indexes(self, app: str, stream: str) -> None:
        """Make the collection of a stream ready."""
        ...

    async def insert_records(self, app: str, stream: str, docs: Sequence[Record]) -> None:
        """Insert records; those that are there already (same `_id`) count as inserted."""
        ...


class RecordIds:
    """Ids that sort by the time of reception and never repeat, whichever server made them."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._count = itertools.count()

    def next(self) -> str:
        """Microseconds since 1970 and a counter, both in hex, then the server."""
        return f"{time.time_ns() // 1000:014x}{next(self._count) & 0xFFFF:04x}-{self._server}"


class RecordWriter:
    """Writes the records of all streams."""

    def __init__(self, store: RecordStore, server: str) -> None:
        self._store = store
        self._ids = RecordIds(server)
        self._streams: dict[tuple[str, str], GroupCommit[Sequence[Record]]] = {}
        self.stored = 0  # records written since start

    @property
    def failing(self) -> bool:
        """The database refuses at the moment; records wait unacknowledged."""
        return any(stream.failing for stream in self._streams.values())

    @property
    def waiting(self) -> int:
        """Messages not yet durable."""
        return sum(len(stream) for stream in self._streams.values())

    def full(self, app: str, stream: str) -> bool:
        """True when so much waits that more must be refused."""
        known = self._streams.get((app, stream))
        return known is not None and len(known) >= MAX_WAITING

    def add(self, app: str, stream: str, ep: str, bodies: Sequence[object], told: Callable[[bool], None]) -> None:
        """Store one record per body; `told(True)` is called when all of them are durable."""
        at = datetime.now(UTC)
        docs = [self._record(ep, at, body) for body in bodies]
        self._stream(app, stream).add(docs, told)

    def _record(self, ep: str, at: datetime, body: object) -> Record:
        number = self._ids.next()
        # `n` repeats the id, because the embedded database takes no `_id` into an index with another field.
        return {"_id": number, "n": number, "ep": ep, "at": at, "body": body}

    async def close(self, within_s: float) -> None:
        """Write what waits, for at most `within_s` seconds; what is left was never acknowledged."""
        for (app, stream), commit in self._streams.items():
            left = await commit.close(within_s)
            if left:
                log.error("messages left unwritten", extra={"app": app, "stream": stream, "messages": left})

    def _stream(self, app: str, stream: str) -> GroupCommit[Sequence[Record]]:
        known = self._streams.get((app, stream))
        if known is None:
            known = GroupCommit(
                f"records {app}/{stream}", self._inserter(app, stream), retriable=StoreError, max_batch=MAX_BATCH
            )
            self._streams[(app, stream)] = known
        return known

    def _inserter(self, app: str, stream: str) -> Callable[[Sequence[Sequence[Record]]], Any]:
        ready = False

        async def insert(batch: Sequence[Sequence[Record]]) -> None:
            nonlocal ready
            if not ready:
                await self._store.ensure_record_indexes(app, stream)
                ready = True
            docs = [doc for message in batch for doc in message]
            await self._store.insert_records(app, stream, docs)
            self.stored += len(docs)

        return insert
