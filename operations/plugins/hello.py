"""The hello plane: an endpoint announces what it runs and holds, and is told only what differs.

What an endpoint said of itself holds until it says otherwise, so a hello that says something new is acknowledged and answered when that is
stored: a server that is killed then takes nothing back.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from akela.contract.codes import Code
from akela.contract.errors import ContractError
from akela.contract.payloads import HelloPayload, decode_json
from akela.contract.topics import Hello, Up
from operations.attached import Attached
from operations.convergence import Convergence
from operations.downlink import Downlink
from operations.endpoint_writer import EndpointWriter
from operations.planes import when_durable
from operations.principals import NOTHING, Endpoint


class HelloPlane:
    """Serves `u/hello[/{rid}]`."""

    name = "hello"
    requests: tuple[type[Up], ...] = (Hello,)

    def __init__(
        self,
        downlink: Downlink,
        writer: EndpointWriter,
        attached: Attached,
        convergence: Convergence,
        planes: tuple[str, ...],
        max_payload: int,
    ) -> None:
        self._downlink = downlink
        self._writer = writer
        self._attached = attached
        self._convergence = convergence
        self._planes = planes
        self._max_payload = max_payload

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Take the announcement, answer with the server's time, limits and planes, then send what differs."""
        assert isinstance(request, Hello)
        hello = HelloPayload.from_json(decode_json(payload) if payload else {})
        self._compare(endpoint, hello)
        endpoint.said_hello = True
        endpoint.holds = hello.config
        fields = self._learn(endpoint, hello)

        def welcome() -> None:
            self._downlink.answer(endpoint, request.rid, Code.OK, self._welcome(endpoint, hello))
            if not endpoint.limited:
                self._attached.reachable(endpoint)

        def never(error: ContractError) -> None:
            self._downlink.refuse(endpoint, self.name, request.rid, error)

        if not fields:
            welcome()
            return True
        self._writer.set(endpoint.key, fields, when_durable(endpoint, ticket, welcome, never))
        return False

    def _compare(self, endpoint: Endpoint, hello: HelloPayload) -> None:
        """What was sent on this connection is sent again only if it is not underway, or not good for what the endpoint holds."""
        underway = endpoint.sent_now is not None and not endpoint.acked
        first = not endpoint.said_hello  # said again, it was lost: at QoS 0 nothing is acknowledged
        if not (underway and first and endpoint.sent_base in (None, hello.config) and hello.fmt == endpoint.fmt):
            endpoint.sent_now = None
        if not underway:
            endpoint.ledger.sent = None  # the endpoint's word counts

    def _learn(self, endpoint: Endpoint, hello: HelloPayload) -> Mapping[str, Any]:
        """What the endpoint runs, and the groups that follow from it: gives the fields to store, none if it is known already."""
        endpoint.max_size = hello.max_size
        runs = (hello.sdk, hello.versions) if hello.sdk or hello.versions else (endpoint.sdk, endpoint.versions)
        if (*runs, hello.fmt) == (endpoint.sdk, endpoint.versions, endpoint.fmt):
            return NOTHING
        (endpoint.sdk, endpoint.versions), endpoint.fmt = runs, hello.fmt
        endpoint.ledger.at = self._writer.moment()
        fields = {"sdk": endpoint.sdk, "versions": dict(endpoint.versions), "fmt": endpoint.fmt}
        return {**fields, **self._convergence.judge(endpoint)}

    def _welcome(self, endpoint: Endpoint, hello: HelloPayload) -> dict[str, Any]:
        wants = ["profile"] if hello.profile is not None and hello.profile != endpoint.profile_id else []
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "limits": {"payload": self._max_payload},
            "planes": list(self._planes),
            "wants": wants,
        }
