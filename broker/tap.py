"""Listening in on packets: for a trace, or for plugins that want each one. Nobody listening costs one comparison per read and write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from broker.errors import RemoteProtocolError
from broker.properties import read_variable

if TYPE_CHECKING:
    from broker.connection import Connection


class Tap(Protocol):
    """Hears what a connection reads and writes, as it came from the transport: packets may be cut anywhere."""

    def read(self, connection: Connection, data: bytes) -> None:
        """A client has sent `data`."""
        ...

    def written(self, connection: Connection, data: bytes) -> None:
        """A client was sent `data`."""
        ...

    def ended(self, connection: Connection) -> None:
        """The connection is gone."""
        ...


class Taps:
    """Several that listen in at the same time."""

    def __init__(self, taps: Sequence[Tap]) -> None:
        self.taps = tuple(taps)

    def read(self, connection: Connection, data: bytes) -> None:
        """A client has sent `data`."""
        for tap in self.taps:
            tap.read(connection, data)

    def written(self, connection: Connection, data: bytes) -> None:
        """A client was sent `data`."""
        for tap in self.taps:
            tap.written(connection, data)

    def ended(self, connection: Connection) -> None:
        """The connection is gone."""
        for tap in self.taps:
            tap.ended(connection)


class PacketSplitter:
    """Cuts a stream of bytes into MQTT packets; `rest` is what has come of the first one already."""

    def __init__(self, rest: bytes = b"") -> None:
        self._rest = rest

    def packets(self, data: bytes) -> Iterator[bytes]:
        """The whole packets that `data` completes; what is no MQTT ends it without a word."""
        data = self._rest + data
        at = 0
        while len(data) - at >= 2:
            try:
                length, body = read_variable(data, at + 1, len(data))
            except RemoteProtocolError:
                break
            if body + length > len(data):
                break
            yield data[at : body + length]
            at = body + length
        self._rest = data[at:]
