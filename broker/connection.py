"""Server side of one MQTT connection: packets and their legal order. No socket, no clock. Source: MQTT 3.1.1, sections 2 to 4.

The shell feeds bytes to `receive_data`, which never raises for what a peer sent, and writes what `outgoing` holds: one
parse loop per read, one write per turn. Rules of the hot path: no task, future, log call or formatted text per message; a
topic's permission, handler and matches are looked up once per session and kept (`Route`).

A gate that needs time, or a handler that holds too many messages, pauses the connection: later bytes wait unparsed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from broker import packets
from broker.errors import RemoteProtocolError
from broker.hooks import ConnectRequest, DetachCause, Peer, PublishHandler, Refused
from broker.packets import Kind, acknowledgement
from broker.reasons import Reason, connack_return_code

if TYPE_CHECKING:
    from broker.engine import Engine
    from broker.router import Match
    from broker.session import Session

MAX_ROUTES: Final = 1024  # topics whose route a connection keeps


class Phase(Enum):
    """Where a connection is in its life."""

    AWAIT_CONNECT = "await_connect"
    AUTHENTICATING = "authenticating"
    OPEN = "open"
    CLOSED = "closed"


class Shell(Protocol):
    """What a connection needs of the world around it. The transport implements it."""

    def authenticate(self, connection: Connection, request: ConnectRequest) -> None:
        """Have the gates decide; `Engine.admit` or `Connection.refused` follows."""
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


class Route:
    """What becomes of one topic of one session, looked up once."""

    __slots__ = ("handler", "matches", "name", "refused", "retain", "routed", "topic", "version")

    def __init__(self, topic: str) -> None:
        self.topic = topic  # canonical
        self.name = topic.encode()
        self.handler: PublishHandler | None = None
        self.retain = True
        self.routed = True
        self.refused: Refused | None = None
        self.matches: tuple[Match, ...] = ()
        self.version = -1  # of the router, for which `matches` holds


class Pending:
    """A message whose acknowledgement waits: for its handler, or for the one before it."""

    __slots__ = ("connection", "done", "kind", "packet_id", "payload", "qos", "retain", "route")

    def __init__(
        self, connection: Connection, route: Route, payload: bytes, qos: int, retain: bool, packet_id: int
    ) -> None:
        self.connection = connection
        self.route = route
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.packet_id = packet_id
        self.kind = Kind.PUBREC if qos == 2 else Kind.PUBACK
        self.done = False


class Connection:
    """One connection, from its first byte to its last."""

    __slots__ = (
        "_acks", "_buffer", "_engine", "_max_packet", "_parsing", "_readers", "_routes", "_unsettled", "cause", "congested", "dirty",
        "keep_alive_s", "last_read_s", "level", "opened_s", "outgoing", "paused", "peer", "phase", "session", "shell",
    )  # fmt: skip

    def __init__(self, engine: Engine, peer: Peer, shell: Shell, now_s: float) -> None:
        self._engine = engine
        self.peer = peer
        self.shell = shell
        self.phase: Phase = Phase.AWAIT_CONNECT
        self.session: Session | None = None
        self.level = packets.LEVEL_311
        self.keep_alive_s = 0
        self.opened_s = self.last_read_s = now_s
        self.outgoing: list[bytes] = []
        self.dirty = False  # in the engine's list of connections to flush
        self.congested = False  # the shell's write buffer is full
        self.paused = False
        self.cause = DetachCause.LOST
        self._buffer = b""
        self._parsing = False
        self._max_packet = engine.settings.max_packet_size_connect
        self._routes: dict[bytes, Route] = {}
        self._acks: deque[Pending] = deque()
        self._unsettled = 0
        self._readers: Mapping[int, Callable[[bytes], None]] = {
            Kind.CONNECT: self._on_connect,
            Kind.PUBACK: self._on_puback,
            Kind.PUBREC: self._on_pubrec,
            Kind.PUBREL: self._on_pubrel,
            Kind.PUBCOMP: self._on_puback,
            Kind.SUBSCRIBE: self._on_subscribe,
            Kind.UNSUBSCRIBE: self._on_unsubscribe,
            Kind.PINGREQ: self._on_pingreq,
            Kind.DISCONNECT: self._on_disconnect,
        }

    def put(self, packet: bytes) -> None:
        """Add to what goes out with the next flush."""
        self.outgoing.append(packet)
        if not self.dirty:
            self.dirty = True
            self._engine.flush_later(self)

    def receive_data(self, data: bytes, now_s: float) -> None:
        """Take one read. Never raises for what a peer sent; after a mistake the connection is closed, later bytes are ignored."""
        self.last_read_s = now_s
        if self.closed:
            return
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        if self.paused:
            self._buffer = data
            return
        self._parse(data)

    def pause(self) -> None:
        """Leave what follows unparsed until `resume`."""
        if not self.paused:
            self.paused = True
            self.shell.pause_reading()

    @property
    def closed(self) -> bool:
        """The connection has ended, or is about to."""
        return self.phase is Phase.CLOSED

    def resume(self) -> None:
        """Go on with what was left unparsed. A verdict that comes while a read is being parsed lets that go on."""
        if not self.paused or self.closed:
            return
        self.paused = False
        if not self._parsing:
            data, self._buffer = self._buffer, b""
            self._parse(data)
        if not self.paused and not self.closed:
            self.shell.resume_reading()

    def close(self, cause: DetachCause, reason: Reason | None = None, text: str = "") -> None:
        """End the connection from this side; what is in `outgoing` still goes out."""
        if self.phase is Phase.CLOSED:
            return
        self.cause = cause
        self.phase = Phase.CLOSED
        self._buffer = b""
        self.shell.close(cause, reason, text)

    def accepted(self, session: Session, *, session_present: bool, keep_alive_s: int) -> None:
        """The verdict on CONNECT: welcome."""
        self.phase = Phase.OPEN
        self.session = session
        self.keep_alive_s = keep_alive_s
        self._max_packet = self._engine.settings.max_packet_size
        self.put(packets.connack(0, session_present=session_present))

    def refused(self, refused: Refused) -> None:
        """The verdict on CONNECT: no."""
        self.put(packets.connack(connack_return_code(refused.reason), session_present=False))  # [MQTT-3.2.2-4]
        self.close(DetachCause.HOST, refused.reason, refused.text)

    def subscribed(self, packet_id: int, codes: list[int]) -> None:
        """The verdict on SUBSCRIBE."""
        self.put(packets.suback(packet_id, codes))

    def settled(self, pending: Pending, *, refused: bool) -> None:
        """A held message is done: acknowledge what can be, in the order of the PUBLISHes [MQTT-4.6.0-2]."""
        pending.done = True
        self._unsettled -= 1
        acks = self._acks
        while acks and acks[0].done:
            self._acknowledge(acks.popleft())
        if self.paused and self.phase is Phase.OPEN and self._unsettled < self._engine.settings.max_unsettled:
            self.resume()

    def forget_routes(self) -> None:
        """Ask the authorizers anew."""
        self._routes.clear()

    def keep_route(self, raw: bytes, route: Route) -> None:
        """Keep what was found out about a topic."""
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        self._routes[raw] = route

    def _parse(self, data: bytes) -> None:
        position = 0
        self._parsing = True
        try:
            position = self._packets(data)
        except RemoteProtocolError as error:
            self._failed(error)
        self._parsing = False
        if not self.closed:
            self._buffer = data[position:] if position else data

    def _packets(self, data: bytes) -> int:
        """Handle each whole packet; returns where the first incomplete or unhandled one begins."""
        position, end = 0, len(data)
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
            if first & 0xF0 == 0x30 and self.phase is Phase.OPEN:
                if not self._on_publish(first, data, body, stop):
                    return position
            else:
                self._check_first(first)
                self._readers[first >> 4](data[body:stop])
            position = stop
            if self.paused or self.closed:
                return position
        if end > position:
            self._check_first(data[position])
        return position

    def _long_length(self, data: bytes, position: int) -> tuple[int, int]:
        """(remaining length, where the body begins), or (0, 0) when the header is incomplete. Section 2.2.3."""
        length = shift = 0
        for index in range(position + 1, min(position + 5, len(data))):
            digit = data[index]
            length |= (digit & 0x7F) << shift
            if digit < 128:
                return length, index + 1
            shift += 7
        if shift == 28:
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "remaining length of more than four bytes")
        return 0, 0

    def _check_first(self, first: int) -> None:
        """Refuse what may not come now: the phase's packets and their flags are data."""
        kind = first >> 4
        if self.phase is Phase.AWAIT_CONNECT and kind != Kind.CONNECT:  # [MQTT-3.1.0-1]
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "the first packet is not CONNECT")
        if self.phase is Phase.OPEN and kind == Kind.CONNECT:  # [MQTT-3.1.0-2]
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "a second CONNECT")
        if kind == Kind.PUBLISH:
            return
        if kind not in self._readers:
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"packet type {kind} is not a client's")
        if first & 0x0F != packets.FLAGS[Kind(kind)]:  # [MQTT-2.2.2-2]
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"flags {first & 0x0F} of packet type {kind}")

    def _failed(self, error: RemoteProtocolError) -> None:
        if isinstance(error, packets.UnsupportedLevelError):
            if error.level == packets.LEVEL_5:
                self.put(packets.connack_5(error.reason))
            else:
                self.put(packets.connack(1, session_present=False))
        self._engine.stats.protocol_errors += 1
        self.close(DetachCause.PROTOCOL_ERROR, error.reason, str(error))

    def _on_connect(self, body: bytes) -> None:
        connect = packets.read_connect(body)
        self.level = connect.level
        if not connect.client_id and not connect.clean_start:  # [MQTT-3.1.3-8]
            self.refused(Refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, "no client id and no clean session"))
            return
        self.phase = Phase.AUTHENTICATING
        self.pause()
        request = ConnectRequest(
            client_id=connect.client_id,
            username=connect.username,
            password=connect.password,
            clean_start=connect.clean_start,
            keep_alive_s=connect.keep_alive_s,
            protocol_level=connect.level,
            will=connect.will,
            peer=self.peer,
        )
        self.shell.authenticate(self, request)

    def _on_publish(self, first: int, data: bytes, at: int, stop: int) -> bool:
        """Handle one PUBLISH; False: its permission is being looked up, handle it again then."""
        qos = first >> 1 & 3
        payload_at = at + 2 + (data[at] << 8 | data[at + 1]) if stop - at >= 2 else stop + 1
        raw = data[at + 2 : payload_at]
        packet_id = 0
        if qos:
            packet_id = data[payload_at] << 8 | data[payload_at + 1] if payload_at + 2 <= stop else 0
            payload_at += 2
            if packet_id == 0 or qos == 3:  # [MQTT-2.3.1-1], [MQTT-3.3.1-4]
                raise RemoteProtocolError(Reason.MALFORMED_PACKET, "PUBLISH without a packet id, or with QoS 3")
        if payload_at > stop:
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "PUBLISH shorter than its topic")
        route = self._routes.get(raw)
        if route is None:
            route = self._engine.look_up(self, raw)
            if route is None:
                return False
        self._engine.stats.received += 1
        if qos == 2 and self._repeated(packet_id):
            return True
        retain = first & 1 == 1 and route.retain
        if route.handler is not None or route.refused is not None:
            self._handled(route, data[payload_at:stop], qos, retain, packet_id)
            return True
        self._engine.route(route, data[payload_at:stop], qos, retain)
        if qos:
            self._acknowledge_in_order(route, qos, packet_id)
        return True

    def _repeated(self, packet_id: int) -> bool:
        """Whether a QoS 2 message was taken before; it is then only acknowledged again [MQTT-4.3.3-2]."""
        assert self.session is not None
        if packet_id not in self.session.received:
            self.session.received.add(packet_id)
            return False
        if not any(pending.packet_id == packet_id for pending in self._acks):
            self.put(acknowledgement(Kind.PUBREC, packet_id))
        return True

    def _handled(self, route: Route, payload: bytes, qos: int, retain: bool, packet_id: int) -> None:
        """A message that the host handles, or that was refused: not on the path of plain routing."""
        session = self.session
        assert session is not None
        if route.refused is not None:
            self._engine.publish_refused(session, route)
            if qos:
                self._acknowledge_in_order(route, qos, packet_id)
            return
        assert route.handler is not None
        ticket = 0
        if qos:
            session.ticket = ticket = session.ticket + 1
        try:
            done = route.handler(session, route.topic, payload, qos, ticket)
        except Exception:  # noqa: BLE001  a host's mistake: told to its log, never acknowledged
            self._engine.handler_failed(self, route)
            return
        if done or not ticket:
            if route.routed and self.phase is Phase.OPEN:
                self._engine.route(route, payload, qos, retain)
            if qos and done:
                self._acknowledge_in_order(route, qos, packet_id)
            return
        pending = Pending(self, route, payload, qos, retain, packet_id)
        self._acks.append(pending)
        session.pending[ticket] = pending
        self._unsettled += 1
        if self._unsettled >= self._engine.settings.max_unsettled:
            self.pause()

    def _acknowledge_in_order(self, route: Route, qos: int, packet_id: int) -> None:
        if self._acks:
            waiting = Pending(self, route, b"", qos, retain=False, packet_id=packet_id)
            waiting.done = True
            self._acks.append(waiting)
        elif qos == 1:
            self.put(b"\x40\x02" + packet_id.to_bytes(2, "big"))
        else:
            self.put(acknowledgement(Kind.PUBREC, packet_id))

    def _acknowledge(self, pending: Pending) -> None:
        if self.phase is Phase.OPEN:
            self.put(acknowledgement(pending.kind, pending.packet_id))

    def _on_puback(self, body: bytes) -> None:
        assert self.session is not None
        self.session.acknowledged(packets.read_packet_id(body))

    def _on_pubrec(self, body: bytes) -> None:
        assert self.session is not None
        self.session.received_by_client(packets.read_packet_id(body))

    def _on_pubrel(self, body: bytes) -> None:
        assert self.session is not None
        packet_id = packets.read_packet_id(body)
        self.session.received.discard(packet_id)
        self.put(acknowledgement(Kind.PUBCOMP, packet_id))

    def _on_subscribe(self, body: bytes) -> None:
        packet_id, wanted = packets.read_subscribe(body)
        self._engine.subscribe(self, packet_id, wanted)

    def _on_unsubscribe(self, body: bytes) -> None:
        packet_id, filters = packets.read_unsubscribe(body)
        self._engine.unsubscribe(self, filters)
        self.put(packets.unsuback(packet_id))  # [MQTT-3.10.4-4]

    def _on_pingreq(self, body: bytes) -> None:
        self.put(packets.PINGRESP)  # [MQTT-3.12.4-1]

    def _on_disconnect(self, body: bytes) -> None:
        assert self.session is not None
        self.session.will = None  # [MQTT-3.14.4-3]
        self.close(DetachCause.CLIENT)
