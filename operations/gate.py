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
from operations.endpoint_writer import EndpointWriter
from operations.identity import Admitted, admit_endpoint, admit_operator, denied, revived_endpoint, token_id
from operations.principals import CONTROL_USER, SERVER_NAMESPACE, Endpoint, Server, operator_namespace

log = logging.getLogger(__name__)

Document = Mapping[str, Any]

WAIT: Final = "the database is away; try again"


class GateStore(Protocol):
    """What the gate reads and writes."""

    async def find_endpoints(self, ids: Sequence[str]) -> Sequence[Document]:
        """The stored endpoints among `ids`."""
        ...

    async def find_tokens(self, ids: Sequence[str]) -> Sequence[Document]:
        """The stored API tokens among `ids`."""
        ...

    async def register_endpoints(self, docs: Sequence[Document]) -> None:
        """Insert endpoints; those that exist already stay as they are."""
        ...


class Gate:
    """Decides who may connect. Fails closed: what cannot be read is refused as "server unavailable"."""

    name = "akela"

    def __init__(self, store: GateStore, catalog: Catalog, writer: EndpointWriter, cluster_secret: str) -> None:
        self._store = store
        self._catalog = catalog
        self._writer = writer
        self._cluster_secret = cluster_secret.encode()
        self._endpoints: BatchLoader[str, Document] = BatchLoader(self._read_endpoints)
        self._tokens: BatchLoader[str, Document] = BatchLoader(self._read_tokens)
        self._registrations: BatchLoader[str, bool] = BatchLoader(self._register)
        self._new: dict[str, Document] = {}

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        """Decide on one CONNECT."""
        user, password = request.username, request.password
        if not user or password is None:
            return denied("user name and password are needed: app token and claim secret or credential")
        try:
            if user == CONTROL_USER:
                return self._server(user, password)
            number = token_id(password)
            if number is not None:
                return await self._operator(user, password, number)
            return await self._endpoint(user, password, request.client_id)
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

    async def _endpoint(self, app: str, password: bytes, client_id: str) -> Accepted | Refused:
        entry = self._catalog.entry(app)
        if entry is None:
            return denied("unknown application")
        try:
            ep = topics.endpoint_id(client_id)
        except TopicError as error:
            return Refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, error.reason)
        stored = await self._endpoints.load(f"{app}/{ep}")
        verdict = admit_endpoint(entry.application, ep, password, stored, datetime.now(UTC))
        if isinstance(verdict, Refused):
            return verdict
        await self._admit(entry.application, verdict, stored)
        return Accepted(app, verdict.endpoint, account=verdict.endpoint.tenant)

    async def _admit(self, application: Application, admitted: Admitted, stored: Document | None) -> None:
        endpoint = admitted.endpoint
        if admitted.register:
            self._new[endpoint.key] = _new_endpoint(application, endpoint)
            await self._registrations.load(endpoint.key)
        elif endpoint.credential is not None:
            self._mark_used(endpoint, stored or {})

    def _mark_used(self, endpoint: Endpoint, stored: Document) -> None:
        credentials = stored.get("credentials", ())
        if any(c["id"] == endpoint.credential and not c.get("used") for c in credentials):
            # The whole array: the embedded database passes over `$set` of a path through an index.
            marked = [{**c, "used": True} if c["id"] == endpoint.credential else c for c in credentials]
            self._writer.set(endpoint.key, {"credentials": marked})

    async def _read_endpoints(self, keys: Sequence[str]) -> Mapping[str, Document]:
        return {document["_id"]: document for document in await self._store.find_endpoints(keys)}

    async def _read_tokens(self, keys: Sequence[str]) -> Mapping[str, Document]:
        return {document["_id"]: document for document in await self._store.find_tokens(keys)}

    async def _register(self, keys: Sequence[str]) -> Mapping[str, bool]:
        await self._store.register_endpoints([self._new.pop(key) for key in keys])
        return dict.fromkeys(keys, True)


def _new_endpoint(application: Application, endpoint: Endpoint) -> Document:
    return {
        "_id": endpoint.key,
        "app": endpoint.app,
        "ep": endpoint.ep,
        "tenant": application.tenant,
        "registered_at": datetime.now(UTC),
        "how": "claim",
        "credentials": [],
        "format": 1,
        "rev": 0,
        "revoked": False,
    }
