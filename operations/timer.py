"""One timer of the loop for any number of things that are due later; what is due together is done in slices of the loop."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from operations.retries import Agenda

T = TypeVar("T")

SLICE: Final = 100  # items done in one turn of the loop


class Timer(Generic[T]):
    """Calls `act` for each item when it is due."""

    def __init__(self, act: Callable[[T], None]) -> None:
        self._act = act
        self._agenda: Agenda[T] = Agenda()
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._agenda)

    def put(self, wait_s: float, item: T) -> None:
        """Have `item` due in `wait_s` seconds."""
        loop = asyncio.get_running_loop()
        self._agenda.put(loop.time() + wait_s, item)
        self._arrange(loop)

    def close(self) -> None:
        """Do nothing more."""
        if self._handle is not None:
            self._handle.cancel()
        self._agenda = Agenda()

    def _arrange(self, loop: asyncio.AbstractEventLoop) -> None:
        next_s = self._agenda.next_s
        if next_s is None or (self._handle is not None and self._handle.when() <= next_s):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = loop.call_at(next_s, self._fire)

    def _fire(self) -> None:
        self._handle = None
        loop = asyncio.get_running_loop()
        try:
            for _ in range(SLICE):
                item = self._agenda.take(loop.time())
                if item is None:
                    break
                self._act(item)
        finally:
            self._arrange(loop)
