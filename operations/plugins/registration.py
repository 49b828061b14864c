"""The registration plane: an endpoint gets a credential of its own, shown once: with a claim secret its first, else its next.

A new credential is good beside the one in use; its first use retires the old one (`akela.credentials`). Until then each `u/reg` replaces
the unused one: an answer that got lost must not lock a device out.
"""

import secrets
from datetime import UTC, datetime
from typing import Any, Final

from akela.contract.codes import Code
from akela.contract.errors import ContractError
from akela.contract.topics import Register, Up
from akela.credentials import BEFORE_ALL, OTHER_KINDS, STEP
from operations.downlink import Downlink
from operations.endpoint_writer import DROP, EndpointWriter
from operations.identity import digest
from operations.planes import when_durable
from operations.principals import Endpoint

FOREIGN: Final = "it came by certificate or JWT: whoever signed that gives it the next one"


class RegistrationPlane:
    """Serves `u/reg/{rid}`."""

    name = "registration"
    requests: tuple[type[Up], ...] = (Register,)

    def __init__(self, downlink: Downlink, writer: EndpointWriter) -> None:
        self._downlink = downlink
        self._writer = writer

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Make a credential, store its hash, then show it to the endpoint alone."""
        assert isinstance(request, Register)
        if (
            endpoint.via in OTHER_KINDS
        ):  # it would outlive what the endpoint came with, and the authority's or key's withdrawal
            raise ContractError(FOREIGN, code=Code.CONFLICT)
        number, secret = secrets.token_hex(4), f"ake_{secrets.token_urlsafe(32)}"
        made = max(datetime.now(UTC), (endpoint.newest or BEFORE_ALL) + STEP)
        fields: dict[str, Any] = {f"issued.{number}": DROP for number in endpoint.spare}
        fields[f"issued.{number}"] = {"kind": "token", "hash": digest(secret.encode()), "created": made}
        endpoint.newest, endpoint.spare = made, (number,)

        def stored_now() -> None:
            answer = {"id": number, "credential": secret}
            self._downlink.answer(endpoint, request.rid, Code.CREATED, answer, private=True)
            self._downlink.observe(endpoint.app, endpoint.ep, "registered", {"credential": number})

        def never(error: ContractError) -> None:
            self._downlink.refuse(endpoint, self.name, request.rid, error)

        written = when_durable(endpoint, ticket, stored_now, never)
        self._writer.set(endpoint.key, fields, written)
        return False
