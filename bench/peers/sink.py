"""The generator's ceiling as a peer: see `bench.sink`."""

import sys
from collections.abc import Mapping
from pathlib import Path

import akela
from bench.peers.peer import Command, Place


class Sink:
    """Answers and knows nothing; no broker."""

    name = "ceiling"
    cannot: Mapping[str, str] = {"tls": "the sink speaks no TLS", "acl": "no broker"}
    slow: str | None = None

    def install(self) -> str | None:
        """Part of the bench."""
        return None

    def version(self) -> str:
        """Akela's."""
        return akela.__version__

    def command(self, place: Place) -> Command:
        """A process like a broker's."""
        return Command(
            (sys.executable, "-m", "bench.sink", str(place.port)),
            directory=Path(__file__).resolve().parent.parent.parent,
        )
