"""Rates: how fast one client may send, one address connect, one client id come and go. Pure; times in seconds of one clock."""

from bisect import bisect_right
from collections import OrderedDict
from typing import Final

MAX_KNOWN: Final = 100_000  # addresses, or client ids, that are remembered; the longest unheard of go first


class TokenBucket:
    """At most `rate` a second on average, `burst` at once. May go into debt: what has happened is charged, and waited for."""

    __slots__ = ("_at_s", "_left", "burst", "rate")

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self.rate = rate
        self.burst = burst
        self._left = burst
        self._at_s = now_s

    def charge(self, amount: float, now_s: float) -> float:
        """Take `amount`; gives how long to wait until the debt is paid, 0 when there is none."""
        self._left = min(self.burst, self._left + (now_s - self._at_s) * self.rate) - amount
        self._at_s = now_s
        return -self._left / self.rate if self._left < 0 else 0.0

    def take(self, now_s: float) -> bool:
        """Take one if it is there; False, and nothing is taken, if not."""
        self._left = min(self.burst, self._left + (now_s - self._at_s) * self.rate)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class ConnectRates:
    """How often each address connects. `per_s` 0: as often as it likes."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def allows(self, address: str, now_s: float) -> bool:
        """Whether one more connection from an address is within its rate."""
        if not self._per_s:
            return True
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._per_s, self._burst, now_s)
            if len(self._buckets) > MAX_KNOWN:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket.take(now_s)


class Duels:
    """Clients that share an id and take it from each other, again and again.

    `limit` take-overs within `window_s` are a duel: then the one that has the id keeps it, and others are refused for `refusal_s`.
    """

    def __init__(self, limit: int, window_s: float, refusal_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._refusal_s = refusal_s
        self._seen: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._refused: dict[tuple[str, str], float] = {}  # until when

    def takes_over(self, key: tuple[str, str], now_s: float) -> tuple[bool, bool]:
        """(whether an id may be taken from who has it, whether a duel has just been found)."""
        if not self._limit:
            return True, False
        until_s = self._refused.get(key)
        if until_s is not None and now_s < until_s:
            return False, False
        self._refused.pop(key, None)
        times = _recent(self._seen, key, now_s - self._window_s)
        if len(times) < self._limit:
            times.append(now_s)
            return True, False
        del self._seen[key]
        self._refused[key] = now_s + self._refusal_s
        if len(self._refused) > MAX_KNOWN:
            self._refused = {one: until for one, until in self._refused.items() if until > now_s}
        return False, True


def _recent(seen: OrderedDict[tuple[str, str], list[float]], key: tuple[str, str], since_s: float) -> list[float]:
    """The times of a key that are later than `since_s`; the key is now the one heard of last."""
    times = seen.get(key)
    if times is None:
        times = seen[key] = []
        if len(seen) > MAX_KNOWN:
            seen.popitem(last=False)
    seen.move_to_end(key)
    del times[: bisect_right(times, since_s)]
    return times


class Flapping:
    """Client ids that attach too often: a device in a loop, or two that share one id and throw each other out."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._seen: OrderedDict[tuple[str, str], list[float]] = OrderedDict()  # times within the window, oldest first

    def allows(self, key: tuple[str, str], now_s: float) -> bool:
        """Whether a client id may attach once more now; one that may not is let in again when its window has passed."""
        if not self._limit:
            return True
        times = _recent(self._seen, key, now_s - self._window_s)
        if len(times) >= self._limit:
            return False
        times.append(now_s)
        return True
