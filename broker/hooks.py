"""What a host decides and hears. Gates decide and fail closed; observers are told and can break nothing.

In the order of a session's life: `Authenticator`, `AttachObserver.on_attached`, `Authorizer`, `PublishHandler`,
`SubscriptionObserver`, `DeliveryObserver`, `RefusalObserver`, `DuelObserver`, `AttachObserver.on_detached`. A kind that nobody implements
costs nothing. Topics in hooks are canonical: what a session calls them is between it and the engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from broker.properties import NONE, Properties
from broker.reasons import Reason

if TYPE_CHECKING:
    from broker.session import Session


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection."""

    address: str
    port: int
    listener: str
    certificate_der: bytes | None = None


@dataclass(frozen=True, slots=True)
class Will:
    """What is published for a client that goes without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    delay_s: int = 0
    properties: bytes = b""  # those that are passed on, encoded
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """A CONNECT that waits for its verdict."""

    client_id: str
    username: str | None
    password: bytes | None
    clean_start: bool
    keep_alive_s: int
    protocol_level: int
    will: Will | None
    peer: Peer
    properties: Properties = NONE  # of MQTT 5.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client may connect. Its session is known by (`namespace`, client id); nobody reaches into another namespace."""

    namespace: str
    principal: object  # the host's own; the engine carries it and never looks inside
    client_id: str | None = None  # in place of the one that the client sent
    properties: Properties = NONE  # for the CONNACK: authentication data, user properties, response information
    account: str | None = None  # who else its messages count for, where that is bounded; None: its namespace


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal: the code for the peer, the text for logs, observers and MQTT 5.0's reason string."""

    reason: Reason
    text: str
    server_reference: str | None = None  # with USE_ANOTHER_SERVER or SERVER_MOVED: where to go


@dataclass(frozen=True, slots=True)
class Challenge:
    """An enhanced authentication goes on: what the client is sent, and what the hook wants back with the client's answer."""

    data: bytes | None
    state: object = None


PublishHandler = Callable[["Session", str, bytes, int, int], bool]
"""(session, topic, payload, qos, ticket) -> True: done, acknowledge now; False: `session.settle(ticket)` follows.

A handler that raises closes the connection without an acknowledgement. The message is routed to subscribers when it is
done. A ticket of 0 (QoS 0, wills) has nothing to settle."""


@dataclass(frozen=True, slots=True)
class PublishGrant:
    """A session may publish to a topic."""

    topic: str  # canonical
    handler: PublishHandler | None = None
    retain: bool = True  # False: the retain flag is cleared
    route: bool = True  # False: the handler is the message's only destination


@dataclass(frozen=True, slots=True)
class SubscribeGrant:
    """A session may subscribe to a filter."""

    topic_filter: str  # canonical
    max_qos: int = 2
    shown: tuple[str, str] | None = None  # (canonical prefix, prefix put in its place on delivery)


class Action(Enum):
    """What a session tried."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


class DetachCause(Enum):
    """Why a connection ended."""

    CLIENT = "client"  # it said DISCONNECT
    LOST = "lost"
    KEEP_ALIVE = "keep_alive"
    TAKEN_OVER = "taken_over"
    HOST = "host"  # the host ended it
    PROTOCOL_ERROR = "protocol_error"
    HANDLER_FAILED = "handler_failed"
    STOPPING = "stopping"


@runtime_checkable
class Authenticator(Protocol):
    """Gate of CONNECT. Several: each must accept, the first one's answer counts; the next is asked when one has accepted."""

    name: str

    def authenticate(self, request: ConnectRequest) -> Accepted | Refused | Awaitable[Accepted | Refused]:
        """Decide on a CONNECT: at once, or with an awaitable (`async def`) that holds up this client only.

        A future costs least. It is cancelled when it takes too long.
        """
        ...


@runtime_checkable
class EnhancedAuthenticator(Protocol):
    """Gate of CONNECTs that name its authentication method (MQTT 5.0, section 4.12), in place of the authenticators."""

    name: str
    method: str

    async def exchange(
        self, request: ConnectRequest, data: bytes | None, state: object
    ) -> Challenge | Accepted | Refused:
        """Decide on one step: `data` is the client's, `state` that of the challenge before (None at the beginning).

        Called anew, with the state None, when a client authenticates again; its session stays the same.
        """
        ...


@runtime_checkable
class Reviver(Protocol):
    """Knows sessions again that were read from disk at the start, before their clients come back."""

    async def revive(self, session: Session) -> object:
        """The principal of a session; None: none, its will is then decided on without one."""
        ...


@runtime_checkable
class Authorizer(Protocol):
    """Gate of topics. Asked once per session and topic; an awaitable answer holds up that session's packets only."""

    name: str

    def authorize_publish(
        self, session: Session, topic: str
    ) -> PublishGrant | Refused | Awaitable[PublishGrant | Refused]:
        """Decide on publishing to `topic`, as the session wrote it."""
        ...

    def authorize_subscribe(
        self, session: Session, topic_filter: str
    ) -> SubscribeGrant | Refused | Awaitable[SubscribeGrant | Refused]:
        """Decide on subscribing to `topic_filter`, as the session wrote it."""
        ...


@runtime_checkable
class AttachObserver(Protocol):
    """Hears of connections."""

    def on_attached(self, session: Session, session_present: bool) -> None:
        """A client is connected; `session_present`: to a session that was there before."""
        ...

    def on_detached(self, session: Session, cause: DetachCause) -> None:
        """The connection is gone; `session.principal` is still the one that it had."""
        ...


@runtime_checkable
class SubscriptionObserver(Protocol):
    """Hears of subscriptions."""

    def on_subscribed(self, session: Session, topic_filter: str, qos: int) -> None:
        """A subscription was granted; its SUBACK is on its way."""
        ...

    def on_unsubscribed(self, session: Session, topic_filter: str) -> None:
        """A subscription has ended."""
        ...


@runtime_checkable
class DeliveryObserver(Protocol):
    """Hears what became of messages to a session."""

    def on_delivered(self, session: Session, tag: object) -> None:
        """A message that was sent with a tag is acknowledged."""
        ...

    def on_dropped(self, session: Session, topic: str, why: str) -> None:
        """A message to this session was dropped."""
        ...


@runtime_checkable
class RefusalObserver(Protocol):
    """Hears of refusals."""

    def on_refused(self, session: Session, action: Action, topic: str, refused: Refused) -> None:
        """A publish or subscription was refused; `topic` is what the session wrote."""
        ...

    def on_connect_refused(self, request: ConnectRequest, refused: Refused) -> None:
        """A CONNECT was refused."""
        ...


@runtime_checkable
class DuelObserver(Protocol):
    """Hears of client ids that several clients take from each other."""

    def on_duel(self, session: Session, refused: Peer) -> None:
        """Who has the session keeps it; `refused` is the other one, which is refused for a while."""
        ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """All hooks of one broker. An observer may implement several of the observer protocols."""

    authenticators: tuple[Authenticator, ...] = ()
    authorizers: tuple[Authorizer, ...] = ()
    observers: tuple[object, ...] = ()
    enhanced: tuple[EnhancedAuthenticator, ...] = ()
    reviver: Reviver | None = None
