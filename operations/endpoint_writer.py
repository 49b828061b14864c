"""Writes what this server learns of endpoints: behind, coalesced per endpoint, many endpoints in one call.

A field set twice before it is written goes out once, with the newer value. Whoever must not acknowledge before the fact
passes `on_written`. What the endpoint's next attach does not need is set with patience: it waits up to `PATIENCE_S` for another write
of the same endpoint, so that assigned, sent, delivered and applied are as a rule one write in place of two.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from akela.documents.store import EndpointUpdate, StoreError
from operations.batching import GroupCommit

log = logging.getLogger(__name__)

Update = tuple[
    str, Mapping[str, Any], str | None
]  # stored endpoint's id, fields to set (dotted names allowed), generation


class Drop:
    """In place of a value: the field is taken away."""


DROP: Final = Drop()

PATIENCE_S: Final = 0.25  # how long what is set with patience may wait to go along with something else
TICK_S: Final = 0.05  # of the times that are stored, so that many endpoints get equal values
MAX_BATCH: Final = 4000  # updates in one call; several of an endpoint are one document


class EndpointStore(Protocol):
    """Where endpoints are stored."""

    async def write_endpoints(self, updates: Sequence[EndpointUpdate]) -> int:
        """Set fields of stored endpoints, and take fields away; gives the number of statements."""
        ...


class EndpointWriter:
    """Write-behind of stored endpoints' fields."""

    def __init__(self, store: EndpointStore) -> None:
        self._store = store
        self._tick = -1
        self._moment = datetime.now(UTC)
        self._patient: dict[str, list[Update]] = {}  # stored endpoint's id -> what is set with patience, in its order
        self._timer: asyncio.TimerHandle | None = None
        self._commit: GroupCommit[Update] = GroupCommit(
            "endpoints", self._write, retriable=StoreError, max_batch=MAX_BATCH
        )
        self.calls = self.statements = self.written = 0  # of the database, in them, and endpoints in those

    @property
    def failing(self) -> bool:
        """The database refuses at the moment; what is set waits."""
        return self._commit.failing

    @property
    def waiting(self) -> int:
        """Updates not yet durable."""
        return len(self._commit) + len(self._patient)

    def moment(self) -> datetime:
        """The present time, the same for a whole tick: endpoints that get equal values share a statement."""
        tick = int(time.time() / TICK_S)
        if tick != self._tick:
            self._tick, self._moment = tick, datetime.fromtimestamp(tick * TICK_S, UTC)
        return self._moment

    def set(
        self,
        key: str,
        fields: Mapping[str, Any],
        on_written: Callable[[bool], None] | None = None,
        *,
        generation: str | None = None,
        patient: bool = False,
    ) -> None:
        """Set `fields` of endpoint `key`, or take away what is `DROP`; `on_written(True)` is called once that is durable.

        With a `generation` nothing is changed where the endpoint's stored presence is of a newer one. `patient`: neither a caller nor the
        next attach of the endpoint waits for it.
        """
        if patient:
            self._patient.setdefault(key, []).append((key, fields, generation))
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._wait_no_more)
            return
        for update in self._patient.pop(key, ()):
            self._commit.add(update)
        self._commit.add((key, fields, generation), on_written)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        patient, self._patient, self._timer = self._patient, {}, None
        for updates in patient.values():
            for update in updates:
                self._commit.add(update)

    async def close(self, within_s: float) -> None:
        """Write what waits, for at most `within_s` seconds."""
        self._wait_no_more()
        left = await self._commit.close(within_s)
        if left:
            log.error("endpoints' fields left unwritten", extra={"updates": left})

    async def _write(self, batch: Sequence[Update]) -> None:
        always: dict[str, dict[str, Any]] = {}
        conditional: dict[str, tuple[str, dict[str, Any]]] = {}
        for key, fields, generation in batch:
            if generation is None:
                always.setdefault(key, {}).update(fields)
                continue
            before = conditional.get(key)
            if before is None or before[0] < generation:
                conditional[key] = (generation, dict(fields))
            elif before[0] == generation:
                before[1].update(fields)
        updates = [_update(key, fields, None) for key, fields in always.items()]
        updates += [_update(key, fields, generation) for key, (generation, fields) in conditional.items()]
        self.statements += await self._store.write_endpoints(updates)
        self.calls += 1
        self.written += len(updates)


def _update(key: str, fields: Mapping[str, Any], generation: str | None) -> EndpointUpdate:
    gone = tuple(name for name, value in fields.items() if value is DROP)
    if gone:
        fields = {name: value for name, value in fields.items() if value is not DROP}
    return EndpointUpdate(key, fields, gone, generation)
