"""The authenticator of an Operations server's engine: reads what a decision needs, in batches, and lets `identity` decide."""

import hmac
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from akela.contract import topics
from akela.contract.errors import TopicError
from akela.documents.store import StoreError
from broker import Accepted, ConnectRequest, Reason, Refused, Session
from operations.batching import BatchLoader
from operations.catalog import Application, Catalog
from operations.endpoint_writer import DROP, EndpointWriter
from operations.identity import (
    Admitted,
    admit_certificate,
    admit_endpoint,
    admit_operator,
    denied,
    first_use,
    revived_endpoint,
    token_id,
)
from operations.principals import (
    CONTROL_USER,
    NOTHING,
    PEER_USER,
    SERVER_NAMESPACE,
    Endpoint,
    Server,
    operator_namespace,
)
from operations.registering import Newcomer, RegisterStore, Registrar
from operations.trust import Trust

log = logging.getLogger(__name__)

Document = Mapping[str, Any]

WAIT: Final = "the database is away; try again"


class GateStore(RegisterStore, Protocol):
    """What the gate reads and writes."""

    async def find_endpoints(self, ids: Sequence[str]) -> Sequence[Document]:
        """The stored endpoints among `ids`."""
        ...

    async def find_tokens(self, ids: Sequence[str]) -> Sequence[Document]:
        """The stored API tokens among `ids`."""
        ...


class Gate:
    """Decides who may connect. Fails closed: what cannot be read is refused as "server unavailable"."""

    name = "akela"

    def __init__(
        self, store: GateStore, catalog: Catalog, trust: Trust, writer: EndpointWriter, cluster_secret: str
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._trust = trust
        self._writer = writer
        self._cluster_secret = cluster_secret.encode()
        self._endpoints: BatchLoader[str, Document] = BatchLoader(self._read_endpoints)
        self._tokens: BatchLoader[str, Document] = BatchLoader(self._read_tokens)
        self._registrar = Registrar(store)

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        """Decide on one CONNECT."""
        user, password = request.username, request.password
        if not user or not (password or request.peer.certificate_der):
            return denied(
                "user name and password are needed: app token and claim secret, credential or JWT; or TLS with a certificate"
            )
        try:
            if not password:
                return await self._endpoint(user, request)
            if user in (CONTROL_USER, PEER_USER):
                return self._server(user, password)
            number = token_id(password)
            if number is not None:
                return await self._operator(user, password, number)
            return await self._endpoint(user, request)
        except StoreError as error:
            log.warning("no decision without the database", extra={"error": str(error)})
            return Refused(Reason.SERVER_UNAVAILABLE, WAIT)

    async def revive(self, session: Session) -> Endpoint | None:
        """Whose will a session has that outlived this server; None where there is no will, or none of an endpoint's."""
        entry = None if session.will is None else self._catalog.entry(session.namespace)
        if entry is None:
            return None
        try:
            stored = await self._endpoints.load(f"{session.namespace}/{session.client_id}")
        except StoreError as error:
            log.warning("a will is lost without the database", extra={"error": str(error)})
            return None
        return revived_endpoint(entry.application, topics.endpoint_id(session.client_id), stored)

    def _server(self, user: str, password: bytes) -> Accepted | Refused:
        if not hmac.compare_digest(password, self._cluster_secret):
            return denied("wrong cluster secret")
        return Accepted(SERVER_NAMESPACE, Server(user))

    async def _operator(self, user: str, password: bytes, number: str) -> Accepted | Refused:
        verdict = admit_operator(user, password, await self._tokens.load(number), datetime.now(UTC))
        if isinstance(verdict, Refused):
            return verdict
        return Accepted(operator_namespace(verdict.tenant, verdict.user), verdict, account=verdict.tenant)

    async def _endpoint(self, app: str, request: ConnectRequest) -> Accepted | Refused:
        entry = self._catalog.entry(app)
        if entry is None:
            return denied("unknown application")
        try:
            ep = topics.endpoint_id(request.client_id)
        except TopicError as error:
            return Refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, error.reason)
        stored = await self._endpoints.load(f"{app}/{ep}")
        verdict = self._verdict(entry.application, ep, request, stored)
        if isinstance(verdict, Refused):
            return verdict
        if verdict.register:
            newcomer = Newcomer.of(entry.application, verdict)
            reason = await self._registrar.register(verdict.endpoint.key, newcomer)
            if reason is not None:
                return denied(reason)
        self._note(verdict, stored or NOTHING)
        return Accepted(app, verdict.endpoint, account=verdict.endpoint.tenant)

    def _verdict(
        self, application: Application, ep: topics.EndpointId, request: ConnectRequest, stored: Document | None
    ) -> Admitted | Refused:
        now, der = datetime.now(UTC), request.peer.certificate_der
        if request.password:
            return admit_endpoint(application, ep, request.password, stored, now)
        assert der is not None
        return admit_certificate(application, ep, der, self._trust.of(application.token), stored, now)

    def _note(self, admitted: Admitted, stored: Document) -> None:
        """Write behind what this connection shows for the first time: each fact in a field of its own, so nothing is overwritten."""
        endpoint, fields = admitted.endpoint, dict[str, Any]()
        use = first_use(endpoint, stored)
        if use is not None:
            number, older = use
            fields |= {f"used.{number}": datetime.now(UTC), **{f"used.{known}": DROP for known in older}}
        if admitted.shown is not None:
            known = stored.get("certificate") or NOTHING
            if (known.get("serial"), known.get("authority")) != (admitted.shown.serial, admitted.shown.authority):
                until = admitted.shown.not_after.isoformat(timespec="seconds")
                fields |= {"certificate": admitted.shown.stored(), "certificate_key": f"{until}/{endpoint.ep}"}
        if fields:
            self._writer.note(endpoint.key, fields)  # at once: until it is written, an older credential is good

    async def _read_endpoints(self, keys: Sequence[str]) -> Mapping[str, Document]:
        return {document["_id"]: document for document in await self._store.find_endpoints(keys)}

    async def _read_tokens(self, keys: Sequence[str]) -> Mapping[str, Document]:
        return {document["_id"]: document for document in await self._store.find_tokens(keys)}
