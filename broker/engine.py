"""Ties connections, sessions, subscriptions and retained messages together. Sans-io: the shell feeds it and passes the time.

Rules that hold everywhere here:
- Nothing acts on a session, message or retained state before the gates have accepted: take-over and clean start happen in
  `admit`, after authentication.
- A session is known by (namespace, client id); the host chooses the namespace, so nobody reaches another's session by its id.
- Observers are told last and can break nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from broker import gates, packets, topics
from broker.connection import Connection, Route
from broker.errors import RemoteProtocolError
from broker.hooks import (
    Accepted,
    Action,
    AttachObserver,
    ConnectRequest,
    DeliveryObserver,
    DetachCause,
    Hooks,
    PublishGrant,
    RefusalObserver,
    Refused,
    SubscribeGrant,
    SubscriptionObserver,
)
from broker.reasons import Reason
from broker.retained import RetainedMessages
from broker.router import Router
from broker.session import Session, Subscription, shown_name
from broker.settings import BrokerSettings
from broker.stats import BrokerStats

log = logging.getLogger(__name__)

SessionKey = tuple[str, str]
Later = Callable[[Connection, Awaitable[Any], Callable[[Any], None]], None]
"""Run an awaitable for a paused connection, then call with its result."""


class Engine:
    """All state of one broker."""

    def __init__(self, settings: BrokerSettings, hooks: Hooks, flush_soon: Callable[[], None], later: Later) -> None:
        self.settings = settings
        self.stats = BrokerStats()
        self.router = Router()
        self.retained = RetainedMessages(settings.max_retained)
        self.sessions: dict[SessionKey, Session] = {}
        self.dirty: list[Connection] = []
        self._authorizers = hooks.authorizers
        self._attach = [o for o in hooks.observers if isinstance(o, AttachObserver)]
        self._subscription = [o for o in hooks.observers if isinstance(o, SubscriptionObserver)]
        self._delivery = [o for o in hooks.observers if isinstance(o, DeliveryObserver)]
        self._refusal = [o for o in hooks.observers if isinstance(o, RefusalObserver)]
        self._flush_soon = flush_soon
        self._later = later
        self._assigned = 0

    # Connections come and go.

    def admit(self, connection: Connection, request: ConnectRequest, accepted: Accepted, now_s: float) -> None:
        """The gates have accepted: take over, find or make the session, welcome the client, go on with its packets."""
        if connection.phase.value != "authenticating":
            return  # gone while the gates thought
        client_id = accepted.client_id or request.client_id or self._assign_id()
        key = (accepted.namespace, client_id)
        old = self.sessions.get(key)
        if old is not None and old.connection is not None:
            self._take_over(old, now_s)
            old = self.sessions.get(key)
        if old is not None and request.clean_start:  # [MQTT-3.1.2-6]
            self._end(old)
            old = None
        session = old or self._new_session(key, accepted.principal)
        session.principal = accepted.principal
        session.clean = request.clean_start
        session.will = request.will
        session.connection = connection
        session.detached_s = None
        refused = self._will_refused(connection, session)
        if refused is not None:
            self._turn_away(session, connection, request, refused, now_s)
            return
        connection.accepted(session, session_present=old is not None, keep_alive_s=self._keep_alive(request))
        self.stats.accepted += 1
        if old is not None:
            self.recheck(session)
        self._tell(self._attach, "on_attached", session, old is not None)
        session.resume()
        connection.resume()

    def turn_away(self, connection: Connection, request: ConnectRequest, refused: Refused) -> None:
        """The gates have refused."""
        self.stats.refused += 1
        connection.refused(refused)
        self._tell(self._refusal, "on_connect_refused", request, refused)

    def lost(self, connection: Connection, now_s: float) -> None:
        """The connection is closed, from whichever side; `connection.cause` says why."""
        session = connection.session
        connection.session = None
        if session is None or session.connection is not connection:
            return
        session.connection = None
        session.detached_s = now_s
        will, session.will = session.will, None
        self._tell(self._attach, "on_detached", session, connection.cause)
        if will is not None:
            self._publish_will(connection, session, will)
        if session.clean and session.connection is None:
            self._end(session)

    def tick(self, connections: Sequence[Connection], now_s: float) -> None:
        """Once a second or so: end connections that are silent or too slow to connect, and sessions kept too long."""
        settings = self.settings
        for connection in connections:
            if connection.session is None:
                if now_s - connection.opened_s > settings.connect_timeout_s:
                    connection.close(DetachCause.KEEP_ALIVE, Reason.KEEP_ALIVE_TIMEOUT, "no CONNECT in time")
            elif now_s - connection.last_read_s > connection.keep_alive_s * 1.5 and not connection.paused:
                connection.close(DetachCause.KEEP_ALIVE, Reason.KEEP_ALIVE_TIMEOUT, "silent")  # [MQTT-3.1.2-24]
        for session in list(self.sessions.values()):
            if session.detached_s is not None and now_s - session.detached_s > settings.session_expiry_s:
                self._end(session)

    def end_session(self, namespace: str, client_id: str, now_s: float) -> bool:
        """Forget a session, connected or not; False when there is none."""
        session = self.sessions.get((namespace, client_id))
        if session is None:
            return False
        session.clean = True
        if session.connection is not None:
            connection = session.connection
            connection.close(DetachCause.HOST, Reason.ADMINISTRATIVE_ACTION, "session ended")
            self.lost(connection, now_s)
        else:
            self._end(session)
        return True

    # Messages.

    def look_up(self, connection: Connection, raw: bytes) -> Route | None:
        """What becomes of a topic that a session publishes to; None: a gate needs time, the connection is paused."""
        session = connection.session
        assert session is not None
        topic = topics.decode(raw)
        wrong = topics.name_error(topic, self.settings.max_topic_levels)
        if wrong is not None:
            raise RemoteProtocolError(Reason.TOPIC_NAME_INVALID, wrong)
        verdict = gates.publish_verdict(self._authorizers, session, topic)
        if isinstance(verdict, list):
            connection.pause()

            def decided(settled: PublishGrant | Refused) -> None:
                connection.keep_route(raw, _route(topic, settled))
                connection.resume()

            self._later(connection, gates.settled_verdict(verdict, self.settings.gate_timeout_s), decided)
            return None
        route = _route(topic, verdict)
        connection.keep_route(raw, route)
        return route

    def route(self, route: Route, payload: bytes, qos: int, retain: bool) -> None:
        """Deliver a message of a client to whoever subscribed."""
        if not route.routed:
            return
        if retain and not self.retained.keep(route.topic, payload, qos):
            log.warning("no room for another retained message", extra={"limit": self.settings.max_retained})
        if route.version != self.router.version:
            route.matches = self.router.match(route.topic)
            route.version = self.router.version
        if route.matches:
            self._deliver(route.topic, route.name, payload, qos, route.matches, None)

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool, exclude: Session | None) -> int:
        """Deliver a message of the host's; returns to how many it goes."""
        if retain:
            self.retained.keep(topic, payload, qos)
        matches = self.router.match(topic)
        if not matches:
            return 0
        return self._deliver(topic, topic.encode(), payload, qos, matches, exclude)

    def settle(self, session: Session, ticket: int, reason: Reason) -> None:
        """A handler is done with a message."""
        pending = session.pending.pop(ticket, None)
        if pending is None:
            return
        if not reason.refused:
            self.route(pending.route, pending.payload, pending.qos, pending.retain)
        pending.connection.settled(pending, refused=reason.refused)

    def abandon(self, session: Session, ticket: int) -> None:
        """A handler gives a message back: the client will send it again."""
        pending = session.pending.pop(ticket, None)
        connection = session.connection if pending is None else pending.connection
        if connection is None or (pending is None and ticket != session.ticket):
            return
        session.received.clear()  # what was not settled is not received: a QoS 2 message must be taken anew
        connection.close(DetachCause.HOST, Reason.IMPLEMENTATION_SPECIFIC, "a message could not be taken")

    def flush_later(self, connection: Connection) -> None:
        """`connection` has something to write; all such are written once per turn of the loop."""
        if not self.dirty:
            self._flush_soon()
        self.dirty.append(connection)

    def _deliver(
        self, topic: str, name: bytes, payload: bytes, qos: int, matches: Sequence[Any], exclude: Session | None
    ) -> int:
        packet: bytes | None = None  # the same bytes for everyone who gets it at QoS 0 under its own name
        count = 0
        for session, granted, shown in matches:
            if session is exclude:
                continue
            count += 1
            level = qos if qos < granted else granted
            connection = session.connection
            if (
                level == 0
                and shown is None
                and connection is not None
                and not connection.congested
                and not session.queued
            ):
                if packet is None:
                    packet = packets.publish_head(name, len(payload), qos=0, retain=False) + payload
                connection.put(packet)
            else:
                own = name if shown is None else shown_name(topic, shown).encode()
                session.deliver(own, payload, level, False, None)  # [MQTT-3.3.1-9]
        self.stats.delivered += count
        return count

    # Subscriptions.

    def subscribe(self, connection: Connection, packet_id: int, wanted: Sequence[tuple[str, int]]) -> None:
        """Have the gates decide on each filter, then answer; what was retained follows the SUBACK."""
        session = connection.session
        assert session is not None
        verdicts: list[Any] = []
        for topic_filter, _ in wanted:
            wrong = topics.filter_error(topic_filter, self.settings.max_topic_levels)
            if wrong is not None:
                verdicts.append(Refused(Reason.TOPIC_FILTER_INVALID, wrong))
            else:
                verdicts.append(gates.subscribe_verdict(self._authorizers, session, topic_filter))

        def decided(settled: Sequence[SubscribeGrant | Refused]) -> None:
            self._subscribed(connection, session, packet_id, wanted, settled)
            connection.resume()

        if any(isinstance(verdict, list) for verdict in verdicts):
            connection.pause()
            self._later(connection, _all_settled(verdicts, self.settings.gate_timeout_s), decided)
        else:
            self._subscribed(connection, session, packet_id, wanted, verdicts)

    def unsubscribe(self, connection: Connection, filters: Sequence[str]) -> None:
        """End subscriptions; filters that the session does not have are passed over [MQTT-3.10.4-5]."""
        session = connection.session
        assert session is not None
        for requested in filters:
            for subscription in [s for s in session.subscriptions.values() if s.requested == requested]:
                self._remove(subscription)
                self._tell(self._subscription, "on_unsubscribed", session, subscription.topic_filter)

    def recheck(self, session: Session) -> None:
        """Ask the authorizers anew about everything that the session may do."""
        if session.connection is not None:
            session.connection.forget_routes()
        for subscription in list(session.subscriptions.values()):
            verdict = gates.subscribe_verdict(self._authorizers, session, subscription.requested)
            if isinstance(verdict, list):
                self._later_recheck(session, subscription, verdict)
            elif isinstance(verdict, Refused):
                self._remove(subscription)

    def _later_recheck(self, session: Session, subscription: Subscription, verdict: list[Any]) -> None:
        def decided(settled: SubscribeGrant | Refused) -> None:
            if isinstance(settled, Refused) and session.subscriptions.get(subscription.topic_filter) is subscription:
                self._remove(subscription)

        if session.connection is not None:
            self._later(session.connection, gates.settled_verdict(verdict, self.settings.gate_timeout_s), decided)

    def _subscribed(
        self,
        connection: Connection,
        session: Session,
        packet_id: int,
        wanted: Sequence[tuple[str, int]],
        verdicts: Sequence[SubscribeGrant | Refused],
    ) -> None:
        if session.connection is not connection:
            return
        codes: list[int] = []
        granted: list[Subscription] = []
        for (requested, qos), answer in zip(wanted, verdicts, strict=True):
            verdict = self._within_quota(session, answer)
            if isinstance(verdict, Refused):
                codes.append(0x80)
                self.stats.denied += 1
                self._tell(self._refusal, "on_refused", session, Action.SUBSCRIBE, requested, verdict)
                continue
            granted.append(self._add(session, verdict, requested, min(qos, verdict.max_qos)))
            codes.append(granted[-1].qos)
        connection.subscribed(packet_id, codes)
        for subscription in granted:
            self._send_retained(session, subscription)
            self._tell(self._subscription, "on_subscribed", session, subscription.topic_filter, subscription.qos)

    def _within_quota(self, session: Session, verdict: SubscribeGrant | Refused) -> SubscribeGrant | Refused:
        limit = self.settings.max_subscriptions
        if (
            isinstance(verdict, Refused)
            or verdict.topic_filter in session.subscriptions
            or len(session.subscriptions) < limit
        ):
            return verdict
        return Refused(Reason.QUOTA_EXCEEDED, f"at most {limit} subscriptions")

    def _add(self, session: Session, grant: SubscribeGrant, requested: str, qos: int) -> Subscription:
        levels = tuple(grant.topic_filter.split("/"))
        subscription = Subscription(session, grant.topic_filter, levels, qos, grant.shown, requested)
        session.subscriptions[grant.topic_filter] = subscription  # [MQTT-3.8.4-3]
        self.router.add(subscription)
        return subscription

    def _remove(self, subscription: Subscription) -> None:
        del subscription.session.subscriptions[subscription.topic_filter]
        self.router.remove(subscription)

    def _send_retained(self, session: Session, subscription: Subscription) -> None:
        for topic, payload, qos in self.retained.matching(subscription.levels):
            name = shown_name(topic, subscription.shown).encode()
            session.deliver(name, payload, min(qos, subscription.qos), True, None)  # [MQTT-3.3.1-8]

    # Sessions.

    def disconnect(self, session: Session, reason: Reason, text: str) -> None:
        """The host ends a connection."""
        if session.connection is not None:
            session.connection.close(DetachCause.HOST, reason, text)

    def iterate(self) -> Iterator[Session]:
        """All sessions, standing still while they change."""
        return iter(list(self.sessions.values()))

    def _take_over(self, session: Session, now_s: float) -> None:
        connection = session.connection
        assert connection is not None
        connection.close(
            DetachCause.TAKEN_OVER, Reason.SESSION_TAKEN_OVER, "the client id connected again"
        )  # [MQTT-3.1.4-2]
        self.lost(connection, now_s)

    def _new_session(self, key: SessionKey, principal: object) -> Session:
        session = self.sessions[key] = Session(self, *key, principal)
        self.stats.sessions = len(self.sessions)
        return session

    def _end(self, session: Session) -> None:
        for subscription in list(session.subscriptions.values()):
            self._remove(subscription)
        if self.sessions.get((session.namespace, session.client_id)) is session:
            del self.sessions[(session.namespace, session.client_id)]
        self.stats.sessions = len(self.sessions)

    def _turn_away(
        self, session: Session, connection: Connection, request: ConnectRequest, refused: Refused, now_s: float
    ) -> None:
        session.connection = None
        session.detached_s = now_s
        session.will = None
        if session.clean:
            self._end(session)
        self.turn_away(connection, request, refused)

    def _keep_alive(self, request: ConnectRequest) -> int:
        limit = self.settings.max_keep_alive_s
        return min(request.keep_alive_s or limit, limit)

    def _assign_id(self) -> str:
        self._assigned += 1
        return f"auto-{self._assigned}"

    # Wills: checked when the client connects, published when it goes without a word.

    def _will_refused(self, connection: Connection, session: Session) -> Refused | None:
        will = session.will
        if will is None:
            return None
        wrong = topics.name_error(will.topic, self.settings.max_topic_levels)
        if wrong is not None:
            return Refused(Reason.TOPIC_NAME_INVALID, wrong)
        verdict = gates.publish_verdict(self._authorizers, session, will.topic)
        if isinstance(verdict, list):
            return None  # decided when it fires
        return verdict if isinstance(verdict, Refused) else None

    def _publish_will(self, connection: Connection, session: Session, will: Any) -> None:
        verdict = gates.publish_verdict(self._authorizers, session, will.topic)

        def decided(settled: PublishGrant | Refused) -> None:
            route = _route(will.topic, settled)
            if route.refused is not None:
                return
            if route.handler is not None:
                try:
                    route.handler(session, route.topic, will.payload, will.qos, 0)
                except Exception:
                    log.exception("a will's handler failed", extra={"client": session.client_id})
            self.route(route, will.payload, will.qos, will.retain and route.retain)

        if isinstance(verdict, list):
            self._later(connection, gates.settled_verdict(verdict, self.settings.gate_timeout_s), decided)
        else:
            decided(verdict)

    # What observers are told.

    def publish_refused(self, session: Session, route: Route) -> None:
        """A publish that a gate refused."""
        self.stats.denied += 1
        self._tell(self._refusal, "on_refused", session, Action.PUBLISH, route.topic, route.refused)

    def handler_failed(self, connection: Connection, route: Route) -> None:
        """A host's handler raised: its message is not acknowledged, the connection ends."""
        log.exception("a publish handler failed", extra={"topic": route.topic})  # noqa: LOG004  called in the handler of it
        connection.close(DetachCause.HANDLER_FAILED, Reason.UNSPECIFIED, "the server failed")

    def delivered(self, session: Session, tag: object) -> None:
        """A tagged message is acknowledged."""
        self._tell(self._delivery, "on_delivered", session, tag)

    def dropped(self, session: Session, topic: bytes, why: str) -> None:
        """A message to a session found no room."""
        self.stats.dropped += 1
        self._tell(self._delivery, "on_dropped", session, topic.decode(), why)

    def _tell(self, observers: Sequence[object], what: str, *arguments: object) -> None:
        for observer in observers:
            try:
                getattr(observer, what)(*arguments)
            except Exception:
                log.exception("an observer failed", extra={"observer": type(observer).__name__, "hook": what})


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


async def _all_settled(verdicts: Sequence[Any], timeout_s: float) -> list[Any]:
    return [await gates.settled_verdict(v, timeout_s) if isinstance(v, list) else v for v in verdicts]
