"""Server side of one MQTT connection: packets and their legal order. No socket. Source: MQTT 3.1.1 and 5.0, sections 2 to 4.

The shell feeds bytes to `receive_data`, which never raises for what a peer sent, and writes what `outgoing` holds: one
parse loop per read, one write per turn. What is published is `broker.incoming`'s, what is delivered comes through `publish`.

A gate that needs time, or a handler that holds too many messages, pauses the connection: later bytes wait unparsed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from broker import packets, properties
from broker.errors import RemoteProtocolError
from broker.exchange import Exchange
from broker.hooks import Accepted, Challenge, ConnectRequest, DetachCause, Peer, Refused
from broker.incoming import Incoming
from broker.message import Message, Writer5, encode
from broker.packets import LEVEL_5, Kind
from broker.properties import NONE, Properties
from broker.reasons import Reason, connack_return_code

if TYPE_CHECKING:
    from broker.engine import Engine
    from broker.session import Session

MAX_LENGTH_BYTES: Final = 4  # of a remaining length: section 2.1.4


class Phase(Enum):
    """Where a connection is in its life."""

    AWAIT_CONNECT = "await_connect"
    AUTHENTICATING = "authenticating"
    OPEN = "open"
    CLOSED = "closed"


class Shell(Protocol):
    """What a connection needs of the world around it. The transport implements it."""

    def authenticate(self, connection: Connection, request: ConnectRequest) -> None:
        """Have the gates decide; `Engine.admit` or `Engine.turn_away` follows."""
        ...

    def exchange(self, connection: Connection, request: ConnectRequest, data: bytes | None, state: object) -> None:
        """Have the gate of the request's authentication method decide; `Connection.exchanged` follows."""
        ...

    def pause_reading(self) -> None:
        """Feed no more bytes for now."""
        ...

    def resume_reading(self) -> None:
        """Feed bytes again."""
        ...

    def flush(self) -> None:
        """Write what is outgoing."""
        ...

    def close(self, cause: DetachCause, reason: Reason | None, text: str) -> None:
        """Write what is outgoing, then close."""
        ...


