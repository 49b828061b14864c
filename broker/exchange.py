"""The enhanced authentication of one connection: challenges and answers, at CONNECT and later anew (MQTT 5.0, section 4.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker import packets
from broker.errors import RemoteProtocolError
from broker.hooks import Accepted, Challenge, ConnectRequest, DetachCause, Refused
from broker.properties import Properties
from broker.reasons import Reason

if TYPE_CHECKING:
    from broker.connection import Connection
    from broker.engine import Engine


class Exchange:
    """What is asked, and what the gate wants back with the answer."""

    __slots__ = ("_connection", "_engine", "_request", "_state", "_under_way")

    def __init__(self, connection: Connection, engine: Engine, request: ConnectRequest) -> None:
        self._connection = connection
        self._engine = engine
        self._request = request
        self._state: object = None  # of the challenge that is out
        self._under_way = False  # a challenge is out, or its answer with the gate

    def begin(self) -> None:
        """Ask the gate for the first step; the connection is paused."""
        self._ask(self._request.properties.authentication_data, None)

    def answered(self, reason: int, said: Properties) -> None:
        """AUTH: the answer to a challenge, or the wish to authenticate again. Raises: RemoteProtocolError."""
        if said.authentication_method != self._request.properties.authentication_method:  # [MQTT-4.12.0-5]
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "AUTH with another method than CONNECT")
        answers = reason == Reason.CONTINUE_AUTHENTICATION and self._under_way
        if not answers and not (reason == Reason.REAUTHENTICATE and self._connection.open and not self._under_way):
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, f"AUTH with reason {reason:#04x} has no place here")
        state, self._state = (self._state if answers else None), None
        self._connection.pause()
        self._ask(said.authentication_data, state)

    def decided(self, verdict: Challenge | Accepted | Refused) -> None:
        """The gate's verdict on one step."""
        connection = self._connection
        if connection.closed:
            return
        self._under_way = isinstance(verdict, Challenge)
        if isinstance(verdict, Challenge):
            self._state = verdict.state
            self._put(Reason.CONTINUE_AUTHENTICATION, verdict.data)
        elif not connection.open:
            if isinstance(verdict, Refused):
                self._engine.turn_away(connection, self._request, verdict)
            else:
                self._engine.admit(connection, self._request, verdict)
        elif isinstance(verdict, Refused):  # a session that is authenticated again: section 4.12.1
            connection.close(DetachCause.HOST, verdict.reason, verdict.text)
        else:
            self._put(Reason.SUCCESS, verdict.properties.authentication_data)

    def _ask(self, data: bytes | None, state: object) -> None:
        self._under_way = True
        self._connection.shell.exchange(self._connection, self._request, data, state)

    def _put(self, reason: Reason, data: bytes | None) -> None:
        method = self._request.properties.authentication_method
        self._connection.put(packets.auth(reason, Properties(authentication_method=method, authentication_data=data)))
        self._connection.resume()
