"""Which of two connections of one endpoint is the newer one, on whichever servers they are: a hybrid logical clock. Pure.

A generation is text that sorts: the clock's milliseconds and a counter in 16 hex digits, then the server, which breaks ties. It is greater
than the one that the endpoint's stored presence had when the connection was made, so no server's clock that is behind makes a new
connection look old (Kulkarni et al., "Logical Physical Clocks", 2014). Connections of one tick share it, and their presence one write.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

TICK_MS: Final = 100
DIGITS: Final = 16  # hex: 48 bits of milliseconds, 16 of counter
COUNTER_BITS: Final = 16


class Generations:
    """Those that one server gives. `clock`: seconds since the epoch."""

    def __init__(self, server: str, clock: Callable[[], float] = time.time) -> None:
        self._server = server
        self._clock = clock
        self._last = 0
        self._text = ""  # the last one given, which thousands of connections of its tick share

    def next(self, after: str) -> str:
        """A generation that is newer than `after` (empty: than none), and not older than any that this server gave or heard of."""
        now = self._tick_ms() << COUNTER_BITS
        self._last = max(self._last, now, number_of(after) + 1)
        text = f"{self._last:0{DIGITS}x}-{self._server}"
        if text != self._text:
            self._text = text
        return self._text

    def heard(self, generation: str) -> None:
        """Another server has given this one: what this server gives from now on is not older."""
        self._last = max(self._last, number_of(generation))

    def moment(self) -> datetime:
        """The present time, the same for a whole tick."""
        return datetime.fromtimestamp(self._tick_ms() / 1000, UTC)

    def _tick_ms(self) -> int:
        return int(self._clock() * 1000) // TICK_MS * TICK_MS


def number_of(generation: str) -> int:
    """The clock's part of a generation; 0 for what is none."""
    try:
        return int(generation[:DIGITS], DIGITS)
    except ValueError:
        return 0
