"""What a client publishes: its messages, their permission, their acknowledgement in order. The hot path of one connection.

Rules: no task, future, log call or formatted text per message; a topic's permission, handler and matches are looked up once per
session and kept (`Route`). A handler may hold a message; its acknowledgement, and those behind it, wait [MQTT-4.6.0-2].
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from broker import properties
from broker.delivery import PLAIN, Publication, Route
from broker.errors import RemoteProtocolError
from broker.hooks import DetachCause
from broker.journal import NO_ROOM, Journal
from broker.packets import LEVEL_5, Kind, acknowledgement, acknowledgement_5
from broker.properties import NONE, Properties
from broker.reasons import Reason
from broker.router import NOBODY

if TYPE_CHECKING:
    from broker.connection import Connection
    from broker.engine import Engine
    from broker.session import Session

MAX_ROUTES: Final = 1024  # topics whose route a connection keeps
_ACKNOWLEDGED: Final = (b"", b"\x40\x02", b"\x50\x02")  # by QoS: PUBACK, PUBREC of success, before the packet id


class Pending:
    """A message that waits for its handler, for the disk, or for the acknowledgement of one before it."""

    __slots__ = (
        "connection", "done", "packet_id", "payload", "qos", "reason", "retain", "route", "said", "text", "unstored",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, route: Route, payload: bytes, qos: int, retain: bool, packet_id: int, said: Publication
    ) -> None:  # fmt: skip
        self.connection = connection
        self.route = route
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.packet_id = packet_id
        self.said = said
        self.done = False
        self.unstored = False  # what it promised could not be written
        self.reason: Reason = Reason.SUCCESS
        self.text: str | None = None


class Incoming:
    """The publishing side of one connection."""

    __slots__ = ("_acks", "_aliases", "_connection", "_engine", "_held", "_routes", "_unsettled")

    def __init__(self, connection: Connection, engine: Engine) -> None:
        self._connection = connection
        self._engine = engine
        self._routes: dict[bytes, Route] = {}
        self._aliases: dict[int, bytes] | None = None  # topics that the client has named, by alias
        self._acks: deque[Pending] | None = None  # made when something waits
        self._held = 0  # QoS 1 messages among them
        self._unsettled = 0

    def publish(self, first: int, data: bytes, at: int, stop: int) -> bool:  # noqa: C901, PLR0912, PLR0915  the hot path: no calls
        """Handle one PUBLISH whose body is data[at:stop]; False: its permission is being looked up, handle it again then."""
        qos = first >> 1 & 3
        payload_at = at + 2 + (data[at] << 8 | data[at + 1]) if stop - at >= 2 else stop + 1
        raw = data[at + 2 : payload_at]
        packet_id = 0
        if qos:
            payload_at += 2
            packet_id = data[payload_at - 2] << 8 | data[payload_at - 1] if payload_at <= stop else 0
            if packet_id == 0 or qos == 3:  # [MQTT-2.3.1-1] and [MQTT-3.3.1-4] of 3.1.1
                raise RemoteProtocolError(Reason.MALFORMED_PACKET, "PUBLISH without a packet id, or with QoS 3")
        if payload_at > stop:
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "PUBLISH shorter than its topic")
        connection = self._connection
        said = PLAIN
        if connection.level == LEVEL_5:
            if payload_at < stop and data[payload_at] == 0 and raw:
                payload_at += 1  # no properties: most messages
            else:
                raw, said, payload_at = self._properties(raw, data, payload_at, stop)
        route = self._routes.get(raw)
        engine = self._engine
        if route is None:
            route = engine.look_up(connection, raw)
            if route is None:
                return False
        engine.stats.received += 1
        delivery, session = engine.delivery, connection.session
        stored = qos == 2 and session is not None and session.journal is not None  # that its packet id is taken
        if not qos or first & 1 or self._acks or stored or not route.plain or route.version != delivery.router.version:
            self._ordinary(route, data[payload_at:stop], qos, first & 1 == 1 and route.retain, packet_id, said)
            return True
        if qos == 2 and not self._expected(2, packet_id):
            return True
        count = 0
        if route.matches is not NOBODY:
            message = (route.topic, route.name, data[payload_at:stop], qos, False)
            count = delivery.deliver(message, said, route.matches, session)
        if count or connection.level != LEVEL_5:
            connection.outgoing.append(_ACKNOWLEDGED[qos] + packet_id.to_bytes(2, "big"))
            if not connection.dirty:
                connection.dirty = True
                engine.flush_later(connection)
        else:
            self._acknowledge(qos, packet_id, Reason.NO_MATCHING_SUBSCRIBERS, None)
        return True

    def keep(self, raw: bytes, route: Route) -> None:
        """Keep what was found out about a topic."""
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        self._routes[raw] = route

    def forget_routes(self) -> None:
        """Ask the authorizers anew."""
        self._routes.clear()

    def settled(self, pending: Pending) -> None:
        """A held message is done: acknowledge what can be, in the order of the PUBLISHes."""
        pending.done = True
        self._unsettled -= 1
        acks = self._acks
        while acks and acks[0].done:
            first = acks.popleft()
            self._held -= first.qos == 1
            if first.unstored and self._connection.level != LEVEL_5:  # 3.1.1 has no other way to say no
                self._connection.close(DetachCause.HOST, first.reason, NO_ROOM)
            self._acknowledge(first.qos, first.packet_id, first.reason, first.text)
        connection = self._connection
        if connection.paused and connection.open and self._unsettled < self._engine.settings.max_unsettled:
            connection.resume()

    def stored(self, pending: Pending, stored: bool) -> None:
        """What a held message promised is on disk, or could not be written: then it is refused."""
        if not stored:
            self._engine.stats.store_refused += 1
            pending.unstored = True
            pending.reason, pending.text = Reason.QUOTA_EXCEEDED, NO_ROOM
        self.settled(pending)

    def released(self, packet_id: int) -> None:
        """PUBREL: a QoS 2 message is complete [MQTT-4.3.3-11]; its packet id is free, also after a kill."""
        connection = self._connection
        session = connection.session
        assert session is not None
        known = session.received.pop(packet_id, 0) is None
        if known and session.journal is not None:
            session.journal.released(session, packet_id)
            session.when_stored(lambda: self._put_open(acknowledgement(Kind.PUBCOMP, packet_id)))
        elif known or connection.level != LEVEL_5:
            connection.put(b"\x70\x02" + packet_id.to_bytes(2, "big"))
        else:
            unknown = Reason.PACKET_IDENTIFIER_NOT_FOUND
            connection.put(acknowledgement_5(Kind.PUBCOMP, packet_id, unknown, NONE))

    def _properties(self, raw: bytes, data: bytes, at: int, stop: int) -> tuple[bytes, Publication, int]:
        """(topic, what is passed on, where the payload begins) of a PUBLISH with properties (MQTT 5.0, section 3.3.2.3)."""
        found, forwarded, end = properties.read(data, at, stop, properties.PUBLISH)
        if found.topic_alias is not None:
            raw = self._alias(found.topic_alias, raw)
        elif not raw:
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "neither a topic nor a topic alias")
        if found.response_topic is not None and (not found.response_topic or set(found.response_topic) & {"+", "#"}):
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "the response topic is no topic name")  # [MQTT-3.3.2-14]
        expires_s = None if found.message_expiry_s is None else self._engine.clock() + found.message_expiry_s
        assert self._connection.session is not None
        self._connection.session.incoming = found
        return raw, Publication(forwarded, expires_s), end

    def _alias(self, alias: int, raw: bytes) -> bytes:
        if alias > self._engine.settings.topic_alias_maximum:  # [MQTT-3.3.2-9]
            raise RemoteProtocolError(Reason.TOPIC_ALIAS_INVALID, f"topic alias {alias}")
        if self._aliases is None:
            self._aliases = {}
        if raw:
            self._aliases[alias] = raw
            return raw
        known = self._aliases.get(alias)
        if known is None:
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, f"topic alias {alias} stands for nothing yet")
        return known

    def _expected(self, qos: int, packet_id: int) -> bool:
        """Whether a message is a new one, within what the client may have unacknowledged; a repeated one is only answered again."""
        session, connection = self._connection.session, self._connection
        assert session is not None
        if qos == 2 and packet_id in session.received:  # [MQTT-4.3.3-10]
            if not any(pending.packet_id == packet_id for pending in self._acks or ()):
                session.when_stored(lambda: self._put_open(acknowledgement(Kind.PUBREC, packet_id)))
            return False
        if connection.level == LEVEL_5 and self._held + len(session.received) >= self._engine.settings.receive_maximum:
            raise RemoteProtocolError(Reason.RECEIVE_MAXIMUM_EXCEEDED, "more unacknowledged messages than allowed")
        if qos == 2:
            session.received[packet_id] = None
            if session.journal is not None:
                session.journal.received(session, packet_id)
        return True

    def _ordinary(
        self, route: Route, payload: bytes, qos: int, retain: bool, packet_id: int, said: Publication
    ) -> None:
        """Any message but the plainest. What promises something on disk is acknowledged when that is written."""
        connection, engine = self._connection, self._engine
        handled = route.handler is not None or route.refused is not None
        if qos and not handled and engine.failing and (retain or engine.delivery.kept(route)):  # before anybody gets it
            self._refuse_unstored(Pending(connection, route, b"", qos, retain, packet_id, said))
            return
        mark = engine.mark
        if qos and (self._acks or qos == 2) and not self._expected(qos, packet_id):
            return
        if handled:
            self._handled(route, payload, qos, retain, packet_id, said)
            return
        count = engine.delivery.route(route, payload, qos, retain, said, connection.session)
        if not qos:
            return
        pending = Pending(connection, route, b"", qos, retain, packet_id, said)
        if not count and connection.level == LEVEL_5:
            pending.reason = Reason.NO_MATCHING_SUBSCRIBERS
        if engine.journal is not None and engine.mark != mark:
            self._hold_until_stored(engine.journal, pending)
        else:
            self._acknowledge_in_order(pending)

    def _refuse_unstored(self, pending: Pending) -> None:
        self._unsettle(pending)
        self.stored(pending, stored=False)

    def _hold_until_stored(self, journal: Journal, pending: Pending) -> None:
        self._unsettle(pending)
        journal.decide(lambda stored: self.stored(pending, stored))

    def _put_open(self, packet: bytes) -> None:
        if self._connection.open:
            self._connection.put(packet)

    def _handled(self, route: Route, payload: bytes, qos: int, retain: bool, packet_id: int, said: Publication) -> None:
        """A message that the host handles, or that was refused: not on the path of plain routing."""
        connection = self._connection
        session = connection.session
        assert session is not None
        if route.refused is not None:
            self._engine.publish_refused(session, route)
            if qos:
                refused = Pending(connection, route, b"", qos, retain, packet_id, said)
                refused.reason, refused.text = route.refused.reason, route.refused.text
                self._acknowledge_in_order(refused)
            return
        assert route.handler is not None
        ticket = 0
        if qos:
            session.ticket = ticket = session.ticket + 1
        if said is PLAIN:
            session.incoming = None
        try:
            done = route.handler(session, route.topic, payload, qos, ticket)
        except Exception:  # noqa: BLE001  a host's mistake: told to its log, never acknowledged
            self._engine.handler_failed(connection, route)
            return
        if done or not ticket:
            mark = self._engine.mark
            if route.routed and connection.open:
                self._engine.delivery.route(route, payload, qos, retain, said, session)
            if qos and done:
                self._acknowledge_done(Pending(connection, route, b"", qos, retain, packet_id, said), mark)
            return
        self._hold(Pending(connection, route, payload, qos, retain, packet_id, said), ticket)

    def _hold(self, pending: Pending, ticket: int) -> None:
        session = self._connection.session
        assert session is not None
        session.pending[ticket] = pending
        self._unsettle(pending)

    def _unsettle(self, pending: Pending) -> None:
        """A message waits for its handler or the disk; too many of them hold up the client's packets."""
        self._wait(pending)
        self._unsettled += 1
        if self._unsettled >= self._engine.settings.max_unsettled:
            self._engine.stats.held_back += 1
            self._connection.pause()

    def _acknowledge_done(self, pending: Pending, mark: int) -> None:
        """A message that its handler took at once; what its routing noted since `mark` is written first."""
        journal, session = self._engine.journal, self._connection.session
        kept = session is not None and session.journal is not None and pending.qos == 2  # its packet id
        if journal is not None and (kept or journal.mark != mark):
            self._hold_until_stored(journal, pending)
        else:
            self._acknowledge_in_order(pending)

    def _wait(self, pending: Pending) -> None:
        if self._acks is None:
            self._acks = deque()
        self._acks.append(pending)
        self._held += pending.qos == 1

    def _acknowledge_in_order(self, pending: Pending) -> None:
        if not self._acks:
            self._acknowledge(pending.qos, pending.packet_id, pending.reason, pending.text)
            return
        pending.done = True
        self._wait(pending)

    def _acknowledge(self, qos: int, packet_id: int, reason: Reason, text: str | None) -> None:
        connection = self._connection
        if not connection.open:
            return
        kind = Kind.PUBACK if qos == 1 else Kind.PUBREC
        if connection.level != LEVEL_5 or reason is Reason.SUCCESS:
            connection.put(acknowledgement(kind, packet_id))
            return
        if qos == 2 and reason.refused and connection.session is not None:  # it ends here: section 4.3.3
            self._take_back(connection.session, packet_id)
        said = Properties(reason_string=text if connection.tells_reasons else None)
        connection.tell(lambda told: acknowledgement_5(kind, packet_id, reason, told), said)

    @staticmethod
    def _take_back(session: Session, packet_id: int) -> None:
        if session.received.pop(packet_id, 0) is None and session.journal is not None:
            session.journal.released(session, packet_id)
