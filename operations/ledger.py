"""What a server remembers of one endpoint's configuration while it is attached: ids by state, and what became of sending it. No I/O.

The stored form is the endpoint's field `config`: `assigned`, `sent`, `delivered`, `applied`, `refused`, `held`, `unservable`, each
`{"id", "at", ...}` or null, and `unsure`. `sent`, `refused` and `held` say how often it was sent again (`tries`) and which request of
an operator to try again (`retry`, a number that grows) they stand behind: a newer one makes them void.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Cause = Literal["refused", "silent"]


@dataclass(slots=True)
class Attempts:
    """What became of sending one configuration to an endpoint that does not apply it."""

    id: str
    cause: Cause
    tries: int = 0  # how often it was sent again
    due: datetime | None = None  # refused: when it may be sent again
    held: bool = False  # it is not sent again by itself
    planned: bool = False  # the end of the wait is on the agenda


@dataclass(slots=True)
class Ledger:
    """Ids, newest first in life-cycle order. See DESIGN, "Ledger"."""

    assigned: str | None = None
    sent: str | None = None  # that it may hold; None also when it refused it, or has said what it holds
    applied: str | None = None
    refused: str | None = None
    unsure: bool = False  # sent one thing after another since: what was applied last tells nothing any more
    unservable: str | None = None  # why it is not sent at all, as it was told
    attempts: Attempts | None = None
    at: datetime | None = None  # of the latest entry

    @property
    def held(self) -> str | None:
        """The configuration that the endpoint holds, as far as is known."""
        return None if self.unsure else self.applied

    @classmethod
    def of(cls, config: Mapping[str, Any], retry: int = 0) -> "Ledger":
        """The ledger that a stored `config` describes; `retry`: the last request of an operator to try again."""

        def held(state: str, name: str = "id") -> str | None:
            entry = config.get(state)
            found = entry.get(name) if entry else None
            return None if found is None else sys.intern(found)  # thousands of endpoints have the same few

        return cls(
            assigned=held("assigned"),
            sent=held("sent") if held("sent") != held("refused") else None,
            applied=held("applied"),
            refused=held("refused"),
            unsure=bool(config.get("unsure")),
            unservable=held("unservable", "reason"),
            attempts=_attempts(config, retry),
            at=max(
                (entry["at"] for entry in config.values() if isinstance(entry, Mapping) and entry.get("at")),
                default=None,
            ),
        )


def _attempts(config: Mapping[str, Any], retry: int) -> Attempts | None:
    def entry(state: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = config.get(state)
        return found if found and found.get("retry", 0) == retry else None

    if held := entry("held"):
        return Attempts(held["id"], held["cause"], held["tries"], held=True)
    if refused := entry("refused"):
        return Attempts(refused["id"], "refused", refused.get("tries", 0), refused.get("next"))
    sent = entry("sent")
    if sent and sent.get("tries"):
        return Attempts(sent["id"], "silent", sent["tries"])
    return None
