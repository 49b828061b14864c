"""One TCP connection: bytes in, bytes out. The thin shell of `broker.connection`, and all that knows asyncio's transports."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, cast

from broker.connection import Connection
from broker.hooks import ConnectRequest, DetachCause, Peer
from broker.reasons import Reason

if TYPE_CHECKING:
    from broker.broker import Broker

log = logging.getLogger(__name__)

LINGER_S: Final = 2.0  # how long a client that is closed may take to read the last bytes


class Transport(asyncio.Protocol):
    """asyncio's side of one connection."""

    __slots__ = ("_broker", "_closed", "_listener", "_now", "_transport", "connection")

    def __init__(self, broker: Broker, listener: str) -> None:
        self._broker = broker
        self._listener = listener
        self._now = broker.engine.clock
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername") or ("?", 0)
        peer = Peer(str(address[0]), int(address[1]), self._listener)
        self._transport.set_write_buffer_limits(high=self._broker.settings.max_write_buffer)
        self.connection = Connection(self._broker.engine, peer, self, self._now())
        self._broker.opened(self)

    def data_received(self, data: bytes) -> None:
        """One read."""
        self.connection.receive_data(data, self._now())

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self._broker.closed(self)
        self._broker.engine.lost(self.connection)

    def pause_writing(self) -> None:
        """The client reads too slowly: its messages wait in its session."""
        self.connection.congestion(full=True)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.connection.congestion(full=False)

    def flush(self) -> None:
        """Write what the connection has put out, in one call."""
        outgoing = self.connection.outgoing
        if outgoing and not self._transport.is_closing():
            self._transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))
        outgoing.clear()

    # What the connection asks for.

    def authenticate(self, connection: Connection, request: ConnectRequest) -> None:
        """Have the gates decide."""
        self._broker.authenticate(connection, request)

    def exchange(self, connection: Connection, request: ConnectRequest, data: bytes | None, state: object) -> None:
        """Have the gate of the authentication method decide."""
        self._broker.exchange(connection, request, data, state)

    def pause_reading(self) -> None:
        """Read no more for now: back-pressure reaches the client through TCP."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, cause: DetachCause, reason: Reason | None, text: str) -> None:
        """Write what is outgoing, then close; a client that does not take it is cut off."""
        if self._closed:
            return
        self._closed = True
        if cause is DetachCause.PROTOCOL_ERROR:
            peer = self.connection.peer
            log.info(
                "closed on a protocol error",
                extra={"peer": f"{peer.address}:{peer.port}", "reason": reason.name if reason else None, "text": text},
            )
        self.flush()
        if self.connection.congested:
            self._transport.abort()
            return
        self._transport.close()
        if cause in (DetachCause.KEEP_ALIVE, DetachCause.TAKEN_OVER):  # it may be gone without a word: wait no longer
            self._broker.loop.call_later(LINGER_S, self._transport.abort)
