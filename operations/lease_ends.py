"""When leases end, of many endpoints, for one timer. No clock, no loop."""

import heapq
from datetime import datetime
from typing import Final

SPARE: Final = 64  # entries that are no longer true, beyond as many as there are true ones


class LeaseEnds:
    """By key the moment at which its next lease ends."""

    def __init__(self) -> None:
        self._ends: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def __len__(self) -> int:
        """Keys with a lease."""
        return len(self._ends)

    @property
    def next(self) -> datetime | None:
        """When the next of all ends."""
        return self._heap[0][0] if self._heap else None

    def set(self, key: str, until: datetime | None) -> None:
        """The next lease of `key` ends then, or (None) it has none."""
        if self._ends.get(key) == until:
            return
        if until is None:
            del self._ends[key]
        else:
            self._ends[key] = until
            heapq.heappush(self._heap, (until, key))
        self._tidy()

    def due(self, now: datetime, limit: int) -> list[str]:
        """Up to `limit` keys whose lease has ended; they have none any more."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            until, key = heapq.heappop(self._heap)
            if self._ends.get(key) == until:
                del self._ends[key]
                found.append(key)
        self._tidy()
        return found

    def _tidy(self) -> None:
        """The first entry is always true, and few others are not."""
        if len(self._heap) > 2 * len(self._ends) + SPARE:
            self._heap = [(until, key) for key, until in self._ends.items()]
            heapq.heapify(self._heap)
        while self._heap and self._ends.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
