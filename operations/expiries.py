"""Ends each session at the moment at which what it came with expires: a certificate, a JWT, an API token.

One timer for all: the next moment is at the top of a heap. What has detached before is passed over, and cleared away when it is most of
the heap, so that sessions which come and go long before their end leave nothing behind.
"""

import asyncio
import heapq
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from broker import Session
from broker.hooks import DetachCause
from operations.principals import Endpoint, Operator, end

LONGEST_WAIT_S: Final = 3600.0  # timers of the loop do not follow a clock that is set
CLEARED_FROM: Final = 1000  # entries of sessions that are gone


class Cancellable(Protocol):
    """A timer that runs."""

    def cancel(self) -> None:
        """Let it not come."""
        ...


Later = Callable[[float, Callable[[], None]], Cancellable]


class Expiries:
    """Observer of the engine's sessions."""

    def __init__(self, clock: Callable[[], float] = time.time, later: Later | None = None) -> None:
        self._clock = clock
        self._later = later or _of_the_loop
        self._heap: list[tuple[float, int, Session]] = []
        self._current: dict[Session, int] = {}  # the number of each session's entry that counts
        self._number = 0
        self._timer: Cancellable | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def on_attached(self, session: Session, session_present: bool) -> None:
        """A session has been accepted."""
        until = expires(session.principal)
        if until is None:
            self._current.pop(session, None)  # it was resumed with what does not expire
            return
        self._number += 1
        self._current[session] = self._number
        heapq.heappush(self._heap, (until.timestamp(), self._number, session))
        if self._heap[0][1] == self._number:
            self._wait()

    def on_detached(self, session: Session, cause: DetachCause) -> None:
        """A session has lost its connection."""
        if self._current.pop(session, None) is not None and len(self._heap) > CLEARED_FROM + 2 * len(self._current):
            self._heap = [entry for entry in self._heap if self._current.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)

    def stop(self) -> None:
        """End no more sessions."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = min(max(0.0, self._heap[0][0] - self._clock()), LONGEST_WAIT_S)
        self._timer = self._later(delay_s, self._look)

    def _look(self) -> None:
        self._timer = None
        while self._heap and self._heap[0][0] <= self._clock():
            _, number, session = heapq.heappop(self._heap)
            if self._current.get(session) == number:
                del self._current[session]
                end(session, f"{said(session.principal)} has expired")
        if self._heap:
            self._wait()


def _of_the_loop(delay_s: float, call: Callable[[], None]) -> Cancellable:
    return asyncio.get_running_loop().call_later(delay_s, call)


def expires(principal: object) -> datetime | None:
    """When what a principal came with expires; None: never."""
    match principal:
        case Endpoint():
            return principal.until
        case Operator():
            return principal.expires
    return None


def said(principal: object) -> str:
    """What a principal came with, in words."""
    if isinstance(principal, Endpoint):
        return "the certificate" if principal.via == "x509" else "the JWT"
    return "the API token"
