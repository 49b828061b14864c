"""How often somebody may ask: token buckets for API tokens, growing waits after wrong passwords. Pure: the time is passed in.

Kept in memory by each Control server, bounded: who has been quiet longest is forgotten first.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MAX_KNOWN: Final = 100_000
FIRST_WAIT_S: Final = 1.0
FORGET_S: Final = 900.0  # a quiet quarter of an hour makes everything as before


@dataclass(slots=True)
class _Bucket:
    level: float
    at_s: float


class Buckets:
    """One token bucket per key: `rate_per_s` on average, `burst` at once. A rate of 0 bounds nothing."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._known: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, now_s: float) -> float:
        """Take one; 0 when it was there, else the seconds after which it will be."""
        if self._rate_per_s <= 0:
            return 0.0
        bucket = self._known.get(key)
        if bucket is None:
            bucket = self._known[key] = _Bucket(self._burst, now_s)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        bucket.level = min(self._burst, bucket.level + (now_s - bucket.at_s) * self._rate_per_s)
        bucket.at_s = now_s
        if bucket.level >= 1:
            bucket.level -= 1
            return 0.0
        return (1 - bucket.level) / self._rate_per_s


@dataclass(slots=True)
class _Failures:
    count: int
    until_s: float
    last_s: float


class BackOff:
    """Waits after more than `free` failures, twice as long each time, up to `longest_s`; nobody is shut out for good."""

    def __init__(self, free: int, longest_s: float) -> None:
        self._free = free
        self._longest_s = longest_s
        self._known: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, key: str, now_s: float) -> float:
        """Seconds until `key` may try again; 0: now."""
        known = self._known.get(key)
        if known is not None and now_s - known.last_s > FORGET_S:
            del self._known[key]
            return 0.0
        return 0.0 if known is None else max(0.0, known.until_s - now_s)

    def failed(self, key: str, now_s: float) -> None:
        """`key` was wrong."""
        known = self._known.setdefault(key, _Failures(0, now_s, now_s))
        known.count += 1
        known.last_s = now_s
        if known.count > self._free:
            doublings = min(known.count - self._free - 1, 30)
            known.until_s = now_s + min(self._longest_s, FIRST_WAIT_S * 2**doublings)
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """`key` was right: it begins anew."""
        self._known.pop(key, None)
