"""Traces of single clients, while somebody reads them.

A `Trace` is one reader's: it taps the broker, picks the packets of the client that it was asked for, and holds at most `MAX_WAITING`
of them; a reader that is slower misses some and is told how many. Nobody tracing costs what `broker.tap` says.

A client is named by its id, or by its namespace and id (`NAMESPACE/CLIENT`), or by its address. Whose connection it is shows
with the CONNECT, and for sure once the gates have accepted: until then its packets are held, and shown if they refuse it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from broker import trace
from broker.connection import Connection, Phase
from broker.packets import Kind
from broker.tap import PacketSplitter

if TYPE_CHECKING:
    from broker.broker import Broker

MAX_WAITING: Final = 1000  # events of a trace that its reader has not taken
MAX_HELD: Final = 32  # packets of a connection of which it is not known yet whose it is
MAX_KNOWN: Final = 100_000  # connections that a trace knows to be other clients'

Event = dict[str, Any]
"""`event` is waiting, opened, packet, skipped or closed; a packet has `direction` (in: from the client, out: to it) and its fields."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose packets are asked for: every part that is given must fit."""

    client: str | None = None
    address: str | None = None  # with or without the port
    max_payload: int = trace.MAX_PAYLOAD

    def named(self, namespace: str, client_id: str) -> bool:
        """Whether a client that has been accepted is meant."""
        return self.client in (None, client_id, f"{namespace}/{client_id}")

    def may_be(self, client_id: str) -> bool:
        """Whether one that has only said its id can be meant."""
        return self.client in (None, client_id) or (self.client or "").endswith("/" + client_id)

    def at(self, connection: Connection) -> bool:
        """Whether a connection comes from where it is asked for."""
        peer = connection.peer
        return self.address in (None, peer.address, f"{peer.address}:{peer.port}", f"[{peer.address}]:{peer.port}")


class _Stream:
    """One connection that is traced, or may turn out to be."""

    def __init__(self, connection: Connection, *, sure: bool) -> None:
        self.read = PacketSplitter(connection.unparsed)
        self.written = PacketSplitter()
        self.level = connection.level
        self.sure = sure
        self.known = sure  # its CONNECT has come
        self.held: list[Event] = []
        self.client: str | None = None  # as it is shown, once it is known


class Trace:
    """One reader's trace; a tap of its broker until `close`."""

    def __init__(self, broker: Broker, wanted: Wanted, now_s: Callable[[], float]) -> None:
        self._broker = broker
        self._wanted = wanted
        self._now_s = now_s
        self._streams: dict[Connection, _Stream | None] = {}  # None: another client's
        self._waiting: deque[Event] = deque()
        self._skipped = 0
        self._woken = asyncio.Event()
        self._ended = False
        for connection in broker.connections():
            self._begin(connection)
        if not any(stream is not None and stream.sure for stream in self._streams.values()):
            self._tell({"event": "waiting", "at": now_s(), "client": wanted.client, "address": wanted.address})
        broker.listen_in(self)

    def close(self) -> None:
        """Trace no more; `events` ends after what it has."""
        self._broker.leave(self)
        self._streams.clear()
        self._ended = True
        self._woken.set()

    async def events(self) -> AsyncIterator[Event]:
        """What happens, as it happens."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
                if self._skipped:
                    skipped, self._skipped = self._skipped, 0
                    yield {"event": "skipped", "at": self._now_s(), "packets": skipped}
            if self._ended:
                return
            self._woken.clear()
            await self._woken.wait()

    # What the tap hears.

    def read(self, connection: Connection, data: bytes) -> None:
        """A client has sent `data`."""
        stream = self._stream(connection)
        if stream is not None:
            for packet in stream.read.packets(data):
                if (
                    packet[0] >> 4 == Kind.CONNECT
                    and not stream.known
                    and not self._introduced(connection, stream, packet)
                ):
                    return
                self._packet(connection, stream, "in", packet)

    def written(self, connection: Connection, data: bytes) -> None:
        """A client was sent `data`."""
        stream = self._stream(connection)
        if stream is not None:
            for packet in stream.written.packets(data):
                self._packet(connection, stream, "out", packet)

    def ended(self, connection: Connection) -> None:
        """The connection is gone."""
        stream = self._streams.pop(connection, None)
        if stream is None or not (stream.sure or stream.held):
            return
        self._release(stream)  # one that was refused is shown, too
        self._tell(self._event("closed", connection, stream) | {"cause": connection.cause.value})

    # Whose connection it is.

    def _stream(self, connection: Connection) -> _Stream | None:
        if connection not in self._streams:
            self._begin(connection)
        stream = self._streams[connection]
        session = connection.session
        if stream is not None and not stream.sure and session is not None:
            if not self._wanted.named(session.namespace, session.client_id):
                self._streams[connection] = None
                return None
            stream.sure = True
            self._release(stream)
        return stream

    def _begin(self, connection: Connection) -> None:
        if len(self._streams) >= MAX_KNOWN:
            self._streams = {known: stream for known, stream in self._streams.items() if stream is not None}
        session = connection.session
        meant = self._wanted.at(connection) and connection.phase is not Phase.CLOSED
        if meant and session is not None:
            meant = self._wanted.named(session.namespace, session.client_id)
        sure = meant and (session is not None or self._wanted.client is None)
        stream = self._streams[connection] = _Stream(connection, sure=sure) if meant else None
        if stream is not None and sure:
            stream.known = session is not None
            self._tell(self._event("opened", connection, stream))

    def _introduced(self, connection: Connection, stream: _Stream, packet: bytes) -> bool:
        """Whether the client that this CONNECT names can be the one."""
        shown = trace.decode(packet, stream.level)
        stream.known = True
        stream.level = int(str(shown.get("protocol", "MQTT 4")).rpartition(" ")[2])
        stream.client = shown.get("client_id")
        # Without an id of its own it gets one: whether it is the one shows when it is accepted.
        client_id = str(shown.get("client_id", ""))
        if stream.sure or not client_id or self._wanted.may_be(client_id):
            return True
        self._streams[connection] = None
        return False

    def _release(self, stream: _Stream) -> None:
        for event in stream.held:
            self._tell(event)
        stream.held.clear()

    # What the reader gets.

    def _packet(self, connection: Connection, stream: _Stream, direction: str, packet: bytes) -> None:
        if stream.sure and len(self._waiting) >= MAX_WAITING:
            self._skipped += 1
            return
        shown = trace.decode(packet, stream.level, self._wanted.max_payload)
        event = self._event("packet", connection, stream) | {"direction": direction} | shown
        if stream.sure:
            self._tell(event)
        elif len(stream.held) < MAX_HELD:
            stream.held.append(event)

    def _event(self, what: str, connection: Connection, stream: _Stream) -> Event:
        peer, session = connection.peer, connection.session
        if session is not None:
            stream.client = (f"{session.namespace}/" if session.namespace else "") + session.client_id
        return {"event": what, "at": self._now_s(), "client": stream.client, "address": f"{peer.address}:{peer.port}"}

    def _tell(self, event: Event) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._skipped += 1
        else:
            self._waiting.append(event)
            self._woken.set()
