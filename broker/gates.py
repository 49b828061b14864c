"""Asking the gates: each question to all of them, fail closed. The only place of the engine that waits.

A gate that raises or takes too long has refused; the client sees "server unavailable", the log the reason.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from inspect import isawaitable
from typing import TypeVar

from broker.hooks import Accepted, Authenticator, Authorizer, ConnectRequest, PublishGrant, Refused, SubscribeGrant
from broker.reasons import Reason
from broker.session import Session

log = logging.getLogger(__name__)

Grant = TypeVar("Grant", PublishGrant, SubscribeGrant)


async def authenticated(
    gates: Sequence[Authenticator], request: ConnectRequest, *, timeout_s: float
) -> Accepted | Refused:
    """The first gate's acceptance when every gate accepts; else the first refusal."""
    first: Accepted | None = None
    for gate in gates:
        verdict = await _decided(gate.authenticate(request), gate.name, timeout_s)
        if isinstance(verdict, Refused):
            return verdict
        first = first or verdict
    return first or Refused(Reason.NOT_AUTHORIZED, "nobody vouches for clients here")


def publish_verdict(
    gates: Sequence[Authorizer], session: Session, topic: str
) -> PublishGrant | Refused | list[PublishGrant | Refused | Awaitable[PublishGrant | Refused]]:
    """The verdict on a publish; a list when a gate needs time: hand it to `settled_verdict`."""
    return _combined([_asked(gate.authorize_publish, gate.name, session, topic) for gate in gates], PublishGrant(topic))


def subscribe_verdict(
    gates: Sequence[Authorizer], session: Session, topic_filter: str
) -> SubscribeGrant | Refused | list[SubscribeGrant | Refused | Awaitable[SubscribeGrant | Refused]]:
    """The verdict on a subscription; a list when a gate needs time: hand it to `settled_verdict`."""
    answers = [_asked(gate.authorize_subscribe, gate.name, session, topic_filter) for gate in gates]
    return _combined(answers, SubscribeGrant(topic_filter))


async def settled_verdict(
    answers: Sequence[Grant | Refused | Awaitable[Grant | Refused]], timeout_s: float
) -> Grant | Refused:
    """The verdict when some of the answers take time."""
    decided: list[Grant | Refused] = []
    for answer in answers:
        decided.append(await _decided(answer, "authorizer", timeout_s) if isawaitable(answer) else answer)
    return _first(decided)


def _combined(answers, default):  # type: ignore[no-untyped-def]
    if not answers:
        return default
    if any(isawaitable(answer) for answer in answers):
        return answers
    return _first(answers)


def _first(answers: Sequence[Grant | Refused]) -> Grant | Refused:
    for answer in answers:
        if isinstance(answer, Refused):
            return answer
    return answers[0]


def _asked(ask, name, session, topic):  # type: ignore[no-untyped-def]
    try:
        return ask(session, topic)
    except Exception:
        log.exception("gate failed, refusing", extra={"gate": name, "client": session.client_id})
        return Refused(Reason.NOT_AUTHORIZED, "the gate failed")


async def _decided(answer: Awaitable[object], name: str, timeout_s: float):  # type: ignore[no-untyped-def]
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except TimeoutError:
        log.error("gate is slow, refusing", extra={"gate": name, "timeout_s": timeout_s})
    except Exception:
        log.exception("gate failed, refusing", extra={"gate": name})
    return Refused(Reason.SERVER_UNAVAILABLE, "the gate cannot decide now")
