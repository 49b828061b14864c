"""Documents that every request needs (its token, its application), remembered by the active server.

Only the active server writes them, and every write of it passes by here, so what it remembers is what is stored. A standby, and a
leader that is not sure of itself, remembers nothing. A read that began before a write is not remembered after it.
"""

import threading
from collections.abc import Callable
from typing import Final

from akela.documents import model
from akela.documents.model import Content

KINDS: Final = frozenset({"token", "application"})
LIMIT: Final = 10_000  # documents


class Remembered:
    """`sure` tells whether this server is the active one, beyond doubt."""

    def __init__(self, sure: Callable[[], bool]) -> None:
        self._sure = sure
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Content] = {}
        self._edition = 0  # grows with each write, so that a read which overlapped one is told apart

    def find(self, kind: str, target: str) -> Content | None:
        """A document by its id, or None. The answer is the caller's, not to its depth."""
        if not self._sure():
            return model.find(kind, target)
        with self._lock:
            known, edition = self._known.get((kind, target)), self._edition
        if known is not None:
            return dict(known)
        found = model.find(kind, target)
        with self._lock:
            if found is not None and edition == self._edition:
                if len(self._known) >= LIMIT:
                    self._known.clear()
                self._known[(kind, target)] = dict(found)
        return found

    def forget(self, kind: str, target: str) -> None:
        """The document is being written, or was: call it before and after."""
        if kind in KINDS:
            with self._lock:
                self._edition += 1
                self._known.pop((kind, target), None)

    def forget_all(self) -> None:
        """Others may have written: this server becomes active, or the log was repaired."""
        with self._lock:
            self._edition += 1
            self._known.clear()
