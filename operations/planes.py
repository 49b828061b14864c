"""What a plugin of this server is: a plane answers the requests that it names, and hears of endpoints coming and going.

A plane never sees a socket or a permission: by the time it is called, the topic is parsed, the sender is known and may
use it. It acknowledges by what it returns, and refuses by raising `ContractError`.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from akela.contract.codes import Code
from akela.contract.errors import ContractError
from akela.contract.topics import Up
from broker import Session
from broker.hooks import PublishHandler
from operations.downlink import Downlink
from operations.principals import Endpoint


class Plane(Protocol):
    """One plane of the wire contract."""

    @property
    def name(self) -> str:
        """The plane's name in answers, refusals and operator topics."""
        ...

    @property
    def requests(self) -> tuple[type[Up], ...]:
        """The kinds of request that this plane answers."""
        ...

    def handle(self, endpoint: Endpoint, request: Up, payload: bytes, ticket: int) -> bool:
        """Serve one request. True: done, acknowledge. False: `endpoint.session.settle(ticket)` follows.

        Raises: ContractError, which is told to the endpoint; the message is then acknowledged.
        """
        ...


@runtime_checkable
class Attending(Protocol):
    """Hears of endpoints that come, go, and can be reached."""

    def on_attached(self, endpoint: Endpoint) -> None:
        """The endpoint has connected; messages may not reach it yet."""

    def on_detached(self, endpoint: Endpoint) -> None:
        """The connection is gone, perhaps because of a newer one."""

    def on_reachable(self, endpoint: Endpoint) -> None:
        """The endpoint has (again) a subscription under which messages reach it."""


def rid_of(request: Up) -> str | None:
    """The request's id, for those kinds that carry one."""
    rid: str | None = getattr(request, "rid", None)
    return rid


def handler_for(plane: Plane, request: Up, downlink: Downlink) -> PublishHandler:
    """The engine's handler for one topic of one session: what does not vary per message is bound here."""
    rid = rid_of(request)

    def handle(session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        endpoint = session.principal
        assert isinstance(endpoint, Endpoint)
        if endpoint.session is None:  # a will, fired after its session is gone
            return True
        try:
            return plane.handle(endpoint, request, payload, ticket)
        except ContractError as error:
            downlink.refuse(endpoint, plane.name, rid, error)
            return True

    return handle


def when_durable(
    endpoint: Endpoint, ticket: int, then: Callable[[], None], never: Callable[[ContractError], None]
) -> Callable[[bool], None]:
    """What to call when a write that a request waits for has ended: `then`, or `never` if it can never be stored.

    Either way the request has its answer and is acknowledged: sent again, it would fare no better.
    """
    session = endpoint.session

    def told(durable: bool) -> None:
        if durable:
            then()
        else:
            never(ContractError("this cannot be stored", code=Code.UNPROCESSABLE))
        if session is not None:
            session.settle(ticket)

    return told


def refuse_unserved(request: Up) -> ContractError:
    """The refusal of a request that the grammar knows and no plane of this server answers."""
    return ContractError(f"this server has no plane for {type(request).__name__}", code=Code.NOT_FOUND)
