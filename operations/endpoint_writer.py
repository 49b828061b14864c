"""Writes what this server learns of endpoints: behind, coalesced per endpoint, many endpoints in one call.

A field set twice before it is written goes out once, with the newer value. Whoever must not acknowledge before the fact
passes `on_written`.

A write may be late: the database was slow, and the endpoint is attached to another server by then. So presence is written where no newer
connection's is stored, and what a connection brought only where the stored presence is (still) of this server; otherwise nothing is
changed. One server's writes of an endpoint keep their order, so this server's name is enough of a condition, and endpoints with equal
values share a statement whichever generations they are of (docs/decisions/0054).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from akela.documents.store import EndpointUpdate, StoreError
from operations.batching import GroupCommit

log = logging.getLogger(__name__)


class Drop:
    """In place of a value: the field is taken away."""


DROP: Final = Drop()


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
        self._moment: datetime | None = None
        self._commit: GroupCommit[EndpointUpdate] = GroupCommit("endpoints", self._write, retriable=StoreError)
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
        """Set `fields` of the attached endpoint `key`, or take away what is `DROP`; `on_written(True)` is called once that is durable.

        Nothing is changed, and `on_written(True)` called nevertheless, where the endpoint has attached to another server since: whoever
        waits here has lost its connection, or is about to.
        """
        self._commit.add(EndpointUpdate(key, fields, by=self._server), on_written)

    def note(self, key: str, fields: Mapping[str, Any]) -> None:
        """Set `fields` of endpoint `key`, or take away what is `DROP`, wherever it is attached: facts that stay true."""
        self._commit.add(EndpointUpdate(key, fields))

    def present(self, key: str, at: datetime, server: str | None, generation: str) -> None:
        """Set the presence of endpoint `key`: attached to `server`, or to none any more (None), by the connection `generation`."""
        presence = {"at": at, "server": server, "generation": generation, "by": self._server}
        self._commit.add(EndpointUpdate(key, {"presence": presence}, newest=generation))

    async def close(self, within_s: float) -> None:
        """Write what waits, for at most `within_s` seconds."""
        left = await self._commit.close(within_s)
        if left:
            log.error("endpoints' fields left unwritten", extra={"updates": left})

    async def _write(self, batch: Sequence[EndpointUpdate]) -> None:
        self._moment = None
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
