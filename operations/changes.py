"""Follows the change log: the log is the truth, a change event only rings the bell.

Control publishes each change at `$akela/control`. Whatever the event says, this server then reads the log from the place
it stands at, so a lost, repeated or reordered event costs nothing; and every 30 s it looks even if no bell rang
(DESIGN section 6). A server that has been away for so long that the log was cut behind its place starts over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from akela.documents.store import StoreError
from broker import Session

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 30.0
READ_LIMIT: Final = 500
RETRY_S: Final = 0.5

Change = Mapping[str, Any]


class ChangeSource(Protocol):
    """Where changes are read from."""

    async def read_changes(self, after_seq: int, limit: int) -> Sequence[Change]:
        """Changes behind `after_seq`, in sequence without a gap, each done or void."""
        ...

    async def cut_seq(self) -> int:
        """The last number that the log has been cut up to."""
        ...


class ChangeFeed:
    """Brings this server from one place in the log to the next.

    `apply` is called for each done change in sequence; `start_over` when the log does not reach back: it gives the new place.
    """

    def __init__(
        self, source: ChangeSource, apply: Callable[[Change], None], start_over: Callable[[], Awaitable[int]]
    ) -> None:
        self._source = source
        self._apply = apply
        self._start_over = start_over
        self._bell = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self.position = 0

    def start(self, position: int) -> None:
        """Follow the log from `position`: what is loaded stands for everything up to there."""
        self.position = position
        self._worker = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop following."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    def ring(self, session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        """The engine's handler of `$akela/control`."""
        self._bell.set()
        return True

    async def _run(self) -> None:
        while True:
            self._bell.clear()
            try:
                more = await self._read()
            except StoreError as error:
                log.warning("the change log cannot be read", extra={"position": self.position, "error": str(error)})
                await asyncio.sleep(RETRY_S)
                continue
            if not more:
                await self._next_bell()

    async def _next_bell(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._bell.wait()
        except TimeoutError:
            return

    async def _read(self) -> bool:
        before = self.position
        changes = await self._source.read_changes(before, READ_LIMIT)
        if not changes and await self._source.cut_seq() > before:
            self.position = await self._start_over()
            return True
        for change in changes:
            if change["_id"] != self.position + 1:
                break  # the log ends here for now: the next number is still being written
            self.position += 1
            if change["state"] == "done":
                self._apply_one(change)
        return self.position - before == READ_LIMIT

    def _apply_one(self, change: Change) -> None:
        try:
            self._apply(change)
        except Exception:
            log.exception("a change cannot be applied", extra={"seq": change["_id"], "kind": change.get("kind")})
