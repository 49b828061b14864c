"""A connection on an engine without sockets: bytes go in, bytes come out. Whoever connects is accepted."""

from typing import Any

from broker.connection import Connection
from broker.engine import Engine
from broker.hooks import Accepted, ConnectRequest, DetachCause, Hooks, Peer, Refused
from broker.reasons import Reason
from broker.settings import BrokerSettings


def engine(clock: Any = lambda: 0.0, **limits: Any) -> Engine:
    """An engine in which time stands still, unless a clock is given."""
    return Engine(BrokerSettings(**limits), Hooks(), lambda: None, lambda *_: None, clock)


class Client:
    """The world around one connection: `written` is all that it was sent, `ended` why it was closed."""

    def __init__(self, on: Engine | None = None, **limits: Any) -> None:
        self.engine = on or engine(**limits)
        self.connection = Connection(self.engine, Peer("test", 0, "test"), self, 0.0)
        self.written = b""
        self.ended: DetachCause | None = None

    def feed(self, data: bytes) -> None:
        """The client sends `data`."""
        self.connection.receive_data(data, 0.0)
        self.flush()

    def taken(self) -> bytes:
        """What was written since the last call."""
        self.flush()
        written, self.written = self.written, b""
        return written

    def authenticate(self, connection: Connection, request: ConnectRequest) -> None:
        self.engine.admit(connection, request, Accepted("", None))

    def exchange(self, connection: Connection, request: ConnectRequest, data: bytes | None, state: object) -> None:
        self.engine.turn_away(connection, request, Refused(Reason.BAD_AUTHENTICATION_METHOD, "none"))

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def flush(self) -> None:
        self.written += b"".join(self.connection.outgoing)
        self.connection.outgoing.clear()
        self.connection.dirty = False

    def close(self, cause: DetachCause, reason: Reason | None, text: str) -> None:
        self.flush()
        self.ended = cause
