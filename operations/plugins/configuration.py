"""The configuration plane: keeps each attached endpoint on its effective configuration and its ledger true.

One rule decides what is sent, whatever happened before (`bring`): an endpoint that does not hold what it should have, and
has not been sent it on this connection, is sent it, unless it refused it and the wait is not over. Attach, hello, subscription, every
change and every retry only call that rule. An endpoint holds what its hello said, and without a hello what it last reported as applied, and
that surely only if it was sent nothing else since.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from akela.contract import topics
from akela.contract.codes import Code
from akela.contract.errors import ContractError
from akela.contract.payloads import AppliedReport, decode_json
from akela.contract.topics import ConfigApplied, ConfigGet, Up
from broker import Session
from broker.properties import Properties
from operations.downlink import Downlink
from operations.effective import Configurations, Effective, Unservable
from operations.endpoint_writer import EndpointWriter
from operations.ledger import Attempts, Cause
from operations.planes import when_durable
from operations.plugins.values import ValuesPlane
from operations.principals import Endpoint
from operations.retries import RetryPolicy, may_send
from operations.timer import Timer

JSON: Final = Properties(content_type="application/json")
AVRO: Final = Properties(content_type="application/avro")
PUSHED: Final = "/d/config"  # end of the topic of a push, under either name

PASSING: Final = frozenset({"assigned", "sent", "delivered"})  # states that a report follows, and no attach looks at


class Sent:
    """Tag of a pushed configuration: comes back when the endpoint has acknowledged it."""

    __slots__ = ("endpoint", "id")

    def __init__(self, endpoint: Endpoint, number: str) -> None:
        self.endpoint = endpoint
        self.id = number


class Due(NamedTuple):
    """An endpoint whose configuration `id`, sent again `tries` times, has not been applied when the wait is over."""

    endpoint: Endpoint
    id: str
    cause: Cause
    tries: int


class ConfigurationPlane:
    """Serves `u/config/get/{rid}` and `u/config/applied`, pushes `d/config`."""

    name = "configuration"
    requests: tuple[type[Up], ...] = (ConfigGet, ConfigApplied)

    def __init__(
        self,
        downlink: Downlink,
        writer: EndpointWriter,
        configurations: Configurations,
        policy: RetryPolicy,
        values: ValuesPlane,
    ) -> None:
        self._values = values
        self._downlink = downlink
        self._writer = writer
        self._configurations = configurations
        self._policy = policy
        self._timer: Timer[Due] = Timer(self._due)

    def close(self) -> None:
        """Send nothing again any more."""
        self._timer.close()

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Serve one request of this plane."""
        if isinstance(request, ConfigGet):
            return self._get(endpoint, request)
        return self._report(endpoint, decode_json(payload), ticket)

    def on_delivered(self, session: Session, tag: object) -> None:
        """The endpoint has acknowledged a push; now it has some time to say that it applied it."""
        if not isinstance(tag, Sent):
            return
        present = session.principal  # another object than at the time of the push, if the session has been resumed
        endpoint = present if isinstance(present, Endpoint) else tag.endpoint
        ledger = endpoint.ledger
        endpoint.acked = endpoint.acked or endpoint.sent_now == tag.id
        self._note(endpoint, "delivered", tag.id)
        known = ledger.attempts
        if ledger.assigned == tag.id and ledger.refused != tag.id and not (known is not None and known.held):
            tries = 0 if known is None else known.tries
            self._timer.put(self._policy.wait_s("silent", tries), Due(endpoint, tag.id, "silent", tries))

    def on_dropped(self, session: Session, topic: str, why: str) -> None:
        """A message to an endpoint was dropped; a configuration goes out again when the endpoint comes back."""
        endpoint = session.principal
        if not isinstance(endpoint, Endpoint):
            return
        if topic.endswith(PUSHED):
            endpoint.sent_now = None
            self._unservable(endpoint, Unservable(f"dropped: {why}"), Code.UNAVAILABLE)
        self._downlink.observe(endpoint.app, endpoint.ep, "dropped", {"topic": topic, "why": why})

    def bring(self, endpoint: Endpoint) -> None:
        """Send the endpoint its configuration if it lacks it, and note in the ledger what it should have."""
        if endpoint.device:
            self._values.settle(endpoint)
        target = self._target(endpoint)
        if target is None or endpoint.session is None:
            return
        if isinstance(target, Unservable):
            self._unservable(endpoint, target, Code.CONFLICT)
            return
        self._assign(endpoint, target)
        if _surely_held(endpoint) == target.id:
            self._servable(endpoint)
            if endpoint.ledger.applied != target.id or endpoint.ledger.unsure:
                self._applied(endpoint, target.id)
        elif endpoint.sent_now != target.id:
            if may_send(endpoint.ledger.attempts, datetime.now(UTC)):
                self._push(endpoint, target)
            else:
                self._wait(endpoint)

    def again(self, endpoint: Endpoint) -> None:
        """An operator asks to try again: what was held or waits is sent now, if the endpoint still lacks it."""
        known, endpoint.ledger.attempts = endpoint.ledger.attempts, None
        if known is not None:
            endpoint.sent_now = None
            self._unhold(endpoint, known)
        self.bring(endpoint)

    def _target(self, endpoint: Endpoint) -> Effective | Unservable | None:
        return None if endpoint.cohort is None else self._configurations.of(endpoint.cohort)

    def _assign(self, endpoint: Endpoint, target: Effective) -> None:
        ledger = endpoint.ledger
        if ledger.assigned != target.id:
            ledger.assigned = target.id
            self._note(endpoint, "assigned", target.id, seq=self._configurations.position)
        if ledger.attempts is not None and ledger.attempts.id != target.id:
            known, ledger.attempts = ledger.attempts, None
            self._unhold(endpoint, known)

    def _push(self, endpoint: Endpoint, target: Effective) -> None:
        avro = endpoint.fmt == "avro"
        base = _surely_held(endpoint)
        payload = self._configurations.payload(endpoint.app, target, base, avro=avro)
        if endpoint.max_size is not None and len(payload) > endpoint.max_size:
            reason = f"{len(payload)} bytes; the endpoint takes {endpoint.max_size}"
            self._unservable(endpoint, Unservable(reason, "max"), Code.TOO_LARGE)
            return
        topic = topics.down(endpoint.app, endpoint.ep, "config")
        endpoint.sent_now, endpoint.sent_base, endpoint.acked = target.id, base, False
        content = AVRO if avro else JSON
        if not self._downlink.push(endpoint, topic, payload, tag=Sent(endpoint, target.id), content=content):
            endpoint.sent_now = None
        if endpoint.sent_now is None:  # no subscription takes it, or it was dropped
            return
        endpoint.ledger.sent = target.id
        self._servable(endpoint)
        if base is None and endpoint.holds is not None:
            self._lose_track(endpoint)
        known = endpoint.ledger.attempts
        self._note(endpoint, "sent", target.id, **(_behind(endpoint, known) if known is not None else {}))

    def _lose_track(self, endpoint: Endpoint) -> None:
        """It was sent one thing after another and has not said what became of it: what it applied last tells nothing any more."""
        endpoint.holds = None
        if not endpoint.ledger.unsure:
            endpoint.ledger.unsure = True
            self._writer.set(endpoint.key, {"config.unsure": True})

    def _wait(self, endpoint: Endpoint) -> None:
        """It was refused before: have it sent when the wait is over."""
        known = endpoint.ledger.attempts
        if known is None or known.held or known.due is None or known.planned:
            return
        known.planned = True
        wait_s = max(0.0, (known.due - datetime.now(UTC)).total_seconds())
        self._timer.put(wait_s, Due(endpoint, known.id, "refused", known.tries))

    def _due(self, due: Due) -> None:
        """A wait is over. Nothing follows if anything has changed since it began: then somebody else has decided."""
        endpoint, ledger = due.endpoint, due.endpoint.ledger
        known = ledger.attempts
        tries = 0 if known is None else known.tries
        if endpoint.session is None or ledger.assigned != due.id or endpoint.holds == due.id or tries != due.tries:
            return
        if due.cause == "refused" and known is not None and known.cause == "refused" and not known.held:
            ledger.attempts = Attempts(due.id, "refused", tries + 1)
        elif due.cause == "silent" and ledger.refused != due.id and (known is None or not known.held):
            ledger.attempts = self._policy.silent(known, due.id)
        else:
            return
        if ledger.attempts.held:
            self._hold(endpoint, ledger.attempts)
        else:
            endpoint.sent_now = None
            self.bring(endpoint)

    def _get(self, endpoint: Endpoint, request: ConfigGet) -> bool:
        target = self._target(endpoint)
        if target is None:
            raise ContractError("the application has no configuration schema", code=Code.NOT_FOUND)
        if isinstance(target, Unservable):
            raise ContractError(target.reason, code=Code.CONFLICT, key=target.key)
        self._assign(endpoint, target)
        body = {"id": target.id, "seq": self._configurations.position, "full": msgspec.Raw(target.body)}
        self._downlink.answer(endpoint, request.rid, Code.OK, body)
        return True

    def _report(self, endpoint: Endpoint, body: Any, ticket: int) -> bool:
        report = AppliedReport.from_json(body)
        ledger = endpoint.ledger
        if report.id != ledger.assigned:
            reason = f"configuration {report.id} is not the assigned one ({ledger.assigned})"
            raise ContractError(reason, code=Code.CONFLICT, key="id")
        then = self._values.applied(endpoint, body)
        told = when_durable(endpoint, ticket, then, self._refuser(endpoint))
        if report.code < 300:
            endpoint.holds = report.id
            self._applied(endpoint, report.id, told)
        else:
            self._refused(endpoint, report, told)
        return False

    def _applied(self, endpoint: Endpoint, number: str, told: Callable[[bool], None] | None = None) -> None:
        ledger = endpoint.ledger
        known, ledger.attempts = ledger.attempts, None
        ledger.applied, ledger.refused = number, None
        fields: dict[str, Any] = {
            "config.applied": {"id": number, "at": self._moment(endpoint)},
            "config.refused": None,
        }
        if known is not None and known.held:
            fields["config.held"] = None
        if ledger.unsure:
            ledger.unsure, fields["config.unsure"] = False, None
        self._writer.set(endpoint.key, fields, told)
        self._observe(endpoint, "applied", number, {})

    def _refused(self, endpoint: Endpoint, report: AppliedReport, told: Callable[[bool], None]) -> None:
        ledger = endpoint.ledger
        known, ledger.refused = ledger.attempts, report.id
        if ledger.sent == report.id:
            ledger.sent = None  # it holds what it held before
        ledger.attempts = self._policy.refused(known, report.id, datetime.now(UTC))
        more = {"code": report.code, "key": report.key, "reason": report.reason}
        behind = _behind(endpoint, ledger.attempts) | {"next": ledger.attempts.due}
        entry = {"id": report.id, "at": self._moment(endpoint), **more, **behind}
        self._writer.set(endpoint.key, {"config.refused": entry}, told)
        self._observe(endpoint, "refused", report.id, more)
        if not ledger.attempts.held:
            self._wait(endpoint)
        elif known is None or not known.held:
            self._hold(endpoint, ledger.attempts)

    def _hold(self, endpoint: Endpoint, attempts: Attempts) -> None:
        more = {"tries": attempts.tries, "cause": attempts.cause}
        retry = {"retry": endpoint.retry} if endpoint.retry else {}
        entry = {"id": attempts.id, "at": self._moment(endpoint), **more, **retry}
        self._writer.set(endpoint.key, {"config.held": entry})
        self._observe(endpoint, "held", attempts.id, more)

    def _unhold(self, endpoint: Endpoint, attempts: Attempts) -> None:
        if attempts.held:
            self._writer.set(endpoint.key, {"config.held": None})

    def _unservable(self, endpoint: Endpoint, why: Unservable, code: Code) -> None:
        """There is nothing that could be sent: operators are told once, whatever asks again."""
        ledger = endpoint.ledger
        if ledger.unservable == why.reason:
            return
        ledger.unservable = why.reason
        entry = {"id": ledger.assigned, "at": self._moment(endpoint), "reason": why.reason}
        self._writer.set(endpoint.key, {"config.unservable": entry})
        told = {"plane": self.name, "code": int(code), "reason": why.reason, "key": why.key}
        self._downlink.observe(endpoint.app, endpoint.ep, "refused", told)
        self._observe(endpoint, "unservable", ledger.assigned, {"reason": why.reason})

    def _servable(self, endpoint: Endpoint) -> None:
        if endpoint.ledger.unservable is not None:
            endpoint.ledger.unservable = None
            self._writer.set(endpoint.key, {"config.unservable": None})

    def _moment(self, endpoint: Endpoint) -> datetime:
        """The present time, for an entry of the endpoint's ledger."""
        endpoint.ledger.at = self._writer.moment()
        return endpoint.ledger.at

    def _refuser(self, endpoint: Endpoint) -> Callable[[ContractError], None]:
        return lambda error: self._downlink.refuse(endpoint, self.name, None, error)

    def _note(self, endpoint: Endpoint, state: str, number: str, **more: object) -> None:
        fields = {f"config.{state}": {"id": number, "at": self._moment(endpoint), **more}}
        self._writer.set(endpoint.key, fields, patient=state in PASSING and "tries" not in more)
        self._observe(endpoint, state, number, {})

    def _observe(self, endpoint: Endpoint, state: str, number: str | None, more: Mapping[str, Any]) -> None:
        self._downlink.observe(endpoint.app, endpoint.ep, "config", {"state": state, "id": number, **more})


def _surely_held(endpoint: Endpoint) -> str | None:
    """What the endpoint surely holds: one that was sent something since may hold that, and has not said so yet."""
    return endpoint.holds if endpoint.ledger.sent in (None, endpoint.holds) else None


def _behind(endpoint: Endpoint, attempts: Attempts) -> dict[str, Any]:
    """How often it was sent again, and behind which request of an operator."""
    retry = {"retry": endpoint.retry} if endpoint.retry else {}
    return {"tries": attempts.tries} | retry
