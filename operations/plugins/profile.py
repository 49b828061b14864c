"""The profile plane: the client-side profile, whole or as a merge patch, checked against the application's schema.

An endpoint that comes back while its profile is being written would be known by the profile before, because its document may have been
read by then. So what was taken is remembered until some time after it is stored, and told to the connection that follows.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from akela.contract.avro import ParsedSchema
from akela.contract.canonical import config_id
from akela.contract.codes import Code
from akela.contract.delta import apply
from akela.contract.errors import ContractError, PayloadError
from akela.contract.payloads import decode_payload
from akela.contract.topics import Profile, Up
from operations.catalog import Catalog
from operations.convergence import Convergence
from operations.downlink import Downlink
from operations.endpoint_writer import EndpointWriter
from operations.planes import when_durable
from operations.principals import Endpoint
from operations.timer import Timer

REMEMBERED_S: Final = 30.0  # behind the write: longer than a document that was read before it waits for its endpoint


class Fresh(NamedTuple):
    """A profile that was taken a short time ago."""

    profile: Mapping[str, Any]
    id: str
    at: datetime


class ProfilePlane:
    """Serves `u/profile[/{rid}]` and `u/profile/patch`."""

    name = "profile"
    requests: tuple[type[Up], ...] = (Profile,)

    def __init__(self, downlink: Downlink, writer: EndpointWriter, catalog: Catalog, convergence: Convergence) -> None:
        self._downlink = downlink
        self._writer = writer
        self._catalog = catalog
        self._convergence = convergence
        self._fresh: dict[str, Fresh] = {}
        self._forget: Timer[tuple[str, Fresh]] = Timer(self._old)

    def close(self) -> None:
        """Remember nothing."""
        self._forget.close()

    def on_attached(self, endpoint: Endpoint) -> None:
        """Its document was read some moments ago: a profile that is newer counts."""
        fresh = self._fresh.get(endpoint.key)
        if fresh is not None and (endpoint.profile_at is None or fresh.at >= endpoint.profile_at):
            endpoint.profile, endpoint.profile_id = fresh.profile, fresh.id

    def on_detached(self, endpoint: Endpoint) -> None:
        """Nothing follows from it."""

    def on_reachable(self, endpoint: Endpoint) -> None:
        """Nothing follows from it."""

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Store the profile and the groups that it makes, in one write; the acknowledgement and what follows come after it."""
        assert isinstance(request, Profile)
        value = decode_payload(payload, lambda number: self._schema_of(endpoint, number))
        profile = self._checked(endpoint, value, patch=request.patch)
        number = config_id(profile)

        def accepted() -> None:
            self._forget.put(REMEMBERED_S, (endpoint.key, fresh))
            self._downlink.answer(endpoint, request.rid, Code.OK, {"profile": number})
            self._downlink.observe(endpoint.app, endpoint.ep, "profile", {"id": number})
            self._convergence.on_reachable(endpoint)

        def never(error: ContractError) -> None:
            self._old((endpoint.key, fresh))
            self._downlink.refuse(endpoint, self.name, request.rid, error)

        endpoint.profile, endpoint.profile_id = profile, number
        fresh = self._fresh[endpoint.key] = Fresh(profile, number, self._writer.moment())
        seen = {"id": number, "at": fresh.at}
        fields = {"profile": profile, "profile_id": number, "profile_seen": seen, **self._convergence.judge(endpoint)}
        self._writer.set(endpoint.key, fields, when_durable(endpoint, ticket, accepted, never))
        return False

    def _old(self, known: tuple[str, Fresh]) -> None:
        key, fresh = known
        if self._fresh.get(key) is fresh:
            del self._fresh[key]

    def _schema_of(self, endpoint: Endpoint, fingerprint: int) -> ParsedSchema | None:
        """The version of the profile schema that an Avro payload is in."""
        entry = self._catalog.entry(endpoint.app)
        versions = {} if entry is None else entry.schemas.get(("profile", "default"), {})
        return next((known.parsed for known in versions.values() if known.parsed.fingerprint == fingerprint), None)

    def _checked(self, endpoint: Endpoint, value: object, *, patch: bool) -> Mapping[str, Any]:
        whole = apply(endpoint.profile, value) if patch else value
        if not isinstance(whole, Mapping):
            raise PayloadError("a profile is a JSON object", code=Code.BAD_REQUEST)
        entry = self._catalog.entry(endpoint.app)
        version = endpoint.versions.get("profile")
        schema = entry.schema("profile", version=version) if entry is not None else None
        if schema is None:
            which = "no profile schema yet" if version is None else f"no profile schema version {version}"
            raise ContractError(f"the application has {which}", code=Code.CONFLICT)
        problems = schema.parsed.validate(whole)
        if problems:
            raise ContractError(problems[0].reason, code=Code.UNPROCESSABLE, key=problems[0].path)
        return whole
