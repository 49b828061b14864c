"""What each session may publish and subscribe to. The engine asks once per topic and session, then remembers.

An endpoint reaches its own `u` and `d`; an operator observes the applications of its tenant; Control and the other Operations servers
have a topic each.
Nobody gets a wildcard where the application stands, so isolation never rests on what others happen to publish.
"""

from collections.abc import Mapping
from typing import Final

from akela.contract import topics
from akela.contract.errors import ContractError, TopicError
from akela.contract.topics import Hello, Register, Side, Up
from broker import PublishGrant, Reason, Refused, Session, SubscribeGrant
from broker.hooks import PublishHandler
from operations.catalog import Catalog
from operations.downlink import Downlink
from operations.planes import Plane, handler_for, refuse_unserved
from operations.principals import Endpoint, Operator, Server

SYS: Final = "$SYS/"  # of the whole server, so for platform-admins only


class Access:
    """Authorizer of an Operations server's engine. `internal`: (user name of a server, topic) -> what takes its messages."""

    name = "akela"

    def __init__(
        self,
        planes: tuple[Plane, ...],
        downlink: Downlink,
        catalog: Catalog,
        internal: Mapping[tuple[str, str], PublishHandler],
    ) -> None:
        self._planes: Mapping[type[Up], Plane] = {kind: plane for plane in planes for kind in plane.requests}
        self._downlink = downlink
        self._catalog = catalog
        self._internal = internal

    def authorize_publish(self, session: Session, topic: str) -> PublishGrant | Refused:
        """An endpoint's own `u` topics to their plane; Control's bell; nothing else."""
        match session.principal:
            case Endpoint() as endpoint:
                return self._endpoint_publish(endpoint, topic)
            case Server(name) if (name, topic) in self._internal:
                return PublishGrant(topic, handler=self._internal[name, topic], retain=False, route=False)
            case Operator():
                return Refused(Reason.NOT_AUTHORIZED, "operators observe; they publish nothing")
        return Refused(Reason.NOT_AUTHORIZED, "this topic is not yours")

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant | Refused:
        """An endpoint's own `d` topics; an operator's applications."""
        match session.principal:
            case Endpoint() as endpoint:
                return _own_filter(endpoint, topic_filter)
            case Operator() as operator:
                return self._operator_filter(operator, topic_filter)
        return Refused(Reason.NOT_AUTHORIZED, "servers subscribe to nothing here")

    def _endpoint_publish(self, endpoint: Endpoint, text: str) -> PublishGrant | Refused:
        try:
            topic = topics.parse_own(text, endpoint.app, endpoint.ep)
        except TopicError as error:
            return Refused(Reason.NOT_AUTHORIZED, error.reason)
        if topic.side is not Side.UP:
            return Refused(Reason.NOT_AUTHORIZED, f"an endpoint publishes under u/, not {topic.side}/")
        try:
            request = topics.parse_up(topic.rest)
            plane = self._planes.get(type(request))
            if plane is None:
                raise refuse_unserved(request)
        except ContractError as error:
            return Refused(Reason.TOPIC_NAME_INVALID, error.reason)
        if endpoint.limited and not isinstance(request, Hello | Register):
            return Refused(Reason.NOT_AUTHORIZED, "a claim secret reaches hello and reg only; register first")
        return PublishGrant(str(topic), handler=handler_for(plane, request, self._downlink), retain=False)

    def _operator_filter(self, operator: Operator, topic_filter: str) -> SubscribeGrant | Refused:
        if operator.platform and topic_filter.startswith(SYS):
            return SubscribeGrant(topic_filter)
        try:
            entry = self._catalog.entry(topics.observed_app(topic_filter))
        except TopicError as error:
            return Refused(Reason.NOT_AUTHORIZED, error.reason)
        if (
            entry is None
            or entry.application.tenant != operator.tenant
            or not _in_scope(operator, entry.application.token)
        ):
            return Refused(Reason.NOT_AUTHORIZED, "no such application in your tenant")
        return SubscribeGrant(topic_filter)


def _in_scope(operator: Operator, app: str) -> bool:
    return operator.applications is None or app in operator.applications


def _own_filter(endpoint: Endpoint, topic_filter: str) -> SubscribeGrant | Refused:
    try:
        down = topics.down_filter(topic_filter, endpoint.app, endpoint.ep)
    except TopicError as error:
        return Refused(Reason.NOT_AUTHORIZED, error.reason)
    return SubscribeGrant(down.canonical, shown=down.shown)
