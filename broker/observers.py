"""Tells a host's observers. They are told last and can break nothing; a kind that nobody implements costs an empty loop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.hooks import (
    Action,
    AttachObserver,
    ConnectRequest,
    DeliveryObserver,
    DetachCause,
    DuelObserver,
    Peer,
    RefusalObserver,
    Refused,
    SubscriptionObserver,
)
from broker.stats import BrokerStats

if TYPE_CHECKING:
    from broker.session import Session

log = logging.getLogger(__name__)


class Observers:
    """All observers of a broker, by what they hear."""

    def __init__(self, observers: Sequence[object], stats: BrokerStats) -> None:
        self._attach = [o for o in observers if isinstance(o, AttachObserver)]
        self._subscription = [o for o in observers if isinstance(o, SubscriptionObserver)]
        self._delivery = [o for o in observers if isinstance(o, DeliveryObserver)]
        self._refusal = [o for o in observers if isinstance(o, RefusalObserver)]
        self._duel = [o for o in observers if isinstance(o, DuelObserver)]
        self._stats = stats

    def attached(self, session: Session, session_present: bool) -> None:
        """A client is connected."""
        self._tell(self._attach, "on_attached", session, session_present)

    def detached(self, session: Session, cause: DetachCause) -> None:
        """A connection has ended."""
        self._tell(self._attach, "on_detached", session, cause)

    def subscribed(self, session: Session, topic_filter: str, qos: int) -> None:
        """A subscription was granted."""
        self._tell(self._subscription, "on_subscribed", session, topic_filter, qos)

    def unsubscribed(self, session: Session, topic_filter: str) -> None:
        """A subscription has ended."""
        self._tell(self._subscription, "on_unsubscribed", session, topic_filter)

    def delivered(self, session: Session, tag: object) -> None:
        """A tagged message is acknowledged."""
        self._tell(self._delivery, "on_delivered", session, tag)

    def dropped(self, session: Session, topic: bytes, why: str) -> None:
        """A message to a session was dropped."""
        self._stats.dropped += 1
        self._tell(self._delivery, "on_dropped", session, topic.decode(), why)

    def refused(self, session: Session, action: Action, topic: str, refused: Refused) -> None:
        """A publish or subscription was refused."""
        self._stats.denied += 1
        self._stats.denials[action.value, refused.reason.name.lower()] += 1
        self._tell(self._refusal, "on_refused", session, action, topic, refused)

    def connect_refused(self, request: ConnectRequest, refused: Refused) -> None:
        """A CONNECT was refused."""
        self._stats.refused += 1
        self._stats.refusals[refused.reason.name.lower()] += 1
        self._tell(self._refusal, "on_connect_refused", request, refused)

    def duel(self, session: Session, refused: Peer) -> None:
        """Several clients take one id from each other."""
        self._stats.duels += 1
        self._tell(self._duel, "on_duel", session, refused)

    def _tell(self, observers: Sequence[object], what: str, *arguments: object) -> None:
        for observer in observers:
            try:
                getattr(observer, what)(*arguments)
            except Exception:
                log.exception("an observer failed", extra={"observer": type(observer).__name__, "hook": what})
