"""Ties connections and sessions together: who comes, who goes, whose session it is. Sans-io: the shell feeds it and passes the clock.

Rules that hold everywhere here:
- Nothing acts on a session, message or retained state before the gates have accepted: take-over and clean start happen in
  `admit`, after authentication.
- A session is known by (namespace, client id); the host chooses the namespace, so nobody reaches another's session by its id.
- Observers are told last and can break nothing.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

from broker import gates, topics
from broker.connection import Connection, Phase
from broker.delivery import PLAIN, Delivery, Publication, Route
from broker.errors import RemoteProtocolError
from broker.hooks import Accepted, Action, ConnectRequest, DetachCause, Hooks, PublishGrant, Refused
from broker.journal import NO_ROOM, Journal
from broker.observers import Observers
from broker.packets import LEVEL_5
from broker.properties import Properties
from broker.rates import Duels, Flapping
from broker.reasons import Reason
from broker.session import Session
from broker.settings import BrokerSettings
from broker.stats import BrokerStats
from broker.subscribing import Subscribing
from broker.wills import Wills

log = logging.getLogger(__name__)

SessionKey = tuple[str, str]
Later = Callable[[Connection | None, Awaitable[Any], Callable[[Any], None]], None]
"""Run an awaitable, for a paused connection if one is named, then call with its result."""


class Engine:
    """All state of one broker."""

    def __init__(
        self, settings: BrokerSettings, hooks: Hooks, flush_soon: Callable[[], None], later: Later, clock: Callable[[], float],
        stats: BrokerStats | None = None, journal: Journal | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.clock = clock
        self.later = later
        self.authorizers = hooks.authorizers
        self.stats = stats or BrokerStats()
        self.journal = journal  # of what is kept on disk
        self.observers = Observers(hooks.observers, self.stats)
        self.delivery = Delivery(settings, self.stats, clock, journal)
        self.subscribing = Subscribing(self)
        self.wills = Wills(self)
        self.sessions: dict[SessionKey, Session] = {}
        self._detached: dict[Session, None] = {}  # sessions without a connection
        self.dirty: list[Connection] = []
        self._flapping = Flapping(settings.flapping_limit, settings.flapping_window_s)
        self._duels = Duels(settings.duel_limit, settings.duel_window_s, settings.duel_refusal_s)
        self._flush_soon = flush_soon

    # Connections come and go.

    def admit(self, connection: Connection, request: ConnectRequest, accepted: Accepted) -> None:
        """The gates have accepted: take over, find or make the session, welcome the client, go on with its packets."""
        if connection.phase is not Phase.AUTHENTICATING:
            return  # gone while the gates thought
        client_id = accepted.client_id or request.client_id or f"auto-{secrets.token_hex(8)}"
        why = self._too_often((accepted.namespace, client_id), connection)
        if why is not None:
            self.turn_away(connection, request, Refused(Reason.CONNECTION_RATE_EXCEEDED, why))
            return
        if self._cannot_keep((accepted.namespace, client_id), request):
            self.stats.store_refused += 1
            self.turn_away(connection, request, Refused(Reason.QUOTA_EXCEEDED, NO_ROOM))
            return
        session, present = self._session_for((accepted.namespace, client_id), accepted, request)
        session.principal = accepted.principal
        session.account = accepted.account or accepted.namespace
        session.expiry_s = self._expiry(request)
        session.will = request.will
        session.connection = connection
        session.detached_s = None
        self._detached.pop(session, None)
        refused = self.wills.refused(session)
        if refused is not None:
            self._turn_away(session, connection, request, refused)
            return
        session.window = min(
            self.settings.max_inflight, request.properties.receive_maximum or self.settings.max_inflight
        )
        keep_alive_s = self._keep_alive(request)
        said = self._welcome(request, accepted, session, keep_alive_s) if connection.level == LEVEL_5 else None
        connection.accepted(session, session_present=present, keep_alive_s=keep_alive_s, said=said)
        self.stats.accepted += 1
        self._note(session)
        if present:
            self.subscribing.recheck(session)
        self.observers.attached(session, present)
        session.resume()
        connection.resume()

    def turn_away(self, connection: Connection, request: ConnectRequest, refused: Refused) -> None:
        """The gates have refused."""
        connection.refused(refused)
        self.observers.connect_refused(request, refused)

    def lost(self, connection: Connection) -> None:
        """The connection is closed, from whichever side; `connection.cause` says why."""
        session = connection.session
        connection.session = None
        if session is None or session.connection is not connection:
            return
        now_s = self.clock()
        session.connection = None
        session.detached_s = now_s
        self._detached[session] = None
        self.observers.detached(session, connection.cause)
        self.wills.connection_lost(session, now_s)
        if not session.expiry_s and session.connection is None:
            self._end(session)
        elif session.connection is None:
            self._note(session)

    def tick(self, connections: Sequence[Connection]) -> None:
        """Once a second or so: end connections that are silent or too slow to connect, sessions kept too long; publish wills."""
        now_s = self.clock()
        for connection in connections:
            if connection.session is None:
                if now_s - connection.opened_s > self.settings.connect_timeout_s:
                    self.stats.connect_timeouts += not connection.closed
                    connection.close(DetachCause.KEEP_ALIVE, Reason.KEEP_ALIVE_TIMEOUT, "no CONNECT in time")
            elif (
                now_s - connection.last_read_s > connection.keep_alive_s * 1.5 + self.settings.keep_alive_extra_s
                and not connection.paused
            ):
                # [MQTT-3.1.2-24] of 3.1.1, [MQTT-3.1.2-22] of 5.0
                connection.close(DetachCause.KEEP_ALIVE, Reason.KEEP_ALIVE_TIMEOUT, "silent")
        for session in list(self._detached):
            if session.will_due_s is not None and now_s >= session.will_due_s:
                self.wills.publish(session)
            if now_s - (session.detached_s or 0.0) >= session.expiry_s:
                self.stats.sessions_expired += 1
                self._end(session)

    def end_session(self, namespace: str, client_id: str) -> bool:
        """Forget a session, connected or not; False when there is none."""
        session = self.sessions.get((namespace, client_id))
        if session is None:
            return False
        session.expiry_s = 0
        if session.connection is not None:
            connection = session.connection
            connection.close(DetachCause.HOST, Reason.ADMINISTRATIVE_ACTION, "session ended")
            self.lost(connection)
        else:
            self._end(session)
        return True

    def disconnect(self, session: Session, reason: Reason, text: str, server_reference: str | None) -> None:
        """The host ends a connection."""
        if session.connection is not None:
            session.connection.close(DetachCause.HOST, reason, text, server_reference)

    def expiry_changed(self, session: Session, wanted_s: int) -> None:
        """DISCONNECT names another session expiry interval. Raises: RemoteProtocolError for one out of nothing."""
        if not session.expiry_s and wanted_s:  # section 3.14.2.2.2
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "a session expiry interval where CONNECT had none")
        session.expiry_s = float(min(wanted_s, self.settings.max_session_expiry_s))

    @property
    def mark(self) -> int:
        """Differs when something was noted in between that an acknowledgement has to wait for."""
        return 0 if self.journal is None else self.journal.mark

    @property
    def failing(self) -> bool:
        """What has to be stored cannot be, at the moment."""
        return self.journal is not None and self.journal.failing

    # Messages.

    def look_up(self, connection: Connection, raw: bytes) -> Route | None:
        """What becomes of a topic that a session publishes to; None: a gate needs time, the connection is paused."""
        session = connection.session
        assert session is not None
        topic = topics.decode(raw)
        wrong = topics.name_error(topic, self.settings.max_topic_levels)
        if wrong is not None:
            raise RemoteProtocolError(Reason.TOPIC_NAME_INVALID, wrong)
        verdict = gates.publish_verdict(self.authorizers, session, topic)
        if isinstance(verdict, list):
            connection.pause()

            def decided(settled: PublishGrant | Refused) -> None:
                connection.incoming.keep(raw, _route(topic, settled))
                connection.resume()

            self.later(connection, gates.settled_verdict(verdict, self.settings.gate_timeout_s), decided)
            return None
        route = _route(topic, verdict)
        connection.incoming.keep(raw, route)
        return route

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: Properties | None, exclude: Session | None
    ) -> int:  # fmt: skip
        """Deliver a message of the host's; returns to how many it goes."""
        said = PLAIN
        if properties is not None:
            expiry_s = properties.message_expiry_s
            forwarded = Properties(
                payload_format=properties.payload_format,
                content_type=properties.content_type,
                response_topic=properties.response_topic,
                correlation_data=properties.correlation_data,
                user_properties=properties.user_properties,
            )
            said = Publication(forwarded.encode(), None if expiry_s is None else self.clock() + expiry_s)
        return self.delivery.publish(topic, payload, qos, retain, said, exclude)

    def settle(self, session: Session, ticket: int, reason: Reason, text: str | None) -> None:
        """A handler is done with a message."""
        pending = session.pending.pop(ticket, None)
        if pending is None:
            return
        mark = self.mark
        if not reason.refused:
            self.delivery.route(pending.route, pending.payload, pending.qos, pending.retain, pending.said, session)
        pending.reason, pending.text = reason, text
        incoming = pending.connection.incoming
        if self.journal is not None and (self.mark != mark or (session.journal is not None and pending.qos == 2)):
            self.journal.decide(partial(incoming.stored, pending))
        else:
            incoming.settled(pending)

    def abandon(self, session: Session, ticket: int) -> None:
        """A handler gives a message back: the client will send it again."""
        pending = session.pending.pop(ticket, None)
        connection = session.connection if pending is None else pending.connection
        if connection is None or (pending is None and ticket != session.ticket):
            return
        if session.journal is not None:
            for packet_id in session.received:
                session.journal.released(session, packet_id)
        session.received.clear()  # what was not settled is not received: a QoS 2 message must be taken anew
        connection.close(DetachCause.HOST, Reason.IMPLEMENTATION_SPECIFIC, "a message could not be taken")

    def publish_refused(self, session: Session, route: Route) -> None:
        """A publish that a gate refused."""
        assert route.refused is not None
        self.observers.refused(session, Action.PUBLISH, route.topic, route.refused)

    def handler_failed(self, connection: Connection, route: Route) -> None:
        """A host's handler raised: its message is not acknowledged, the connection ends."""
        log.exception("a publish handler failed", extra={"topic": route.topic})  # noqa: LOG004  called in the handler of it
        connection.close(DetachCause.HANDLER_FAILED, Reason.UNSPECIFIED, "the server failed")

    def flush_later(self, connection: Connection) -> None:
        """`connection` has something to write; all such are written once per turn of the loop."""
        if not self.dirty:
            self._flush_soon()
        self.dirty.append(connection)

    # Sessions.

    def iterate(self) -> Iterator[Session]:
        """All sessions, standing still while they change."""
        return iter(list(self.sessions.values()))

    def offline_session(self, namespace: str, client_id: str, principal: object) -> Session:
        """A session of a client that has not connected yet, or the one that it has; kept as long as any."""
        key = (namespace, client_id)
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = Session(self, namespace, client_id, principal)
            session.expiry_s = float(self.settings.max_session_expiry_s)
            session.detached_s = self.clock()
            self._detached[session] = None
            self.stats.sessions = len(self.sessions)
            self._note(session)
        return session

    def restore(self, session: Session) -> None:
        """Put back a session that was read from disk."""
        self.sessions[session.namespace, session.client_id] = session
        self._detached[session] = None
        self.stats.sessions = len(self.sessions)

    def _cannot_keep(self, key: SessionKey, request: ConnectRequest) -> bool:
        """Whether the session would have to be kept on disk, is not there yet, and nothing can be written."""
        if not self.failing or not self._expiry(request):
            return False
        known = self.sessions.get(key)
        return known is None or known.journal is None or request.clean_start

    def _note(self, session: Session) -> None:
        if self.journal is not None:
            self.journal.session(session)

    def _too_often(self, key: SessionKey, connection: Connection) -> str | None:
        """Why a client may not attach now: its id is fought over, or comes and goes too often; None when it may."""
        settings, now_s, holder = self.settings, self.clock(), self.sessions.get(key)
        if holder is not None and holder.connection is not None:
            allowed, found = self._duels.takes_over(key, now_s)
            if found:
                self.observers.duel(holder, connection.peer)
                where = {"holds": holder.connection.peer.address, "refused": connection.peer.address}
                log.warning(
                    "clients take one id from each other", extra={"namespace": key[0], "client": key[1]} | where
                )
            if not allowed:
                self.stats.duel_refused += 1
                held = f"held from {holder.connection.peer.address}"
                return f"another client uses this client id, {held}; it was taken over {settings.duel_limit} times"
        if not self._flapping.allows(key, now_s):
            self.stats.flapping_refused += 1
            return f"attached more than {settings.flapping_limit} times in {settings.flapping_window_s:g} s"
        return None

    def _session_for(self, key: SessionKey, accepted: Accepted, request: ConnectRequest) -> tuple[Session, bool]:
        """(session, whether it was there): an old connection is taken over, an old session ended on a clean start."""
        old = self.sessions.get(key)
        if old is not None and request.clean_start:
            old.expiry_s = 0  # so that its will is not delayed beyond it
        if old is not None and old.connection is not None:
            connection = old.connection  # [MQTT-3.1.4-2] of 3.1.1, [MQTT-3.1.4-3] of 5.0
            connection.close(DetachCause.TAKEN_OVER, Reason.SESSION_TAKEN_OVER, "the client id connected again")
            self.lost(connection)
            old = self.sessions.get(key)
        if old is not None and request.clean_start:  # [MQTT-3.1.2-6] of 3.1.1, [MQTT-3.1.2-4] of 5.0
            self._end(old)
            old = None
        if old is not None:
            old.will_due_s = None  # back in time: its will is not published [MQTT-3.1.3-9]
            return old, True
        session = self.sessions[key] = Session(self, *key, accepted.principal)
        self.stats.sessions = len(self.sessions)
        return session, False

    def _end(self, session: Session) -> None:
        if session.will_due_s is not None:
            self.wills.publish(session)
        if session.journal is not None:
            session.journal.forget(session)
        for subscription in list(session.subscriptions.values()):
            self.subscribing.remove(subscription)
        self._detached.pop(session, None)
        key = (session.namespace, session.client_id)
        if self.sessions.get(key) is session:
            del self.sessions[key]
        self.stats.sessions = len(self.sessions)

    def _turn_away(self, session: Session, connection: Connection, request: ConnectRequest, refused: Refused) -> None:
        session.connection = None
        session.detached_s = self.clock()
        self._detached[session] = None
        session.will = None
        if not session.expiry_s:
            self._end(session)
        self.turn_away(connection, request, refused)

    # What a client is told about itself.

    def _expiry(self, request: ConnectRequest) -> float:
        limit = self.settings.max_session_expiry_s
        if request.protocol_level == LEVEL_5:
            return float(min(request.properties.session_expiry_s or 0, limit))
        return 0.0 if request.clean_start else float(limit)

    def _keep_alive(self, request: ConnectRequest) -> int:
        limit = self.settings.max_keep_alive_s
        return min(request.keep_alive_s or limit, limit)

    def _welcome(self, request: ConnectRequest, accepted: Accepted, session: Session, keep_alive_s: int) -> Properties:
        """What the CONNACK says where we do otherwise than the client asked (MQTT 5.0, section 3.2.2.3)."""
        wanted_s = request.properties.session_expiry_s or 0
        given, asks = accepted.properties, request.properties.request_response_information == 1
        return Properties(
            session_expiry_s=None if session.expiry_s == wanted_s else int(session.expiry_s),
            receive_maximum=self.settings.receive_maximum,
            maximum_packet_size=self.settings.max_packet_size,
            assigned_client_id=None if session.client_id == request.client_id else session.client_id,
            topic_alias_maximum=self.settings.topic_alias_maximum or None,
            server_keep_alive_s=None if keep_alive_s == request.keep_alive_s else keep_alive_s,
            authentication_method=request.properties.authentication_method,
            authentication_data=given.authentication_data,
            response_information=given.response_information if asks else None,  # [MQTT-3.1.2-28]
            user_properties=given.user_properties,
        )


def _route(topic: str, verdict: PublishGrant | Refused) -> Route:
    if isinstance(verdict, Refused):
        route = Route(topic)
        route.refused = verdict
        return route
    route = Route(verdict.topic)
    route.handler = verdict.handler
    route.retain = verdict.retain
    route.routed = verdict.route
    return route
