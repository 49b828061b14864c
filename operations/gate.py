"""The authenticator of an Operations server's engine: reads what a decision needs, in batches, and lets `identity` decide.

Hot path: thousands of endpoints come back at once. The decision on a stored one is a callback of the batch and a future, without a
coroutine; who comes for the first time, and everybody else, costs a task.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
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
Verdict = Accepted | Refused

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
        self._tasks: set[asyncio.Task[None]] = set()

    def authenticate(self, request: ConnectRequest) -> Verdict | Awaitable[Verdict]:
        """Decide on one CONNECT."""
        user, password = request.username, request.password
        if not user or not (password or request.peer.certificate_der):
            return denied(
                "user name and password are needed: app token and claim secret, credential or JWT; or TLS with a certificate"
            )
        if not password:
            return self._endpoint(user, request)
        if user in (CONTROL_USER, PEER_USER):
            return self._server(user, password)
        number = token_id(password)
        if number is not None:
            return self._operator(user, password, number)
        return self._endpoint(user, request)

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

    def _server(self, user: str, password: bytes) -> Verdict:
        if not hmac.compare_digest(password, self._cluster_secret):
            return denied("wrong cluster secret")
        return Accepted(SERVER_NAMESPACE, Server(user))

    async def _operator(self, user: str, password: bytes, number: str) -> Verdict:
        try:
            token = await self._tokens.load(number)
        except StoreError as error:
            return _undecided(error)
        verdict = admit_operator(user, password, token, datetime.now(UTC))
        if isinstance(verdict, Refused):
            return verdict
        return Accepted(operator_namespace(verdict.tenant, verdict.user), verdict, account=verdict.tenant)

    def _endpoint(self, app: str, request: ConnectRequest) -> Refused | asyncio.Future[Verdict]:
        entry = self._catalog.entry(app)
        if entry is None:
            return denied("unknown application")
        try:
            ep = topics.endpoint_id(request.client_id)
        except TopicError as error:
            return Refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, error.reason)
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._endpoints.ask(f"{app}/{ep}", partial(self._found, answer, entry.application, ep, request))
        return answer

    def _found(
        self,
        answer: asyncio.Future[Verdict],
        application: Application,
        ep: topics.EndpointId,
        request: ConnectRequest,
        stored: Document | None,
        error: Exception | None,
    ) -> None:
        """The endpoint's document is read, or cannot be."""
        if answer.done():
            return  # it took too long, and the client is refused
        try:
            if error is not None:
                raise error
            verdict = self._verdict(application, ep, request, stored)
            if isinstance(verdict, Refused):
                answer.set_result(verdict)
            elif verdict.register:
                task = asyncio.create_task(self._register(answer, application, verdict))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                answer.set_result(self._admit(verdict, stored or NOTHING))
        except Exception as failure:  # noqa: BLE001  who waits for the answer gets it
            _settle(answer, failure)

    async def _register(self, answer: asyncio.Future[Verdict], application: Application, verdict: Admitted) -> None:
        """Store an endpoint that comes for the first time; then it is admitted."""
        try:
            reason = await self._registrar.register(verdict.endpoint.key, Newcomer.of(application, verdict))
            if not answer.done():
                answer.set_result(self._admit(verdict, NOTHING) if reason is None else denied(reason))
        except Exception as failure:  # noqa: BLE001  who waits for the answer gets it
            _settle(answer, failure)

    def _admit(self, verdict: Admitted, stored: Document) -> Accepted:
        self._note(verdict, stored)
        return Accepted(verdict.endpoint.app, verdict.endpoint, account=verdict.endpoint.tenant)

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


def _undecided(error: StoreError) -> Refused:
    log.warning("no decision without the database", extra={"error": str(error)})
    return Refused(Reason.SERVER_UNAVAILABLE, WAIT)


def _settle(answer: asyncio.Future[Verdict], failure: Exception) -> None:
    if answer.done():
        return
    if isinstance(failure, StoreError):
        answer.set_result(_undecided(failure))
    else:
        answer.set_exception(failure)