class Connection:
    """One connection, from its first byte to its last."""

    __slots__ = (
        "_buffer", "_engine", "_exchange", "_max_packet", "_parsing", "_writer", "cause",
        "congested", "dirty", "incoming", "keep_alive_s", "last_read_s", "level", "open", "opened_s", "outgoing", "paused",
        "peer", "phase", "plain", "session", "shell", "tells_reasons",
    )  # fmt: skip

    def __init__(self, engine: Engine, peer: Peer, shell: Shell, now_s: float) -> None:
        self._engine = engine
        self.peer = peer
        self.shell = shell
        self.phase: Phase = Phase.AWAIT_CONNECT
        self.open = False
        self.session: Session | None = None
        self.incoming = Incoming(self, engine)
        self.level = packets.LEVEL_311
        self.keep_alive_s = 0
        self.opened_s = self.last_read_s = now_s
        self.outgoing: list[bytes] = []
        self.dirty = False  # in the engine's list of connections to flush
        self.congested = False  # the shell's write buffer is full
        # 4 or 5 when a QoS 0 PUBLISH may be put out as the same bytes for every client of that version; else 0.
        self.plain = packets.LEVEL_311
        self.tells_reasons = True  # the client wants reason strings
        self.paused = False
        self.cause = DetachCause.LOST
        self._writer: Writer5 | None = None
        self._exchange: Exchange | None = None  # of an enhanced authentication
        self._buffer = b""
        self._parsing = False
        self._max_packet = engine.settings.max_packet_size_connect

    # What goes out.

    def put(self, packet: bytes) -> None:
        """Add to what goes out with the next flush."""
        self.outgoing.append(packet)
        if not self.dirty:
            self.dirty = True
            self._engine.flush_later(self)

    def publish(self, message: Message, packet_id: int, *, dup: bool = False) -> bool:
        """Send a PUBLISH; False when the client does not take one so large."""
        if self._writer is None:
            self.put(encode(message, packet_id, dup=dup))
            return True
        packet = self._writer.encode(message, packet_id, dup=dup)
        if packet is None:
            return False
        self.put(packet)
        return True

    def tell(self, write: Callable[[Properties], bytes], said: Properties) -> None:
        """Send a packet of MQTT 5.0; without reason string and user properties if it were larger than the client takes.

        [MQTT-3.2.2-19], [MQTT-3.2.2-20], [MQTT-3.4.2-2], [MQTT-3.14.2-3] and their like.
        """
        packet = write(said)
        if self._writer is not None and not self._writer.takes(packet):
            packet = write(replace(said, reason_string=None, user_properties=()))
        self.put(packet)

    def close(
        self, cause: DetachCause, reason: Reason | None = None, text: str = "", server_reference: str | None = None
    ) -> None:
        """End the connection from this side; what is in `outgoing` still goes out, and an MQTT 5.0 client is told why."""
        if self.phase is Phase.CLOSED:
            return
        if self.open and self.level == LEVEL_5 and reason is not None:
            said = Properties(reason_string=text or None, server_reference=server_reference)
            self.tell(lambda told: packets.disconnect(reason, told), said)
        self.cause = cause
        self.phase = Phase.CLOSED
        self.open = False
        self._buffer = b""
        self.shell.close(cause, reason, text)

    # What comes in.

    def congestion(self, full: bool) -> None:
        """The shell's write buffer is full, or has room again: then what waits in the session goes out."""
        self.congested = full
        if full:
            self._engine.stats.congested += 1
            self.plain = 0
        elif self._writer is None:
            self.plain = packets.LEVEL_311
        else:
            self.plain = LEVEL_5 if self._writer.plain else 0
        if not full and self.session is not None:
            self.session.drain()

    def receive_data(self, data: bytes, now_s: float) -> None:
        """Take one read. Never raises for what a peer sent; after a mistake the connection is closed, later bytes are ignored."""
        self.last_read_s = now_s
        if self.phase is Phase.CLOSED:
            return
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        if self.paused:
            self._buffer = data
            return
        position = 0
        self._parsing = True
        try:
            position = self._packets(data)
        except RemoteProtocolError as error:
            self._failed(error)
        self._parsing = False
        if not self.closed:
            self._buffer = data[position:] if position else data

    def pause(self) -> None:
        """Leave what follows unparsed until `resume`."""
        if not self.paused:
            self.paused = True
            self.shell.pause_reading()

    @property
    def closed(self) -> bool:
        """The connection has ended, or is about to."""
        return self.phase is Phase.CLOSED

    @property
    def unparsed(self) -> bytes:
        """What has been read and waits: for the rest of its packet, or for `resume`."""
        return self._buffer

    def resume(self) -> None:
        """Go on with what was left unparsed. A verdict that comes while a read is being parsed lets that go on."""
        if not self.paused or self.closed:
            return
        self.paused = False
        if not self._parsing:
            self.receive_data(b"", self.last_read_s)
        if not self.paused and not self.closed:
            self.shell.resume_reading()

    # Verdicts.

    def accepted(self, session: Session, *, session_present: bool, keep_alive_s: int, said: Properties | None) -> None:
        """The verdict on CONNECT: welcome. `said`: what an MQTT 5.0 client is told with it."""
        self.phase, self.open = Phase.OPEN, True
        self.session = session
        self.keep_alive_s = keep_alive_s
        self._max_packet = self._engine.settings.max_packet_size
        if said is None:
            self.put(packets.connack(0, session_present=session_present))
        else:
            self.tell(lambda told: packets.connack_5(0, told, session_present=session_present), said)

    def refused(self, refused: Refused) -> None:
        """The verdict on CONNECT: no."""
        if self.level == LEVEL_5:
            said = Properties(reason_string=refused.text or None, server_reference=refused.server_reference)
            self.tell(lambda told: packets.connack_5(refused.reason, told), said)
        else:
            self.put(packets.connack(connack_return_code(refused.reason), session_present=False))  # [MQTT-3.2.2-4]
        self.close(DetachCause.HOST, refused.reason, refused.text)

    def subscribed(self, packet_id: int, codes: Sequence[int]) -> None:
        """The verdict on SUBSCRIBE."""
        self.put(packets.suback(packet_id, codes, self.level))

    def forget_routes(self) -> None:
        """Ask the authorizers anew."""
        self.incoming.forget_routes()

    def exchanged(self, verdict: Challenge | Accepted | Refused) -> None:
        """The verdict on one step of an enhanced authentication."""
        if self._exchange is not None:
            self._exchange.decided(verdict)

    # Parsing.

    def _packets(self, data: bytes) -> int:
        """Handle each whole packet; returns where the first incomplete or unhandled one begins."""
        position, end = 0, len(data)
        stats, incoming = self._engine.stats, self.incoming
        while end - position >= 2:
            first = data[position]
            length = data[position + 1]
            body = position + 2
            if length > 127:
                length, body = self._long_length(data, position)
                if body == 0:
                    return position
            if length > self._max_packet:  # told by the header, before anything is buffered
                raise RemoteProtocolError(Reason.PACKET_TOO_LARGE, f"{length} bytes, allowed {self._max_packet}")
            stop = body + length
            if stop > end:
                self._check_first(first)
                return position
            if self.open and first & 0xF0 == 0x30:
                if not incoming.publish(first, data, body, stop):
                    return position
            elif self.session is not None and first == 0x40 and length == 2 and self.open:  # most acknowledgements
                self.session.puback(data[body] << 8 | data[body + 1])
            elif first == 0x62 and length == 2 and self.open:
                incoming.released(data[body] << 8 | data[body + 1])
            else:
                self._check_first(first)
                self._HANDLERS[first >> 4](self, data[body:stop])
            position = stop
            stats.packets_received += 1
            if self.paused or self.phase is Phase.CLOSED:
                return position
        if end > position:
            self._check_first(data[position])
        return position

    def _long_length(self, data: bytes, position: int) -> tuple[int, int]:
        """(remaining length, where the body begins), or (0, 0) when the header is incomplete. Section 2.1.4."""
        length = shift = 0
        for index in range(position + 1, min(position + 1 + MAX_LENGTH_BYTES, len(data))):
            digit = data[index]
            length |= (digit & 0x7F) << shift
            if digit < 128:
                return length, index + 1
            shift += 7
        if shift == 7 * MAX_LENGTH_BYTES:
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "remaining length of more than four bytes")
        return 0, 0

    def _check_first(self, first: int) -> None:
        """Refuse what may not come now: the phase's packets and their flags are data."""
        kind = first >> 4
        if self.phase is Phase.AWAIT_CONNECT and kind != Kind.CONNECT:  # [MQTT-3.1.0-1]
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "the first packet is not CONNECT")
        if self.phase is Phase.AUTHENTICATING and kind not in (Kind.AUTH, Kind.DISCONNECT):  # [MQTT-3.1.2-30]
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "before the CONNACK only AUTH may come")
        if self.open and kind == Kind.CONNECT:  # [MQTT-3.1.0-2]
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "a second CONNECT")
        if kind == Kind.PUBLISH:
            return
        if kind not in self._HANDLERS or (kind == Kind.AUTH and self.level != LEVEL_5):
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"packet type {kind} is not a client's")
        if not packets.flags_fit(first, self.level):
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"flags {first & 0x0F} of packet type {kind}")

    def _failed(self, error: RemoteProtocolError) -> None:
        self._engine.stats.protocol_errors += 1
        self._engine.stats.errors[error.reason.name.lower()] += 1
        if isinstance(error, packets.ConnectError):
            self._answer_connect_error(error)
        elif self.phase is Phase.AUTHENTICATING and self.level == LEVEL_5:
            self.put(packets.connack_5(error.reason, Properties(reason_string=str(error))))
        self.close(DetachCause.PROTOCOL_ERROR, error.reason, str(error))

    def _answer_connect_error(self, error: packets.ConnectError) -> None:
        if error.level & 0x7F >= LEVEL_5:  # a later version can read the reason code; the high bit marks a bridge
            said = Properties(reason_string=str(error)) if error.level == LEVEL_5 else NONE
            self.put(packets.connack_5(error.reason, said))
        elif error.reason is Reason.UNSUPPORTED_PROTOCOL_VERSION:
            self.put(packets.connack(1, session_present=False))

    def _on_connect(self, body: bytes) -> None:
        connect = packets.read_connect(body)
        self.level = connect.level
        request = ConnectRequest(
            client_id=connect.client_id,
            username=connect.username,
            password=connect.password,
            clean_start=connect.clean_start,
            keep_alive_s=connect.keep_alive_s,
            protocol_level=connect.level,
            will=connect.will,
            peer=self.peer,
            properties=connect.properties,
        )
        if connect.level == LEVEL_5:
            self._prepare_5(connect.properties)
        elif not connect.client_id and not connect.clean_start:  # [MQTT-3.1.3-8] of 3.1.1
            self.refused(Refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, "no client id and no clean session"))
            return
        self.phase = Phase.AUTHENTICATING
        self.pause()
        if connect.properties.authentication_method is None:
            self.shell.authenticate(self, request)
        else:
            self._exchange = Exchange(self, self._engine, request)
            self._exchange.begin()

    def _prepare_5(self, said: Properties) -> None:
        aliases = min(said.topic_alias_maximum or 0, self._engine.settings.topic_alias_maximum)
        self._writer = Writer5(said.maximum_packet_size, aliases, self._engine.clock)
        self.plain = LEVEL_5 if self._writer.plain else 0
        self.tells_reasons = said.request_problem_information != 0  # [MQTT-3.1.2-29]

    def _on_puback(self, body: bytes) -> None:
        assert self.session is not None
        self.session.puback(packets.read_acknowledgement(body, self.level)[0])

    def _on_pubcomp(self, body: bytes) -> None:
        assert self.session is not None
        self.session.pubcomp(packets.read_acknowledgement(body, self.level)[0])

    def _on_pubrec(self, body: bytes) -> None:
        assert self.session is not None
        self.session.received_by_client(*packets.read_acknowledgement(body, self.level))

    def _on_pubrel(self, body: bytes) -> None:
        self.incoming.released(packets.read_acknowledgement(body, self.level)[0])

    def _on_subscribe(self, body: bytes) -> None:
        packet_id, wanted, identifier = packets.read_subscribe(body, self.level)
        self._engine.subscribing.subscribe(self, packet_id, wanted, identifier)

    def _on_unsubscribe(self, body: bytes) -> None:
        packet_id, filters = packets.read_unsubscribe(body, self.level)
        codes = self._engine.subscribing.unsubscribe(self, filters)
        assert self.session is not None
        self.session.when_stored(
            lambda: self._answer(packets.unsuback(packet_id, codes, self.level))
        )  # [MQTT-3.10.4-4]

    def _answer(self, packet: bytes) -> None:
        if self.open:
            self.put(packet)

    def _on_pingreq(self, body: bytes) -> None:
        if body:
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "a PINGREQ has no body")
        self.put(packets.PINGRESP)  # [MQTT-3.12.4-1]

    def _on_disconnect(self, body: bytes) -> None:
        if self.level != LEVEL_5:
            if body:
                raise RemoteProtocolError(Reason.MALFORMED_PACKET, "a DISCONNECT has no body")
            reason, said = 0, NONE
        else:
            reason, said = packets.read_reason(body, properties.DISCONNECT)
        session = self.session
        if session is not None:
            if said.session_expiry_s is not None:
                self._engine.expiry_changed(session, said.session_expiry_s)
            if reason != Reason.DISCONNECT_WITH_WILL:
                session.will = None  # [MQTT-3.14.4-3]
        self.close(DetachCause.CLIENT)

    def _on_auth(self, body: bytes) -> None:
        reason, said = packets.read_reason(body, properties.AUTH)
        if self._exchange is None:
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "AUTH after a CONNECT that named no method")
        self._exchange.answered(reason, said)

    _HANDLERS: ClassVar[Mapping[int, Callable[[Connection, bytes], None]]] = {
        Kind.CONNECT: _on_connect,
        Kind.PUBACK: _on_puback,
        Kind.PUBREC: _on_pubrec,
        Kind.PUBREL: _on_pubrel,
        Kind.PUBCOMP: _on_pubcomp,
        Kind.SUBSCRIBE: _on_subscribe,
        Kind.UNSUBSCRIBE: _on_unsubscribe,
        Kind.PINGREQ: _on_pingreq,
        Kind.DISCONNECT: _on_disconnect,
        Kind.AUTH: _on_auth,
    }
