"""Verdicts that a gate gives by a future. A task and a time-out for each would cost more than most decisions.

All have the same patience, so those that are asked first are due first, and one timer is enough. Not here: gates that give an
awaitable of another kind, or that are asked one after another (`broker.gates`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from broker.gates import CONNECT_FAILED
from broker.hooks import Accepted, Refused

log = logging.getLogger(__name__)

Then = Callable[[Accepted | Refused], None]


class Waiting:
    """Those who wait for a verdict on their CONNECT. `patience_s`: a gate that takes longer refuses."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._due: deque[tuple[float, asyncio.Future[Any]]] = deque()  # the soonest first; loop's time, seconds
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def tell(self, answer: asyncio.Future[Any], gate: str, then: Then) -> None:
        """Call `then` with what `answer` becomes; with a refusal when it fails, or takes too long."""
        loop = answer.get_loop()
        while self._due and self._due[0][1].done():
            self._due.popleft()
        self._due.append((loop.time() + self._patience_s, answer))
        if self._timer is None:
            self._timer = loop.call_later(self._patience_s, self._look, loop)
        answer.add_done_callback(partial(self._decided, gate, then))

    def close(self) -> None:
        """Nobody wants a verdict any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._due:
            self._due.popleft()[1].cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, now_s = None, loop.time()
        while self._due and (self._due[0][1].done() or self._due[0][0] <= now_s):
            self._due.popleft()[1].cancel()
        if self._due:
            self._timer = loop.call_at(self._due[0][0], self._look, loop)

    def _decided(self, gate: str, then: Then, answer: asyncio.Future[Any]) -> None:
        if self._closed:
            return
        verdict = CONNECT_FAILED
        if answer.cancelled():
            log.error("gate is slow, refusing", extra={"gate": gate, "timeout_s": self._patience_s})
        elif answer.exception() is not None:
            log.error("gate failed, refusing", extra={"gate": gate}, exc_info=answer.exception())
        else:
            verdict = answer.result()
        try:
            then(verdict)
        except Exception:
            log.exception("a verdict could not be carried out")
