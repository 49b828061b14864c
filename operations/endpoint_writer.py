"""Writes what this server learns of endpoints: behind, coalesced per endpoint, many endpoints in one call.

A field set twice before it is written goes out once, with the newer value. Whoever must not acknowledge before the fact
passes `on_written`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from akela.documents.store import StoreError
from operations.batching import GroupCommit

log = logging.getLogger(__name__)

Update = tuple[str, Mapping[str, Any]]  # stored endpoint's id, fields to set (dotted names allowed)


class EndpointStore(Protocol):
    """Where endpoints are stored."""

    async def write_endpoints(self, updates: Sequence[Update]) -> int:
        """Set fields of stored endpoints; gives the number of statements."""
        ...


class EndpointWriter:
    """Write-behind of stored endpoints' fields."""

    def __init__(self, store: EndpointStore) -> None:
        self._store = store
        self._moment: datetime | None = None
        self._commit: GroupCommit[Update] = GroupCommit("endpoints", self._write, retriable=StoreError)
        self.calls = self.statements = self.written = 0  # of the database, in them, and endpoints in those

    @property
    def failing(self) -> bool:
        """The database refuses at the moment; what is set waits."""
        return self._commit.failing

    @property
    def waiting(self) -> int:
        """Updates not yet durable."""
        return len(self._commit)

    def moment(self) -> datetime:
        """The present time, the same for all that goes out in one write: endpoints that get equal values share a statement."""
        if self._moment is None:
            self._moment = datetime.now(UTC)
        return self._moment

    def set(self, key: str, fields: Mapping[str, Any], on_written: Callable[[bool], None] | None = None) -> None:
        """Set `fields` of endpoint `key`; `on_written(True)` is called once they are durable."""
        self._commit.add((key, fields), on_written)

    async def close(self, within_s: float) -> None:
        """Write what waits, for at most `within_s` seconds."""
        left = await self._commit.close(within_s)
        if left:
            log.error("endpoints' fields left unwritten", extra={"updates": left})

    async def _write(self, batch: Sequence[Update]) -> None:
        self._moment = None
        merged: dict[str, dict[str, Any]] = {}
        for key, fields in batch:
            merged.setdefault(key, {}).update(fields)
        self.statements += await self._store.write_endpoints(list(merged.items()))
        self.calls += 1
        self.written += len(merged)
