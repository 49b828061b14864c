"""The data collection plane: records into streams, acknowledged when they are stored.

A message with an rid is answered by it; one without is answered by its PUBACK alone, and by `d/err/...` for what was
refused. Of an array with bad records the good ones are stored, and each bad one is named.
"""

from collections.abc import Sequence
from typing import Any, Final

from akela.contract.codes import Code
from akela.contract.errors import ContractError, PayloadError
from akela.contract.payloads import decode_json, decode_payload
from akela.contract.topics import LogRecords, Up, Value
from operations.catalog import Catalog, Entry
from operations.downlink import Downlink
from operations.planes import when_durable
from operations.principals import Endpoint
from operations.records import RecordWriter

MAX_REFUSED_SHOWN: Final = 20  # bad records named in one answer
RETRY_S: Final = 5.0


class DataPlane:
    """Serves `u/log/{stream}[/{rid}]` and `u/value/{name}`."""

    name = "data"
    requests: tuple[type[Up], ...] = (LogRecords, Value)

    def __init__(self, downlink: Downlink, writer: RecordWriter, catalog: Catalog) -> None:
        self._downlink = downlink
        self._writer = writer
        self._catalog = catalog

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Store the message's records."""
        entry = self._catalog.entry(endpoint.app)
        if entry is None:
            raise ContractError("the application is gone", code=Code.GONE)
        if isinstance(request, Value):
            stream, rid = entry.application.default_stream, None
            records: Sequence[object] = [{"name": request.name, "value": bare_value(payload)}]
        else:
            assert isinstance(request, LogRecords)
            stream, rid = request.stream, request.rid
            records = as_records(decode_payload(payload))
        good, refused = self._sorted(entry, stream, records)
        if refused and not good:
            self._answer_refused(endpoint, rid, 0, refused)
            return True
        return self._store(endpoint, stream, rid, (good, refused), ticket)

    def _store(
        self,
        endpoint: Endpoint,
        stream: str,
        rid: str | None,
        verdict: tuple[Sequence[object], Sequence[dict[str, Any]]],
        ticket: int,
    ) -> bool:
        good, refused = verdict
        if self._writer.full(endpoint.app, stream):
            error = ContractError("the database does not keep up", code=Code.TOO_MANY)
            self._downlink.refuse(endpoint, self.name, rid, error, retry_s=RETRY_S)
            # A QoS 1 message stays unacknowledged: it is the sender's until it is stored.
            if ticket and endpoint.session is not None:
                endpoint.session.abandon(ticket)
            return not ticket

        def stored() -> None:
            if refused:
                self._answer_refused(endpoint, rid, len(good), refused)
            else:
                self._downlink.answer(endpoint, rid, Code.OK, {"stored": len(good)})

        def never(error: ContractError) -> None:
            self._downlink.refuse(endpoint, self.name, rid, error)

        self._writer.add(endpoint.app, stream, endpoint.ep, good, when_durable(endpoint, ticket, stored, never))
        return False

    def _sorted(
        self, entry: Entry, stream: str, records: Sequence[object]
    ) -> tuple[list[object], list[dict[str, Any]]]:
        schema = entry.schema("log", stream)
        if schema is None:
            if stream != entry.application.default_stream:
                raise ContractError(f"no stream {stream}: add a log schema of this name", code=Code.NOT_FOUND)
            return list(records), []
        good, refused = [], []
        for index, record in enumerate(records):
            problems = schema.parsed.validate(record)
            if problems:
                refused.append({"index": index, "path": problems[0].path, "reason": problems[0].reason})
            else:
                good.append(record)
        return good, refused

    def _answer_refused(
        self, endpoint: Endpoint, rid: str | None, stored: int, refused: Sequence[dict[str, Any]]
    ) -> None:
        first = refused[0]
        if rid is None:
            more = f" (record {first['index']}, {len(refused)} refused)" if stored or len(refused) > 1 else ""
            error = ContractError(first["reason"] + more, code=Code.UNPROCESSABLE, key=first["path"])
            self._downlink.refuse(endpoint, self.name, None, error)
            return
        body = {"stored": stored, "refused": refused[:MAX_REFUSED_SHOWN], "refused_count": len(refused)}
        self._downlink.answer(endpoint, rid, Code.UNPROCESSABLE, body)
        self._downlink.observe(
            endpoint.app,
            endpoint.ep,
            "refused",
            {"plane": self.name, "code": int(Code.UNPROCESSABLE), "reason": first["reason"], "key": first["path"]},
        )


def as_records(value: object) -> Sequence[object]:
    """One record or an array of them. Raises: PayloadError for an empty array."""
    if isinstance(value, list):
        if not value:
            raise PayloadError("an array of records holds at least one", code=Code.BAD_REQUEST)
        return value
    return [value]


def bare_value(payload: bytes) -> object:
    """A number, true, false or null as JSON writes them; everything else is text. Raises: PayloadError."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(
            f"a value is UTF-8 text: {error.reason} at byte {error.start}", code=Code.BAD_REQUEST
        ) from error
    try:
        value = decode_json(payload)
    except PayloadError:
        return text  # text that is no JSON; what no database keeps is refused when it is stored
    if isinstance(value, dict | list):
        raise PayloadError("u/value takes one bare value; send records to u/log/{stream}", code=Code.BAD_REQUEST)
    return value
