"""SUBSCRIBE and UNSUBSCRIBE: the gates decide on each filter, the answer names each, what is retained follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from broker import gates, topics
from broker.hooks import Action, Refused, SubscribeGrant
from broker.packets import LEVEL_5, Wanted
from broker.reasons import Reason
from broker.session import Session, Subscription

if TYPE_CHECKING:
    from broker.connection import Connection
    from broker.engine import Engine

Verdict = SubscribeGrant | Refused
Granted = tuple[Subscription, bool]  # and whether what is retained follows


class Subscribing:
    """The subscriptions of all sessions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._settings = engine.settings

    def subscribe(
        self, connection: Connection, packet_id: int, wanted: Sequence[Wanted], identifier: int | None
    ) -> None:
        """Have the gates decide on each filter, then answer."""
        session = connection.session
        assert session is not None
        verdicts = [self._verdict(session, one.topic_filter) for one in wanted]

        def decided(settled: Sequence[Verdict]) -> None:
            self._subscribed(connection, session, packet_id, wanted, identifier, settled)
            connection.resume()

        if any(isinstance(verdict, list) for verdict in verdicts):
            connection.pause()
            self._engine.later(connection, _all_settled(verdicts, self._settings.gate_timeout_s), decided)
        else:
            self._subscribed(connection, session, packet_id, wanted, identifier, verdicts)

    def unsubscribe(self, connection: Connection, filters: Sequence[str]) -> list[int]:
        """End subscriptions; gives MQTT 5.0's code for each [MQTT-3.11.3-2]."""
        session = connection.session
        assert session is not None
        codes = []
        for requested in filters:
            ended = [s for s in session.subscriptions.values() if s.requested == requested]
            for subscription in ended:
                self.remove(subscription)
                self._engine.observers.unsubscribed(session, subscription.topic_filter)
            codes.append(int(Reason.SUCCESS if ended else Reason.NO_SUBSCRIPTION_EXISTED))
        return codes

    def add(self, session: Session, topic_filter: str, qos: int) -> int:
        """Subscribe for a session as its host, past the gates; gives the granted QoS, or 0x80 for what is no filter."""
        _, inner = topics.unshared(topic_filter)
        if topics.filter_error(inner, self._settings.max_topic_levels) is not None:
            return 0x80
        made = self._made(session, Wanted(topic_filter, min(qos, 2)), None, SubscribeGrant(inner))
        if isinstance(made, Refused):
            return 0x80
        self._put(made)
        return made.qos

    def recheck(self, session: Session) -> None:
        """Ask the authorizers anew about everything that the session may do."""
        if session.connection is not None:
            session.connection.forget_routes()
        for subscription in list(session.subscriptions.values()):
            verdict = self._verdict(session, subscription.requested)
            if isinstance(verdict, list):
                self._recheck_later(session, subscription, verdict)
            elif isinstance(verdict, Refused):
                self.remove(subscription)

    def remove(self, subscription: Subscription) -> None:
        """End one subscription."""
        journal = subscription.session.journal
        if journal is not None:
            journal.unsubscribed(subscription)
        del subscription.session.subscriptions[subscription.key]
        self._engine.delivery.router.remove(subscription)

    def _verdict(self, session: Session, requested: str) -> Verdict | list[Any]:
        _, inner = topics.unshared(requested)
        wrong = topics.filter_error(inner, self._settings.max_topic_levels)
        if wrong is not None:
            return Refused(Reason.TOPIC_FILTER_INVALID, wrong)
        return gates.subscribe_verdict(self._engine.authorizers, session, inner)

    def _recheck_later(self, session: Session, subscription: Subscription, verdict: list[Any]) -> None:
        def decided(settled: Verdict) -> None:
            if isinstance(settled, Refused) and session.subscriptions.get(subscription.key) is subscription:
                self.remove(subscription)

        if session.connection is not None:
            asked = gates.settled_verdict(verdict, self._settings.gate_timeout_s)
            self._engine.later(session.connection, asked, decided)

    def _subscribed(
        self,
        connection: Connection,
        session: Session,
        packet_id: int,
        wanted: Sequence[Wanted],
        identifier: int | None,
        verdicts: Sequence[Any],
    ) -> None:
        if session.connection is not connection:
            return
        codes: list[int] = []
        granted: list[Granted] = []
        for one, answer in zip(wanted, verdicts, strict=True):
            made = self._made(session, one, identifier, answer)
            if isinstance(made, Refused):
                codes.append(made.reason if connection.level == LEVEL_5 else 0x80)
                self._engine.observers.refused(session, Action.SUBSCRIBE, one.topic_filter, made)
                continue
            known = session.subscriptions.get(made.key)
            fresh = known is None
            if known is not None and known.same(made):  # as clients do that subscribe at each start
                made = known
            else:
                self._put(made)  # [MQTT-3.8.4-3]
            codes.append(made.qos)
            # A shared subscription gets nothing of what is retained: section 4.8.2.
            granted.append((made, made.group is None and one.retain_handling < (2 if fresh else 1)))
        if session.journal is None or all(subscription.stored for subscription, _ in granted):
            self._answered(connection, packet_id, codes, granted)
        else:
            session.journal.decide(lambda stored: self._stored(connection, packet_id, codes, granted, stored))

    def _stored(
        self, connection: Connection, packet_id: int, codes: list[int], granted: Sequence[Granted], stored: bool
    ) -> None:
        """The subscriptions are on disk, or could not be written: then those that are not there are refused."""
        places = [index for index, code in enumerate(codes) if code < Reason.UNSPECIFIED]
        for index, (subscription, _) in zip(places, granted, strict=True):
            subscription.stored = subscription.stored or stored
            if not subscription.stored:
                codes[index] = int(Reason.QUOTA_EXCEEDED) if connection.level == LEVEL_5 else 0x80
                self._engine.stats.store_refused += 1
                if subscription.session.subscriptions.get(subscription.key) is subscription:
                    self.remove(subscription)
        if connection.open:
            self._answered(connection, packet_id, codes, [one for one in granted if one[0].stored])

    def _answered(
        self, connection: Connection, packet_id: int, codes: Sequence[int], granted: Sequence[Granted]
    ) -> None:
        connection.subscribed(packet_id, codes)
        for subscription, with_retained in granted:
            session = subscription.session
            if with_retained:
                self._engine.delivery.send_retained(session, subscription)
            self._engine.observers.subscribed(session, subscription.topic_filter, subscription.qos)

    def restore(self, subscription: Subscription) -> None:
        """Put back a subscription that was read from disk."""
        subscription.session.subscriptions[subscription.key] = subscription
        self._engine.delivery.router.add(subscription)

    def _put(self, subscription: Subscription) -> None:
        self.restore(subscription)
        journal = subscription.session.journal
        if journal is not None:
            journal.subscribed(subscription)

    def _made(self, session: Session, one: Wanted, identifier: int | None, verdict: Verdict) -> Subscription | Refused:
        if isinstance(verdict, Refused):
            return verdict
        group, _ = topics.unshared(one.topic_filter)
        made = Subscription(
            session=session,
            topic_filter=verdict.topic_filter,
            levels=tuple(verdict.topic_filter.split("/")),
            qos=min(one.qos, verdict.max_qos),
            shown=verdict.shown,
            requested=one.topic_filter,
            group=group,
            no_local=one.no_local,
            retain_as_published=one.retain_as_published,
            identifier=identifier,
        )
        limit = self._settings.max_subscriptions
        if made.key not in session.subscriptions and len(session.subscriptions) >= limit:
            return Refused(Reason.QUOTA_EXCEEDED, f"at most {limit} subscriptions")
        return made


async def _all_settled(verdicts: Sequence[Any], timeout_s: float) -> list[Any]:
    return [await gates.settled_verdict(v, timeout_s) if isinstance(v, list) else v for v in verdicts]
