"""Wills: checked when the client connects, published when it goes without a word, or some time later (MQTT 5.0, section 3.1.2.5)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from broker import gates, topics
from broker.delivery import Publication, Route
from broker.hooks import PublishGrant, Refused, Will
from broker.reasons import Reason
from broker.session import Session

if TYPE_CHECKING:
    from broker.engine import Engine

log = logging.getLogger(__name__)


class Wills:
    """The wills of all sessions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def refused(self, session: Session) -> Refused | None:
        """Why the session may not have its will, or None. A gate that needs time decides when it is published."""
        will = session.will
        if will is None:
            return None
        wrong = topics.name_error(will.topic, self._engine.settings.max_topic_levels)
        if wrong is not None:
            return Refused(Reason.TOPIC_NAME_INVALID, wrong)
        verdict = gates.publish_verdict(self._engine.authorizers, session, will.topic)
        return verdict if isinstance(verdict, Refused) else None

    def connection_lost(self, session: Session, now_s: float) -> None:
        """The client has gone: publish its will now, or when its delay is over, or when the session ends if that is sooner."""
        will = session.will
        if will is None:
            return
        if will.delay_s and session.expiry_s:  # [MQTT-3.1.2-8]
            session.will_due_s = now_s + min(will.delay_s, session.expiry_s)
        else:
            self.publish(session)

    def restored(self, session: Session) -> None:
        """A session was read from disk: whatever became of its client, the connection is lost."""
        if session.will is not None and session.detached_s is not None:
            session.will_due_s = session.detached_s + min(session.will.delay_s, session.expiry_s)

    def publish(self, session: Session) -> None:
        """Publish the session's will, once."""
        will, session.will = session.will, None
        session.will_due_s = None
        if will is None:
            return
        if session.journal is not None:
            session.journal.session(session)
        verdict = gates.publish_verdict(self._engine.authorizers, session, will.topic)
        if isinstance(verdict, list):
            asked = gates.settled_verdict(verdict, self._engine.settings.gate_timeout_s)
            self._engine.later(None, asked, lambda settled: self._decided(session, will, settled))
        else:
            self._decided(session, will, verdict)

    def _decided(self, session: Session, will: Will, verdict: PublishGrant | Refused) -> None:
        if isinstance(verdict, Refused):
            return
        route = Route(verdict.topic)
        route.routed = verdict.route
        if verdict.handler is not None:
            try:
                verdict.handler(session, route.topic, will.payload, will.qos, 0)
            except Exception:
                log.exception("a will's handler failed", extra={"client": session.client_id})
        expires_s = None if will.expiry_s is None else self._engine.clock() + will.expiry_s
        said = Publication(will.properties, expires_s)
        retain = will.retain and verdict.retain  # [MQTT-3.1.2-15]
        self._engine.delivery.route(route, will.payload, will.qos, retain, said, session)
