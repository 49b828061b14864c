"""Asking the gates: each question to all of them, fail closed. The only place of the engine that waits.

A gate that raises or takes too long has refused; the client sees "server unavailable", the log the reason.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, Final

from broker.hooks import (
    Accepted,
    Authenticator,
    Authorizer,
    Challenge,
    ConnectRequest,
    EnhancedAuthenticator,
    PublishGrant,
    Refused,
    SubscribeGrant,
)
from broker.reasons import Reason
from broker.session import Session

log = logging.getLogger(__name__)

# What a gate that fails has said: each a reason that the packet which answers may carry (MQTT 5.0, section 2.4).
CONNECT_FAILED: Final = Refused(Reason.SERVER_UNAVAILABLE, "the gate cannot decide now")
TOPIC_FAILED: Final = Refused(Reason.NOT_AUTHORIZED, "the gate cannot decide now")


def authenticated(
    gates: Sequence[Authenticator], request: ConnectRequest, *, timeout_s: float
) -> Accepted | Refused | Awaitable[Accepted | Refused]:
    """The first gate's acceptance when every gate accepts; else the first refusal. Awaitable from the first gate on that needs time.

    A future of the only gate is given as it is: whoever waits for it minds its failure and the time-out (`broker.waiting`).
    """
    first: Accepted | None = None
    for index, gate in enumerate(gates):
        verdict = _asked(gate.authenticate, gate.name, CONNECT_FAILED, request)
        if not isinstance(verdict, Accepted | Refused):
            if len(gates) == 1 and isinstance(verdict, asyncio.Future):
                return verdict
            return _authenticated_later(verdict, gates[index:], request, first, timeout_s)
        if isinstance(verdict, Refused):
            return verdict
        first = first or verdict
    return first or Refused(Reason.NOT_AUTHORIZED, "nobody vouches for clients here")


async def _authenticated_later(
    answer: Any, gates: Sequence[Authenticator], request: ConnectRequest, first: Accepted | None, timeout_s: float
) -> Accepted | Refused:
    """`answer` is the first gate's; the others are asked after it has accepted."""
    verdict: Accepted | Refused = await _decided(answer, gates[0].name, CONNECT_FAILED, timeout_s)
    if isinstance(verdict, Refused):
        return verdict
    first = first or verdict
    if len(gates) == 1:
        return first
    following = authenticated(gates[1:], request, timeout_s=timeout_s)
    verdict = following if isinstance(following, Accepted | Refused) else await following
    return verdict if isinstance(verdict, Refused) else first


async def exchanged(
    gate: EnhancedAuthenticator, request: ConnectRequest, data: bytes | None, state: object, *, timeout_s: float
) -> Challenge | Accepted | Refused:
    """One step of an enhanced authentication."""
    verdict: Challenge | Accepted | Refused = await _decided(
        gate.exchange(request, data, state), gate.name, CONNECT_FAILED, timeout_s
    )
    return verdict


def publish_verdict(gates: Sequence[Authorizer], session: Session, topic: str) -> PublishGrant | Refused | list[Any]:
    """The verdict on a publish; a list when a gate needs time: hand it to `settled_verdict`."""
    answers = [_asked(gate.authorize_publish, gate.name, TOPIC_FAILED, session, topic) for gate in gates]
    verdict: PublishGrant | Refused | list[Any] = _combined(answers, PublishGrant(topic))
    return verdict


def subscribe_verdict(
    gates: Sequence[Authorizer], session: Session, topic_filter: str
) -> SubscribeGrant | Refused | list[Any]:
    """The verdict on a subscription; a list when a gate needs time: hand it to `settled_verdict`."""
    answers = [_asked(gate.authorize_subscribe, gate.name, TOPIC_FAILED, session, topic_filter) for gate in gates]
    verdict: SubscribeGrant | Refused | list[Any] = _combined(answers, SubscribeGrant(topic_filter))
    return verdict


async def settled_verdict(answers: Sequence[Any], timeout_s: float) -> Any:
    """The verdict when some of the answers take time."""
    return _first(
        [
            await _decided(answer, "authorizer", TOPIC_FAILED, timeout_s) if isawaitable(answer) else answer
            for answer in answers
        ]
    )


def _combined(answers: list[Any], default: Any) -> Any:
    if not answers:
        return default
    at_once = all(isinstance(answer, PublishGrant | SubscribeGrant | Refused) for answer in answers)
    return _first(answers) if at_once else answers


def _first(answers: Sequence[Any]) -> Any:
    return next((answer for answer in answers if isinstance(answer, Refused)), answers[0])


def _asked(ask: Callable[..., Any], name: str, failed: Refused, *question: object) -> Any:
    try:
        return ask(*question)
    except Exception:
        log.exception("gate failed, refusing", extra={"gate": name})
        return failed


async def _decided(answer: Awaitable[Any], name: str, failed: Refused, timeout_s: float) -> Any:
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except TimeoutError:
        log.error("gate is slow, refusing", extra={"gate": name, "timeout_s": timeout_s})  # noqa: TRY400  no failure to trace
    except Exception:
        log.exception("gate failed, refusing", extra={"gate": name})
    return failed
