"""The registration plane: an endpoint that came with a claim secret gets a credential of its own, shown once.

Until that credential has been used, the claim secret still opens the endpoint and each `u/reg` replaces the unused one:
an answer that got lost must not lock a device out.
"""

import secrets
from datetime import UTC, datetime

from akela.contract.codes import Code
from akela.contract.errors import ContractError
from akela.contract.topics import Register, Up
from operations.downlink import Downlink
from operations.endpoint_writer import EndpointWriter
from operations.identity import digest
from operations.planes import when_durable
from operations.principals import Endpoint


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
        if endpoint.credential is not None:
            raise ContractError("this endpoint has a credential of its own already", code=Code.CONFLICT)
        number, secret = secrets.token_hex(4), f"ake_{secrets.token_urlsafe(32)}"
        stored = {
            "id": number,
            "kind": "token",
            "hash": digest(secret.encode()),
            "created": datetime.now(UTC),
            "used": False,
        }

        def stored_now() -> None:
            answer = {"id": number, "credential": secret}
            self._downlink.answer(endpoint, request.rid, Code.CREATED, answer, private=True)
            self._downlink.observe(endpoint.app, endpoint.ep, "registered", {"credential": number})

        def never(error: ContractError) -> None:
            self._downlink.refuse(endpoint, self.name, request.rid, error)

        self._writer.set(endpoint.key, {"credentials": [stored]}, when_durable(endpoint, ticket, stored_now, never))
        return False
