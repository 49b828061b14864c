"""The configuration plane: keeps each attached endpoint on its effective configuration and its ledger true.

One rule decides what is sent, whatever happened before (`bring`): an endpoint that does not hold what it should have, and
has not been sent it on this connection, is sent it. Attach, hello, subscription and every change only call
that rule. An endpoint holds what its hello said, and without a hello what it last reported as applied.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from akela.contract import topics
from akela.contract.codes import Code
from akela.contract.errors import ContractError
from akela.contract.payloads import AppliedReport, decode_json
from akela.contract.topics import ConfigApplied, ConfigGet, Up
from broker import Session
from operations.downlink import Downlink
from operations.effective import Configurations, Effective
from operations.endpoint_writer import EndpointWriter
from operations.planes import when_durable
from operations.principals import Endpoint


class Sent:
    """Tag of a pushed configuration: comes back when the endpoint has acknowledged it."""

    __slots__ = ("endpoint", "id")

    def __init__(self, endpoint: Endpoint, number: str) -> None:
        self.endpoint = endpoint
        self.id = number


class ConfigurationPlane:
    """Serves `u/config/get/{rid}` and `u/config/applied`, pushes `d/config`."""

    name = "configuration"
    requests: tuple[type[Up], ...] = (ConfigGet, ConfigApplied)

    def __init__(self, downlink: Downlink, writer: EndpointWriter, configurations: Configurations) -> None:
        self._downlink = downlink
        self._writer = writer
        self._configurations = configurations

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Serve one request of this plane."""
        if isinstance(request, ConfigGet):
            return self._get(endpoint, request)
        return self._report(endpoint, AppliedReport.from_json(decode_json(payload)), ticket)

    def on_delivered(self, session: Session, tag: object) -> None:
        """The endpoint has acknowledged a push."""
        if isinstance(tag, Sent):
            self._note(tag.endpoint, "delivered", tag.id)

    def on_dropped(self, session: Session, topic: str, why: str) -> None:
        """A message to an endpoint was dropped; a configuration goes out again when the endpoint comes back."""
        endpoint = session.principal
        if isinstance(endpoint, Endpoint):
            endpoint.sent_now = None
            self._downlink.observe(endpoint.app, endpoint.ep, "dropped", {"topic": topic, "why": why})

    def bring(self, endpoint: Endpoint) -> None:
        """Send the endpoint its configuration if it lacks it, and note in the ledger what it should have."""
        target = self._target(endpoint)
        if target is None or endpoint.session is None:
            return
        self._assign(endpoint, target)
        if endpoint.holds == target.id:
            if endpoint.ledger.applied != target.id:
                endpoint.ledger.applied = target.id
                self._note(endpoint, "applied", target.id)
        elif endpoint.sent_now != target.id:
            self._push(endpoint, target)

    def _target(self, endpoint: Endpoint) -> Effective | None:
        return None if endpoint.cohort is None else self._configurations.of(endpoint.cohort)

    def _assign(self, endpoint: Endpoint, target: Effective) -> None:
        if endpoint.ledger.assigned != target.id:
            endpoint.ledger.assigned = target.id
            self._note(endpoint, "assigned", target.id, seq=self._configurations.position)

    def _push(self, endpoint: Endpoint, target: Effective) -> None:
        payload = self._configurations.payload(endpoint.app, target, endpoint.holds)
        topic = topics.down(endpoint.app, endpoint.ep, "config")
        if self._downlink.push(endpoint, topic, payload, tag=Sent(endpoint, target.id)):
            endpoint.sent_now = endpoint.ledger.sent = target.id
            self._note(endpoint, "sent", target.id)

    def _get(self, endpoint: Endpoint, request: ConfigGet) -> bool:
        target = self._target(endpoint)
        if target is None:
            raise ContractError("the application has no configuration schema", code=Code.NOT_FOUND)
        self._assign(endpoint, target)
        body = {"id": target.id, "seq": self._configurations.position, "full": msgspec.Raw(target.body)}
        self._downlink.answer(endpoint, request.rid, Code.OK, body)
        return True

    def _report(self, endpoint: Endpoint, report: AppliedReport, ticket: int) -> bool:
        if report.id != endpoint.ledger.assigned:
            raise ContractError(
                f"configuration {report.id} is not the assigned one ({endpoint.ledger.assigned})",
                code=Code.CONFLICT,
                key="id",
            )
        more: dict[str, Any] = {}
        if report.code < 300:
            endpoint.holds = endpoint.ledger.applied = report.id
            endpoint.ledger.refused = None
            state = "applied"
        else:
            endpoint.ledger.refused = report.id
            state = "refused"
            more = {"code": report.code, "key": report.key, "reason": report.reason}
        fields: dict[str, Any] = {f"config.{state}": {"id": report.id, "at": self._writer.moment(), **more}}
        if state == "applied":
            fields["config.refused"] = None
        self._writer.set(endpoint.key, fields, when_durable(endpoint, ticket, _nothing, self._refuser(endpoint)))
        self._observe(endpoint, state, report.id, more)
        return False

    def _refuser(self, endpoint: Endpoint) -> Callable[[ContractError], None]:
        return lambda error: self._downlink.refuse(endpoint, self.name, None, error)

    def _note(self, endpoint: Endpoint, state: str, number: str, **more: object) -> None:
        self._writer.set(endpoint.key, {f"config.{state}": {"id": number, "at": self._writer.moment(), **more}})
        self._observe(endpoint, state, number, {})

    def _observe(self, endpoint: Endpoint, state: str, number: str, more: Mapping[str, Any]) -> None:
        self._downlink.observe(endpoint.app, endpoint.ep, "config", {"state": state, "id": number, **more})


def _nothing() -> None:
    """A report that is stored needs no answer but its acknowledgement."""
