"""The endpoints attached to this server: who they are, when they come and go, when they can be reached.

The engine tells it of sessions; it tells the planes that attend, the operators, and the stored endpoint (written behind).
"""

import logging
from collections.abc import Iterator
from datetime import datetime

from akela.contract import topics
from akela.contract.codes import Code
from akela.contract.errors import ContractError, TopicError
from broker import Reason, Session
from broker.hooks import Action, ConnectRequest, DetachCause, Refused
from operations.catalog import Catalog
from operations.downlink import Downlink
from operations.endpoint_writer import EndpointWriter
from operations.generations import Generations
from operations.planes import Attending
from operations.principals import Endpoint

log = logging.getLogger(__name__)


class Attached:
    """Observer of the engine's sessions."""

    def __init__(self, server: str, downlink: Downlink, writer: EndpointWriter, catalog: Catalog) -> None:
        self._server = server
        self._downlink = downlink
        self._writer = writer
        self._catalog = catalog
        self._generations = Generations(server)
        self._attending: list[Attending] = []
        self._by_app: dict[str, dict[str, Endpoint]] = {}

    def attend(self, plane: Attending) -> None:
        """Tell `plane` of endpoints that become reachable."""
        self._attending.append(plane)

    def applications(self) -> list[str]:
        """Applications that have had an endpoint attached here."""
        return list(self._by_app)

    def of(self, app: str) -> Iterator[Endpoint]:
        """The attached endpoints of an application; the answer stands still while sessions come and go."""
        return iter(list(self._by_app.get(app, {}).values()))

    def find(self, app: str, ep: str) -> Endpoint | None:
        """The attached endpoint, or None."""
        return self._by_app.get(app, {}).get(ep)

    def __len__(self) -> int:
        return sum(len(endpoints) for endpoints in self._by_app.values())

    def heard_of(self, generation: str) -> None:
        """Another server has given this generation to a connection."""
        self._generations.heard(generation)

    def reachable(self, endpoint: Endpoint) -> None:
        """Let every attending plane send what the endpoint lacks."""
        for plane in self._attending:
            plane.on_reachable(endpoint)

    def on_attached(self, session: Session, session_present: bool) -> None:
        """A session has been accepted."""
        endpoint = session.principal
        if not isinstance(endpoint, Endpoint):
            return
        before = self.find(endpoint.app, endpoint.ep)
        known = endpoint.generation if before is None else max(endpoint.generation, before.generation)
        endpoint.generation = self._generations.next(known)
        endpoint.session = session
        endpoint.attached_at = self._generations.moment()
        self._by_app.setdefault(endpoint.app, {})[endpoint.ep] = endpoint
        about = {
            "server": self._server,
            "via": endpoint.via,
            "session": session_present,
            "generation": endpoint.generation,
        }
        self._downlink.observe(endpoint.app, endpoint.ep, "attached", about)
        self._present(endpoint, endpoint.attached_at, self._server)
        for plane in self._attending:
            plane.on_attached(endpoint)
        if session_present and not endpoint.limited:
            self.reachable(endpoint)

    def on_detached(self, session: Session, cause: DetachCause) -> None:
        """A session has lost its connection."""
        endpoint = session.principal
        if not isinstance(endpoint, Endpoint):
            return
        endpoint.session = None
        for plane in self._attending:
            plane.on_detached(endpoint)
        known = self._by_app.get(endpoint.app, {})
        if known.get(endpoint.ep) is not endpoint:
            return  # taken over: the newer connection is attached, nothing has left
        del known[endpoint.ep]
        about = {"cause": cause.name.lower(), "generation": endpoint.generation}
        if endpoint.moved_to is not None:
            about |= {"cause": "elsewhere", "server": endpoint.moved_to}
        if endpoint.ending is not None:
            about["reason"] = endpoint.ending
        self._downlink.observe(endpoint.app, endpoint.ep, "detached", about)
        self._present(endpoint, self._generations.moment(), None)

    def _present(self, endpoint: Endpoint, at: datetime, server: str | None) -> None:
        """Write presence behind; where a newer connection's is stored, on whichever server, it changes nothing."""
        self._writer.present(endpoint.key, at, server, endpoint.generation)

    def on_subscribed(self, session: Session, topic_filter: str, qos: int) -> None:
        """A subscription was granted: the endpoint may have become reachable."""
        endpoint = session.principal
        if isinstance(endpoint, Endpoint) and not endpoint.limited:
            self.reachable(endpoint)

    def on_unsubscribed(self, session: Session, topic_filter: str) -> None:
        """A subscription has gone; nothing follows from it."""

    def on_refused(self, session: Session, action: Action, topic: str, refused: Refused) -> None:
        """A publish or subscription was refused: an endpoint is told why, once per connection and topic."""
        endpoint = session.principal
        if not isinstance(endpoint, Endpoint) or not endpoint.tell_once(f"{action.name} {topic}"):
            return
        unknown = refused.reason is Reason.TOPIC_NAME_INVALID
        code = Code.NOT_FOUND if unknown else Code.FORBIDDEN
        self._downlink.refuse(endpoint, action.name.lower(), None, ContractError(refused.text, code=code, key=topic))

    def on_connect_refused(self, request: ConnectRequest, refused: Refused) -> None:
        """A CONNECT was refused: operators of the application that it named see why."""
        entry = self._catalog.entry(request.username or "")
        log.info(
            "connection refused",
            extra={"client": request.client_id, "peer": request.peer.address, "reason": refused.text},
        )
        if entry is None:
            return
        try:
            ep = topics.endpoint_id(request.client_id)
        except TopicError:
            return
        body = {"plane": "connect", "code": int(Code.UNAUTHORIZED), "reason": refused.text, "key": None}
        self._downlink.observe(topics.app_token(entry.application.token), ep, "refused", body)
