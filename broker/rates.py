"""Rates: how fast one client may send, one address connect, one client id come and go. Pure; times in seconds of one clock."""

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
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


class Buckets:
    """A bucket for each address, or account; the ones longest unheard of are forgotten, when they are full again as a rule."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._known: OrderedDict[str, TokenBucket] = OrderedDict()

    def of(self, key: str, now_s: float) -> TokenBucket:
        """The bucket of a key."""
        bucket = self._known.get(key)
        if bucket is None:
            bucket = self._known[key] = TokenBucket(self._rate, self._burst, now_s)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return bucket


class ConnectRates:
    """How often each address connects. `per_s` 0: as often as it likes."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._buckets = Buckets(per_s, burst) if per_s else None

    def allows(self, address: str, now_s: float) -> bool:
        """Whether one more connection from an address is within its rate."""
        return self._buckets is None or self._buckets.of(address, now_s).take(now_s)


@dataclass(frozen=True, slots=True)
class SendRates:
    """How much clients may send a second, on average: each by itself, and together with others. 0: no bound."""

    messages_per_s: float = 0.0
    bytes_per_s: float = 0.0
    messages_per_s_address: float = 0.0
    messages_per_s_account: float = 0.0

    @property
    def bounded(self) -> bool:
        """Whether there is any bound."""
        return any((self.messages_per_s, self.bytes_per_s, self.messages_per_s_address, self.messages_per_s_account))


class SharedRates:
    """What clients of one address, and of one account, may send together."""

    def __init__(self, rates: SendRates) -> None:
        self.rates = rates
        self.addresses = _buckets(rates.messages_per_s_address)
        self.accounts = _buckets(rates.messages_per_s_account)


class ClientRates:
    """What one client has sent, against its own bounds and those that it shares."""

    __slots__ = ("_bytes", "_messages", "_shared")

    def __init__(self, shared: SharedRates, now_s: float) -> None:
        rates = shared.rates
        self._shared = shared
        self._messages = _bucket(rates.messages_per_s, now_s)
        self._bytes = _bucket(rates.bytes_per_s, now_s)

    def charge(self, messages: int, size: int, address: str, account: str | None, now_s: float) -> float:
        """Charge what was read; gives how long the client is to wait until all its debts are paid. `account`: None before it has one."""
        addresses, accounts = self._shared.addresses, self._shared.accounts
        return max(
            0.0 if self._messages is None else self._messages.charge(messages, now_s),
            0.0 if self._bytes is None else self._bytes.charge(size, now_s),
            0.0 if addresses is None else addresses.of(address, now_s).charge(messages, now_s),
            0.0 if accounts is None or account is None else accounts.of(account, now_s).charge(messages, now_s),
        )


def _bucket(rate: float, now_s: float) -> TokenBucket | None:
    return TokenBucket(rate, max(rate, 1.0), now_s) if rate else None


def _buckets(rate: float) -> Buckets | None:
    return Buckets(rate, max(rate, 1.0)) if rate else None


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
