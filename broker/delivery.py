"""From a published message to the sessions that it goes to: the hot path between two connections."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from broker.hooks import PublishHandler, Refused
from broker.journal import Journal
from broker.message import Message
from broker.packets import LEVEL_5, publish_head
from broker.properties import variable
from broker.retained import Retained, RetainedMessages
from broker.router import NOBODY, Match, Matches, Router, options
from broker.session import Session, Subscription, shown_name
from broker.settings import BrokerSettings
from broker.stats import BrokerStats

log = logging.getLogger(__name__)


MAX_HEADS: Final = 4096  # beginnings of packets that are kept

Published = tuple[str, bytes, bytes, int, bool]
"""(topic, the same encoded, payload, QoS, retain) of a message before anybody is chosen to get it."""


class Route:
    """What becomes of one topic of one session, looked up once."""

    __slots__ = ("handler", "matches", "name", "plain", "refused", "retain", "routed", "topic", "version")

    def __init__(self, topic: str) -> None:
        self.topic = topic  # canonical
        self.name = topic.encode()
        self.handler: PublishHandler | None = None
        self.retain = True
        self.routed = True
        self.refused: Refused | None = None
        self.matches: Matches = NOBODY
        self.version = -1  # of the router, for which `matches` and `plain` hold
        self.plain = False  # no handler, no refusal, and nobody among the matches is kept on disk


class Publication:
    """What MQTT 5.0 adds to a message: properties to pass on, and when it expires. One is shared by all that have nothing."""

    __slots__ = ("expires_s", "properties")

    def __init__(self, properties: bytes = b"", expires_s: float | None = None) -> None:
        self.properties = properties
        self.expires_s = expires_s


PLAIN = Publication()


class Receiver(Protocol):
    """A gate of deliveries, for hosts that have one: asked for each message and session that it would go to."""

    def may_receive(self, session: Session, topic: str) -> bool | None:
        """Whether a message may go to a session; None: ask `when_decided`."""
        ...

    def when_decided(self, session: Session, topic: str, deliver: Callable[[], object]) -> None:
        """Call `deliver` when it is decided, if it is allowed."""
        ...


class Delivery:
    """Subscriptions and retained messages of a broker, and what they make of a publish."""

    def __init__(
        self, settings: BrokerSettings, stats: BrokerStats, clock: Callable[[], float], journal: Journal | None
    ) -> None:
        self.router = Router()
        self.retained = RetainedMessages(settings.max_retained, None if journal is None else journal.retained)
        self.receiver: Receiver | None = None
        self._heads: dict[tuple[bytes, int], bytes] = {}
        self._settings = settings
        self._stats = stats
        self._clock = clock

    def route(
        self, route: Route, payload: bytes, qos: int, retain: bool, said: Publication, publisher: Session | None
    ) -> int:
        """Deliver a message of a client to whoever subscribed; returns to how many."""
        if not route.routed:
            return 0
        if retain and not self.retained.keep(route.topic, Retained(payload, qos, said.properties, said.expires_s)):
            self._stats.retained_refused += 1
            log.warning("no room for another retained message", extra={"limit": self._settings.max_retained})
        if route.version != self.router.version:
            self.match(route)
        matches = route.matches
        if matches is NOBODY:
            return 0
        return self.deliver((route.topic, route.name, payload, qos, retain), said, matches, publisher)

    def match(self, route: Route) -> None:
        """Find out anew who gets what is published to a topic."""
        matches = route.matches = self.router.match(route.topic)
        route.version = self.router.version
        members = (member.session for group in matches.groups for member in group.members)
        kept = any(session.journal is not None for session in (*(match[0] for match in matches.sessions), *members))
        route.plain = route.routed and route.handler is None and route.refused is None and not kept

    def kept(self, route: Route) -> bool:
        """Whether a message of QoS 1 or 2, without a handler, would be for a session that is kept on disk."""
        if route.version != self.router.version:
            self.match(route)
        return route.routed and not route.plain

    def publish(
        self, topic: str, payload: bytes, qos: int, retain: bool, said: Publication, exclude: Session | None
    ) -> int:
        """Deliver a message of the host's; returns to how many it goes."""
        if retain:
            self.retained.keep(topic, Retained(payload, qos, said.properties, said.expires_s))
        matches = self.router.match(topic)
        if exclude is not None:
            sessions = tuple(match for match in matches.sessions if match[0] is not exclude)
            matches = Matches(sessions, matches.groups)
        return self.deliver((topic, topic.encode(), payload, qos, retain), said, matches, None)

    def send_retained(self, session: Session, subscription: Subscription) -> None:
        """What is retained and fits a new subscription [MQTT-3.3.1-6]."""
        identifier = subscription.identifier
        own = b"" if identifier is None else b"\x0b" + variable(identifier)
        for topic, kept in self.retained.matching(subscription.levels, self._clock()):
            name = shown_name(topic, subscription.shown).encode()
            level = min(kept.qos, subscription.qos)
            message = (name, kept.payload, level, True, None, kept.properties + own, kept.expires_s, None)
            self._guarded(session, topic, partial(session.deliver, message))

    def deliver(  # noqa: PLR0912  the hot path: no calls
        self, message: Published, said: Publication, matches: Matches, publisher: Session | None
    ) -> int:
        """Deliver to whom a topic matches; returns to how many."""
        if self.receiver is not None:
            return self._deliver_guarded(message, said, matches, publisher)
        _, name, payload, qos, _ = message
        # What is the same for everyone who gets it under its own name: QoS 0 by version, the others by version and QoS.
        old: bytes | None = None
        new: bytes | None = None
        made: dict[int, tuple[Message, bytes, bytes]] | None = None
        count = 0
        alike = said.expires_s is None
        for match in matches.sessions:
            session, granted, shown, asked = match
            connection = session.connection
            if connection is None or not connection.plain or session.queue or not alike or shown or asked:
                count += self._one(match, message, said, publisher)
                continue
            count += 1
            level = qos if qos < granted else granted
            if level:
                key = connection.plain << 2 | level
                made = made or {}
                common = made.get(key) or made.setdefault(key, _made(name, payload, level, said, connection.plain))
                if session.journal is not None or not session.push(connection, common):
                    session.deliver(common[0])
                continue
            if connection.plain != LEVEL_5:
                if old is None:
                    old = (self._heads.get((name, len(payload))) or self._head(name, len(payload))) + payload
                packet = old
            else:
                if new is None:
                    _, head, tail = _made(name, payload, 0, said, LEVEL_5)
                    new = head + tail
                packet = new
            if connection.dirty:
                connection.outgoing.append(packet)
            else:
                connection.put(packet)
        for group in matches.groups:
            chosen = group.next()
            if chosen is not None:
                single = (chosen.session, chosen.qos, chosen.shown, options([chosen]))
                count += self._one(single, message, said, publisher)
        self._stats.delivered += count
        return count

    def _head(self, name: bytes, size: int) -> bytes:
        """The beginning of a QoS 0 PUBLISH of MQTT 3.1.1, kept: as a rule it is the same for each message of a topic."""
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        head = self._heads[name, size] = publish_head(name, size, qos=0, retain=False)
        return head

    def _deliver_guarded(
        self, message: Published, said: Publication, matches: Matches, publisher: Session | None
    ) -> int:
        """As `deliver`, where a gate is asked for each delivery."""
        chosen = [member for member in (group.next() for group in matches.groups) if member is not None]
        alone: list[Match] = [(one.session, one.qos, one.shown, options([one])) for one in chosen]
        count = 0
        for match in (*matches.sessions, *alone):
            count += self._guarded(match[0], message[0], partial(self._one, match, message, said, publisher))
        self._stats.delivered += count
        return count

    def _guarded(self, session: Session, topic: str, deliver: Callable[[], object]) -> bool:
        verdict = True if self.receiver is None else self.receiver.may_receive(session, topic)
        if verdict is None:
            assert self.receiver is not None
            self.receiver.when_decided(session, topic, deliver)
        elif verdict:
            deliver()
        return verdict is not False

    @staticmethod
    def _one(match: Match, message: Published, said: Publication, publisher: Session | None) -> bool:
        """A delivery that is not the plainest."""
        session, granted, shown, asked = match
        topic, name, payload, qos, retain = message
        properties, as_published = said.properties, False
        if asked is not None:
            if asked.no_local and session is publisher:  # [MQTT-3.8.3-3]
                return False
            properties = properties + asked.identifiers
            as_published = asked.retain_as_published and retain  # [MQTT-3.3.1-13]
        if shown is not None:
            name = shown_name(topic, shown).encode()
        outgoing: Message = (
            name, payload, qos if qos < granted else granted, as_published, None, properties, said.expires_s, None,
        )  # fmt: skip
        session.deliver(outgoing)
        return True


def _made(name: bytes, payload: bytes, qos: int, said: Publication, version: int) -> tuple[Message, bytes, bytes]:
    """A delivery, and its packet up to where the packet id stands, and behind that."""
    tail = payload if version != LEVEL_5 else variable(len(said.properties)) + said.properties + payload
    head = publish_head(name, len(tail), qos=qos, retain=False)
    return (name, payload, qos, False, None, said.properties, None, None), head, tail
