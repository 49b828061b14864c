"""Writes what this server learns of endpoints: behind, coalesced per endpoint, many endpoints in one call.

A field set twice before it is written goes out once, with the newer value. Whoever must not acknowledge before the fact
passes `on_written`. What the endpoint's next attach does not need is set with patience: it waits up to `PATIENCE_S` for another write
of the same endpoint, so that assigned, sent, delivered and applied are as a rule one write in place of two.

A write may be late: the database was slow, and the endpoint is attached to another server by then. So presence is written where no newer
connection's is stored, and what a connection brought only where the stored presence is (still) of this server; otherwise nothing is
changed. One server's writes of an endpoint keep their order, so this server's name is enough of a condition, and endpoints with equal
values share a statement whichever generations they are of (docs/decisions/0054).
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
    """Write-behind of stored endpoints' fields. `server`: this server's id, by which stored presence is known to be its own."""

    def __init__(self, store: EndpointStore, server: str) -> None:
        self._store = store
        self._server = server
        self._tick = -1
        self._moment = datetime.now(UTC)
        self._patient: dict[
            str, list[EndpointUpdate]
        ] = {}  # stored endpoint's id -> what is set with patience, in its order
        self._timer: asyncio.TimerHandle | None = None
        self._commit: GroupCommit[EndpointUpdate] = GroupCommit(
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
        patient: bool = False,
    ) -> None:
        """Set `fields` of the attached endpoint `key`, or take away what is `DROP`; `on_written(True)` is called once that is durable.

        Nothing is changed, and `on_written(True)` called nevertheless, where the endpoint has attached to another server since: whoever
        waits here has lost its connection, or is about to. `patient`: neither a caller nor the next attach of the endpoint waits for it.
        """
        update = EndpointUpdate(key, fields, by=self._server)
        if not patient:
            self._add(update, on_written)
            return
        self._patient.setdefault(key, []).append(update)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._wait_no_more)

    def note(self, key: str, fields: Mapping[str, Any]) -> None:
        """Set `fields` of endpoint `key`, or take away what is `DROP`, wherever it is attached: facts that stay true."""
        self._add(EndpointUpdate(key, fields))

    def present(self, key: str, at: datetime, server: str | None, generation: str) -> None:
        """Set the presence of endpoint `key`: attached to `server`, or to none any more (None), by the connection `generation`."""
        presence = {"at": at, "server": server, "generation": generation, "by": self._server}
        self._add(EndpointUpdate(key, {"presence": presence}, newest=generation))

    def _add(self, update: EndpointUpdate, on_written: Callable[[bool], None] | None = None) -> None:
        for earlier in self._patient.pop(update.key, ()):
            self._commit.add(earlier)
        self._commit.add(update, on_written)

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

    async def _write(self, batch: Sequence[EndpointUpdate]) -> None:
        updates = coalesced(batch)
        self.statements += await self._store.write_endpoints([_with_removals(update) for update in updates])
        self.calls += 1
        self.written += len(updates)


def coalesced(batch: Sequence[EndpointUpdate]) -> list[EndpointUpdate]:
    """As few updates as keep each endpoint's order: its neighbours under the same condition become one, and all endpoints' first come
    first, so that those with equal values stand together. Of several presences the newest generation's counts."""
    steps: list[dict[str, EndpointUpdate]] = []
    newest: dict[str, int] = {}  # endpoint -> the last step that it has a part in
    for update in batch:
        step = newest.get(update.key, -1)
        known = steps[step][update.key] if step >= 0 else None
        if known is not None and known.by == update.by and (known.newest is None) == (update.newest is None):
            steps[step][update.key] = _both(known, update)
            continue
        newest[update.key] = step + 1
        if step + 1 == len(steps):
            steps.append({})
        steps[step + 1][update.key] = update
    return [update for step in steps for update in step.values()]


def _both(earlier: EndpointUpdate, later: EndpointUpdate) -> EndpointUpdate:
    if earlier.newest is not None and later.newest is not None and later.newest < earlier.newest:
        return earlier
    return later._replace(fields={**earlier.fields, **later.fields})


def _with_removals(update: EndpointUpdate) -> EndpointUpdate:
    gone = tuple(name for name, value in update.fields.items() if value is DROP)
    if not gone:
        return update
    fields = {name: value for name, value in update.fields.items() if value is not DROP}
    return update._replace(fields=fields, unset=gone)
