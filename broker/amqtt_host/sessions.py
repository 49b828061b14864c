"""amqtt's view of a session and of a message, on ours."""

from __future__ import annotations

from typing import Any

from amqtt.session import IncomingApplicationMessage, Session

from broker import session as engine
from broker.hooks import ConnectRequest, Peer


class _State:
    """amqtt's state machine of a session, as far as plugins look at it."""

    def __init__(self) -> None:
        self.state = "new"

    def connect(self) -> None:
        self.state = "connected"

    def disconnect(self) -> None:
        self.state = "disconnected"

    def is_connected(self) -> bool:
        return self.state == "connected"


class _Certificate:
    """The part of an SSLObject that a certificate plugin asks for."""

    def __init__(self, der: bytes) -> None:
        self._der = der

    def getpeercert(self, binary_form: bool = False) -> bytes:
        """The client's certificate, DER; it was verified by the listener."""
        return self._der


class HostedSession(Session):  # type: ignore[misc]
    """amqtt's Session for one client of ours; it is the principal of our session."""

    def __init__(self, request: ConnectRequest) -> None:
        super().__init__()
        self.client_id = request.client_id
        self.remote_address, self.remote_port = request.peer.address, request.peer.port
        self.username = request.username
        self.password = None if request.password is None else request.password.decode(errors="replace")
        self.clean_session = request.clean_start
        self.keep_alive = request.keep_alive_s
        if request.will is not None:
            self.will_flag = True
            self.will_topic, self.will_message = request.will.topic, request.will.payload
            self.will_qos, self.will_retain = request.will.qos, request.will.retain
        if request.peer.certificate_der is not None:
            self.ssl_object = _Certificate(request.peer.certificate_der)
        self.hosted: engine.Session | None = None
        self.receives: dict[str, Any] = {}  # topic -> whether it may hear it, or who waits for the verdict

    def _init_states(self) -> None:
        self.transitions = _State()

    @property
    def inflight_in_count(self) -> int:
        """Messages of the client that are not settled."""
        return 0 if self.hosted is None else len(self.hosted.pending) + len(self.hosted.received)

    @property
    def inflight_out_count(self) -> int:
        """Messages to the client that it has not acknowledged."""
        return 0 if self.hosted is None else self.hosted.inflight

    @property
    def retained_messages_count(self) -> int:
        """Messages that wait for the client."""
        return 0 if self.hosted is None else self.hosted.queued


def offline(client_id: str) -> HostedSession:
    """The session of a client that is not there: it has not connected yet, or not since the broker started."""
    return HostedSession(ConnectRequest(client_id, None, None, False, 0, 4, None, Peer("", 0, "host")))


def incoming(topic: str, payload: bytes, qos: int) -> IncomingApplicationMessage:
    """A message as amqtt's plugins are told of it."""
    return IncomingApplicationMessage(None, topic, qos, payload, False)
