"""The plane of values that devices set: judges what they report, keeps it, lets it go when it stands no more.

The rules are `akela.contract.authority`'s. What stands is in memory with the endpoint and in the stored `device` and `held_values`, which
this server owns while the endpoint is attached; operators' verdicts come in Control's `decided`. `settle` lets go what stands no more,
whatever the reason; it is asked before anything is sent (`ConfigurationPlane.bring`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from akela.contract.authority import Judged, Ruling, Verdict, device_id, judge, standing
from akela.contract.avro import ParsedSchema
from akela.contract.codes import Code
from akela.contract.device_values import ValuesReport, next_end
from akela.contract.errors import ContractError
from akela.contract.payloads import decode_json
from akela.contract.topics import ConfigReport, Up
from operations.attached import Attached
from operations.catalog import Catalog
from operations.cohorts import Cohorts
from operations.downlink import Downlink
from operations.effective import Configurations
from operations.endpoint_writer import EndpointWriter
from operations.lease_ends import LeaseEnds
from operations.planes import when_durable
from operations.principals import NOTHING, Endpoint

MAX_SLEEP_S: Final = 3600.0
SLICE: Final = 100  # endpoints whose leases end in one turn of the loop
SERVERS: Final = "the server decides this value"

Bring = Callable[[Endpoint], None]
Told = Callable[[], None]


class ValuesPlane:
    """Serves `u/config/report[/{rid}]`, and the values in `u/config/applied`."""

    name = "values"
    requests: tuple[type[Up], ...] = (ConfigReport,)

    def __init__(
        self,
        downlink: Downlink,
        writer: EndpointWriter,
        catalog: Catalog,
        configurations: Configurations,
        attached: Attached,
    ) -> None:
        self._downlink = downlink
        self._writer = writer
        self._catalog = catalog
        self._configurations = configurations
        self._attached = attached
        self._ends = LeaseEnds()
        self._timer: asyncio.TimerHandle | None = None
        self.cohorts: Cohorts | None = None  # set once it exists, as is `bring`
        self.bring: Bring = lambda endpoint: None

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Judge a report; the answer and the acknowledgement follow the write."""
        assert isinstance(request, ConfigReport)
        judged = self._judged(endpoint, decode_json(payload))
        fields = self._take(endpoint, judged)
        told = self._teller(endpoint, judged.rulings, request.rid)
        if not fields:
            told()
            return True

        def never(error: ContractError) -> None:
            self._downlink.refuse(endpoint, self.name, request.rid, error)

        self._writer.set(endpoint.key, fields, when_durable(endpoint, ticket, told, never))
        return False

    def applied(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Told:
        """Judge the values in an `applied` report, if there are any; gives what to call when the report, written next, is stored."""
        if "values" not in body:
            return _nothing
        try:
            judged = self._judged(endpoint, body)
        except ContractError as error:  # the configuration is applied all the same
            self._downlink.refuse(endpoint, self.name, None, error)
            return _nothing
        self._store(endpoint, self._take(endpoint, judged))
        return self._teller(endpoint, judged.rulings, None)

    def settle(self, endpoint: Endpoint) -> None:
        """Let go what stands no more: leases that ended, what layers overtook, what operators decided."""
        found = self._ground(endpoint)
        if found is None:
            return
        judged = standing(*found, endpoint.device, endpoint.decided, datetime.now(UTC))
        self._store(endpoint, self._take(endpoint, judged))
        self._follow(endpoint)
        for ruling in judged.rulings:
            if ruling.verdict is Verdict.REJECTED:
                self._refuse(endpoint, ruling)
                self._correct(endpoint)

    def close(self) -> None:
        """End the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _store(self, endpoint: Endpoint, fields: Mapping[str, Any]) -> None:
        if fields:
            self._writer.set(endpoint.key, fields)

    def _ground(self, endpoint: Endpoint) -> tuple[ParsedSchema, Mapping[str, Any]] | None:
        """The configuration schema, and what the layers alone make for the endpoint; None where there is no configuration."""
        entry = self._catalog.entry(endpoint.app)
        schema = None if entry is None else entry.schema("config")
        below = None if endpoint.cohort is None else self._configurations.below(endpoint.cohort)
        return None if schema is None or below is None else (schema.parsed, below)

    def _judged(self, endpoint: Endpoint, body: object) -> Judged:
        now = datetime.now(UTC)
        report = ValuesReport.from_json(body, now)
        if endpoint.device:
            self.settle(endpoint)
        found = self._ground(endpoint)
        if found is None:
            raise ContractError("the application has no configuration schema", code=Code.CONFLICT)
        return judge(*found, endpoint.device, report, now)

    def _take(self, endpoint: Endpoint, judged: Judged) -> Mapping[str, Any]:
        """Make it what stands, and tell operators what has changed; gives the fields to store."""
        for ruling in judged.rulings:
            if ruling.changed:
                body = {"state": "device", "path": ruling.path, "verdict": ruling.verdict}
                told = body if ruling.id is None else body | {"value_id": ruling.id}
                self._downlink.observe(endpoint.app, endpoint.ep, "config", told)
        state = judged.state
        if state == endpoint.device:
            return NOTHING
        endpoint.device, endpoint.device_id = state, device_id(state.values)
        if self.cohorts is not None and endpoint.session is not None:
            self.cohorts.put(endpoint)
        self._follow(endpoint)
        return {
            "device": [value.to_stored() for value in state.values],
            "held_values": [value.to_stored() for value in state.proposals],
        }

    def _teller(self, endpoint: Endpoint, rulings: Sequence[Ruling], rid: str | None) -> Told:
        """What to do once a report is stored: answer, and bring the endpoint what it should have now."""
        rejected = [ruling for ruling in rulings if ruling.verdict is Verdict.REJECTED]

        def told() -> None:
            if rid is not None:
                code = Code.FORBIDDEN if rejected else Code.OK
                self._downlink.answer(endpoint, rid, code, self._answer(rulings))
            else:
                for ruling in rejected:
                    self._refuse(endpoint, ruling)
            fresh = [ruling for ruling in rejected if endpoint.tell_once(f"{endpoint.ledger.assigned} {ruling.path}")]
            if fresh:
                self._correct(endpoint)
            self.bring(endpoint)

        return told

    def _answer(self, rulings: Sequence[Ruling]) -> Mapping[str, Any]:
        def paths(verdict: Verdict) -> list[str]:
            return [ruling.path for ruling in rulings if ruling.verdict is verdict]

        held = {ruling.path: ruling.id for ruling in rulings if ruling.verdict is Verdict.HELD}
        body = {"accepted": paths(Verdict.ACCEPTED), "held": held, "withdrawn": paths(Verdict.WITHDRAWN)}
        rejected = paths(Verdict.REJECTED)
        if not rejected:
            return body
        return {"plane": self.name, "reason": SERVERS, "key": rejected[0], "rejected": rejected} | body

    def _refuse(self, endpoint: Endpoint, ruling: Ruling) -> None:
        error = ContractError(SERVERS, code=Code.FORBIDDEN, key=ruling.path)
        self._downlink.refuse(endpoint, self.name, None, error)

    def _correct(self, endpoint: Endpoint) -> None:
        """The endpoint runs something else than it should: it is to be sent the whole, once for each configuration and path."""
        endpoint.holds = endpoint.sent_now = None

    def _follow(self, endpoint: Endpoint) -> None:
        """Note when the endpoint's next lease ends."""
        state = endpoint.device
        self._ends.set(endpoint.key, next_end((*state.values, *state.proposals)))
        self._wake()

    def _wake(self) -> None:
        self.close()
        end = self._ends.next
        if end is not None:
            delay_s = (end - datetime.now(UTC)).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(min(max(delay_s, 0.0), MAX_SLEEP_S), self._ring)

    def _ring(self) -> None:
        for key in self._ends.due(datetime.now(UTC), SLICE):
            app, _, ep = key.partition("/")
            endpoint = self._attached.find(app, ep)
            if endpoint is not None:
                self.bring(endpoint)
        self._wake()


def _nothing() -> None:
    """Nothing is to be told."""
