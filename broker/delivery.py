"""From a published message to the sessions that it goes to: the hot path between two connections."""

from __future__ import annotations

import logging
from collections.abc import Callable

from broker.hooks import PublishHandler, Refused
from broker.message import Message, encode
from broker.packets import publish_head
from broker.properties import variable
from broker.retained import Retained, RetainedMessages
from broker.router import NOBODY, Match, Matches, Router, options
from broker.session import Session, Subscription, shown_name
from broker.settings import BrokerSettings
from broker.stats import BrokerStats

log = logging.getLogger(__name__)


Published = tuple[str, bytes, bytes, int, bool]
"""(topic, the same encoded, payload, QoS, retain) of a message before anybody is chosen to get it."""


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
        self.matches: Matches = NOBODY
        self.version = -1  # of the router, for which `matches` holds


class Publication:
    """What MQTT 5.0 adds to a message: properties to pass on, and when it expires. One is shared by all that have nothing."""

    __slots__ = ("expires_s", "properties")

    def __init__(self, properties: bytes = b"", expires_s: float | None = None) -> None:
        self.properties = properties
        self.expires_s = expires_s


PLAIN = Publication()


class Delivery:
    """Subscriptions and retained messages of a broker, and what they make of a publish."""

    def __init__(self, settings: BrokerSettings, stats: BrokerStats, clock: Callable[[], float]) -> None:
        self.router = Router()
        self.retained = RetainedMessages(settings.max_retained)
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
            log.warning("no room for another retained message", extra={"limit": self._settings.max_retained})
        if route.version != self.router.version:
            route.matches = self.router.match(route.topic)
            route.version = self.router.version
        matches = route.matches
        if matches is NOBODY:
            return 0
        return self._deliver((route.topic, route.name, payload, qos, retain), said, matches, publisher)

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
        return self._deliver((topic, topic.encode(), payload, qos, retain), said, matches, None)

    def send_retained(self, session: Session, subscription: Subscription) -> None:
        """What is retained and fits a new subscription [MQTT-3.3.1-6]."""
        identifier = subscription.identifier
        own = b"" if identifier is None else b"\x0b" + variable(identifier)
        for topic, kept in self.retained.matching(subscription.levels, self._clock()):
            name = shown_name(topic, subscription.shown).encode()
            level = min(kept.qos, subscription.qos)
            session.deliver((name, kept.payload, level, True, None, kept.properties + own, kept.expires_s))

    def _deliver(self, message: Published, said: Publication, matches: Matches, publisher: Session | None) -> int:
        _, name, payload, qos, _ = message
        old: bytes | None = None  # the same bytes for everyone who gets it at QoS 0 under its own name, by version
        new: bytes | None = None
        count = 0
        for session, granted, shown, asked in matches.sessions:
            connection = session.connection
            if (
                shown is None
                and asked is None
                and (qos == 0 or granted == 0)
                and connection is not None
                and connection.shares
                and not connection.congested
                and not session.queued
                and said.expires_s is None
            ):
                if connection.level == 5:
                    if new is None:
                        new = _plain_5(name, payload, said.properties)
                    connection.put(new)
                else:
                    if old is None:
                        old = encode((name, payload, 0, False, None, b"", None), 0)
                    connection.put(old)
                count += 1
            else:
                count += self._one((session, granted, shown, asked), message, said, publisher)
        for group in matches.groups:
            chosen = group.next()
            if chosen is not None:
                single = (chosen.session, chosen.qos, chosen.shown, options([chosen]))
                count += self._one(single, message, said, publisher)
        self._stats.delivered += count
        return count

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
            name, payload, qos if qos < granted else granted, as_published, None, properties, said.expires_s,
        )  # fmt: skip
        session.deliver(outgoing)
        return True


def _plain_5(name: bytes, payload: bytes, properties: bytes) -> bytes:
    rest = variable(len(properties)) + properties + payload
    return publish_head(name, len(rest), qos=0, retain=False) + rest
