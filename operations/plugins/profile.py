"""The profile plane: the client-side profile, whole or as a merge patch, checked against the application's schema."""

from collections.abc import Mapping
from typing import Any

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


class ProfilePlane:
    """Serves `u/profile[/{rid}]` and `u/profile/patch`."""

    name = "profile"
    requests: tuple[type[Up], ...] = (Profile,)

    def __init__(self, downlink: Downlink, writer: EndpointWriter, catalog: Catalog, convergence: Convergence) -> None:
        self._downlink = downlink
        self._writer = writer
        self._catalog = catalog
        self._convergence = convergence

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Store the profile and the groups that it makes, in one write; the acknowledgement and what follows come after it."""
        assert isinstance(request, Profile)
        profile = self._checked(endpoint, decode_payload(payload), patch=request.patch)
        number = config_id(profile)

        def accepted() -> None:
            self._downlink.answer(endpoint, request.rid, Code.OK, {"profile": number})
            self._downlink.observe(endpoint.app, endpoint.ep, "profile", {"id": number})
            self._convergence.on_reachable(endpoint)

        def never(error: ContractError) -> None:
            self._downlink.refuse(endpoint, self.name, request.rid, error)

        endpoint.profile, endpoint.profile_id = profile, number
        seen = {"id": number, "at": self._writer.moment()}
        fields = {"profile": profile, "profile_id": number, "profile_seen": seen, **self._convergence.judge(endpoint)}
        self._writer.set(endpoint.key, fields, when_durable(endpoint, ticket, accepted, never))
        return False

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
