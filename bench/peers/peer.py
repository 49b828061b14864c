"""A broker that is compared: how to install it, how to start it, what it cannot do. Every peer has the same user and topic gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

INFLIGHT: Final = 1000  # unacknowledged messages to one client
QUEUED: Final = 100_000  # messages that wait for one client


@dataclass(frozen=True, slots=True)
class Place:
    """Where a broker is to serve, for one measurement."""

    port: int
    directory: Path  # fresh; for its configuration, and what it must store
    certificate: Path | None = None  # with `key`: TLS on the port
    key: Path | None = None


class Peer(Protocol):
    """A broker. `cannot` maps a feature ("qos2", "tls", "acl") to the reason why it has none; `slow`: why it is given no crowds."""

    name: str
    cannot: Mapping[str, str]
    slow: str | None

    def install(self) -> str | None:
        """Install it if it is missing; the reason when that is impossible."""
        ...

    def version(self) -> str:
        """What is measured."""
        ...

    def command(self, place: Place) -> "Command":
        """Write its configuration and say what to run."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
