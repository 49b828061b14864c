"""When a configuration is sent again to an endpoint that refused it, or that took it and never said that it applied it. No clock, no I/O.

The waits double, from one for refusals and one for silence, up to a longest. After so many times the configuration is held: it is not
sent again by itself until the endpoint's target changes or an operator asks. An endpoint that is silent is sent it whenever it comes back
without it, held or not: the smallest devices never report, and keep nothing over a restart.
"""

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from operations.ledger import Attempts, Cause

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The four numbers; times in seconds."""

    refused_s: float = 30.0
    silent_s: float = 60.0
    longest_s: float = 3600.0
    tries: int = 5

    def wait_s(self, cause: Cause, tries: int) -> float:
        """How long to wait when it has been sent again `tries` times."""
        first_s = self.refused_s if cause == "refused" else self.silent_s
        return min(first_s * 2.0 ** min(tries, 64), self.longest_s)

    def refused(self, known: Attempts | None, number: str, now: datetime) -> Attempts:
        """The endpoint has refused configuration `number`."""
        if known is None or known.id != number:
            known = Attempts(number, "refused")
        waits = known.cause == "refused" and known.due is not None and known.due > now
        if known.held or waits:
            return known
        if known.tries >= self.tries:
            return Attempts(number, "refused", known.tries, held=True)
        wait = timedelta(seconds=self.wait_s("refused", known.tries))
        return Attempts(number, "refused", known.tries, due=now + wait)

    def silent(self, known: Attempts | None, number: str) -> Attempts:
        """The endpoint has said nothing of configuration `number` within the wait: held, or to be sent again (one more of `tries`)."""
        tries = known.tries if known is not None and known.id == number else 0
        if tries >= self.tries:
            return Attempts(number, "silent", tries, held=True)
        return Attempts(number, "silent", tries + 1)


def may_send(known: Attempts | None, now: datetime) -> bool:
    """Whether an endpoint that lacks its configuration, and was not sent it on this connection, is sent it now."""
    if known is None or known.cause == "silent":
        return True
    return not known.held and (known.due is None or known.due <= now)


class Agenda(Generic[T]):
    """Items by the time at which they are due; what is outdated by then is passed over by whoever takes it."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_s(self) -> float | None:
        """When the first is due; None: nothing is."""
        return self._heap[0][0] if self._heap else None

    def put(self, at_s: float, item: T) -> None:
        """Have `item` due at `at_s`."""
        self._count += 1
        heapq.heappush(self._heap, (at_s, self._count, item))

    def take(self, now_s: float) -> T | None:
        """The next item that is due, or None."""
        if not self._heap or self._heap[0][0] > now_s:
            return None
        return heapq.heappop(self._heap)[2]
