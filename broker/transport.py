"""One connection of a client: bytes in, bytes out. The thin shell of `broker.connection`, and all that knows asyncio's transports.

TCP and TLS as they are; WebSocket frames and a PROXY header are taken off here, by sans-io parts.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from broker import proxy_protocol
from broker.connection import Connection
from broker.errors import RemoteProtocolError
from broker.hooks import ConnectRequest, DetachCause, Peer
from broker.rates import ClientRates
from broker.reasons import Reason
from broker.settings import Listener
from broker.websocket import WebSocketFraming

if TYPE_CHECKING:
    from broker.broker import Broker

log = logging.getLogger(__name__)

MAX_THROTTLE_S: Final = 5.0  # at a time; a debt beyond is waited for in the next turn
LINGER_S: Final = 2.0  # how long a client that is closed may take to read the last bytes


class Transport(asyncio.Protocol):
    """asyncio's side of one connection."""

    __slots__ = (
        "_broker", "_closed_s", "_framing", "_head", "_now", "_rates", "_stats", "_throttled", "_transport",
        "connection", "listener",
    )  # fmt: skip

    def __init__(self, broker: Broker, listener: Listener) -> None:
        self._broker = broker
        self.listener = listener
        self._framing = WebSocketFraming(broker.settings.max_packet_size) if listener.websocket else None
        self._head: bytes | None = b"" if listener.proxy_protocol else None  # until the PROXY header is whole
        self._now = broker.engine.clock
        self._closed_s: float | None = None
        self._rates = broker.client_rates()
        self._throttled = False
        self._stats = broker.engine.stats

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername") or ("?", 0)
        secure = transport.get_extra_info("ssl_object")
        certificate = secure.getpeercert(binary_form=True) if secure is not None else None
        peer = Peer(str(address[0]), int(address[1]), self.listener.name, certificate)
        self._transport.set_write_buffer_limits(high=self._broker.settings.max_write_buffer)
        self.connection = Connection(self._broker.engine, peer, self, self._now())
        self._broker.opened(self)
        if self._head is None:
            self._broker.connects(self)

    def data_received(self, data: bytes) -> None:
        """MQTT that was read."""
        stats, now_s = self._stats, self._now()
        stats.bytes_received += len(data)
        if self._broker.tap is not None:
            self._broker.tap.read(self.connection, data)
        if self._rates is not None:
            before = stats.received
            self.connection.receive_data(data, now_s)
            self._throttle(self._rates, stats.received - before, len(data))
        else:
            self.connection.receive_data(data, now_s)

    def _throttle(self, rates: ClientRates, messages: int, size: int) -> None:
        """Read no more until what the client has sent is within its rates."""
        session, peer = self.connection.session, self.connection.peer
        account = None if session is None else session.account
        wait_s = rates.charge(messages, size, peer.address, account, self._now())
        if wait_s and not self._throttled and not self._transport.is_closing():
            self._broker.stats.throttled += 1
            self._throttled = True
            self._transport.pause_reading()
            self._broker.loop.call_later(min(wait_s, MAX_THROTTLE_S), self._unthrottle)

    def _unthrottle(self) -> None:
        self._throttled = False
        self.connection.last_read_s = self._now()  # it was not silent: it was not read
        if not self.connection.paused:
            self.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self._broker.closed(self)
        self._broker.engine.lost(self.connection)
        if self._broker.tap is not None:
            self._broker.tap.ended(self.connection)
        self.connection.shell = GONE  # no cycle: the socket's buffers go now, not with the next collection

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
            data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
            self._transport.write(data if self._framing is None else self._framing.framed(data))
            stats = self._stats
            stats.packets_sent += len(outgoing)
            stats.bytes_sent += len(data)
            if self._broker.tap is not None:
                self._broker.tap.written(self.connection, data)
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
        if not self._transport.is_closing() and not self._throttled:
            self._transport.resume_reading()

    def close(self, cause: DetachCause, reason: Reason | None, text: str) -> None:
        """Write what is outgoing, then close; a client that does not take it is cut off."""
        if self._closed_s is not None:
            return
        self._closed_s = self._now()
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
        if self._framing is not None and not self._transport.is_closing():
            self._transport.write(self._framing.closing())
        self._transport.close()

    def cut_off(self, now_s: float) -> None:
        """Once a second or so: end a connection that was closed a while ago, and whose client does not read the last bytes."""
        if self._closed_s is not None and now_s - self._closed_s > LINGER_S:
            self._transport.abort()


class _Gone:
    """In place of a transport that is closed, for what a connection still says: nobody hears it."""

    def authenticate(self, connection: Connection, request: ConnectRequest) -> None:
        """Nobody is there to be let in."""

    def exchange(self, connection: Connection, request: ConnectRequest, data: bytes | None, state: object) -> None:
        """Nobody is there to be let in."""

    def pause_reading(self) -> None:
        """Nothing comes."""

    def resume_reading(self) -> None:
        """Nothing comes."""

    def flush(self) -> None:
        """Nothing goes."""

    def close(self, cause: DetachCause, reason: Reason | None, text: str) -> None:
        """It is closed."""


GONE: Final = _Gone()


class WrappedTransport(Transport):
    """One whose MQTT comes in WebSocket frames, behind a PROXY header, or both."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Take PROXY header and frames off."""
        if self._head is not None:
            data = self._behind_proxy(data)
            if not data:
                return
        if self._framing is None:
            super().data_received(data)
        else:
            self._unframed(self._framing, data)

    def _behind_proxy(self, data: bytes) -> bytes:
        """Take the PROXY header off; gives what is behind it."""
        assert self._head is not None
        data = self._head + data
        try:
            found = proxy_protocol.read(data)
        except RemoteProtocolError as error:
            self.connection.close(DetachCause.PROTOCOL_ERROR, error.reason, str(error))
            return b""
        if found is None:
            self._head = data
            return b""
        self._head = None
        source, end = found
        if source is not None:
            self.connection.peer = replace(self.connection.peer, address=source.address, port=source.port)
        self._broker.connects(self)
        return data[end:]

    def _unframed(self, framing: WebSocketFraming, data: bytes) -> None:
        """Take WebSocket frames off."""
        payload = framing.received(data, accepted=self.connection.open)
        answer = framing.pending()
        if answer and not self._transport.is_closing():
            self._transport.write(answer)
        if payload:
            super().data_received(payload)
        if framing.ended:
            self._transport.close()
