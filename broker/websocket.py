"""MQTT over WebSocket (MQTT 5.0, section 6): frames in, bytes out. Sans-io, on the sans-io half of `websockets`.

Only binary frames carry MQTT; packets need not begin or end where frames do. The subprotocol is `mqtt`; the path is anybody's.
A frame is buffered until it is whole, so what may wait for its rest is bounded, and more tightly before a client is accepted.
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from websockets.exceptions import NegotiationError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

SUBPROTOCOLS: Final = (Subprotocol("mqtt"), Subprotocol("mqttv3.1"))  # the second is that of MQTT 3.1 clients
MAX_FRAME: Final = 1024 * 1024  # bytes, or one packet of the largest size; packets have bounds of their own
MAX_HEADER: Final = 5  # of a packet
MAX_WAITING: Final = 16 * 1024  # bytes of a handshake, or of a first frame, that is not whole yet


# The library logs a stack trace for what a stranger did wrong, and each frame: both are the connection's to tell.
_quiet: Final = logging.getLogger(f"{__name__}.library")
_quiet.setLevel(logging.CRITICAL)


def _select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol:
    for known in SUBPROTOCOLS:
        if known in offered:
            return known
    raise NegotiationError("the subprotocol mqtt is needed")  # [MQTT-6.0.0-3]


class WebSocketFraming:
    """One connection's WebSocket: give it what was read, write what `pending` gives."""

    def __init__(self, max_packet: int) -> None:
        most = max(MAX_FRAME, max_packet + MAX_HEADER)
        self._protocol = ServerProtocol(
            subprotocols=list(SUBPROTOCOLS), select_subprotocol=_select, max_size=most, logger=_quiet
        )
        self._waiting = 0  # bytes since the last whole frame
        self.ended = False

    def received(self, data: bytes, *, accepted: bool) -> bytes:
        """The MQTT bytes in a read; `ended` is set when nothing more will come. `accepted`: the client's CONNECT has been."""
        self._protocol.receive_data(data)
        found: list[bytes] = []
        events = self._protocol.events_received()
        self._waiting = 0 if events else self._waiting + len(data)
        if self._waiting > MAX_WAITING and not accepted:
            self._refuse(CloseCode.MESSAGE_TOO_BIG, "too large before a CONNECT")
        for event in events:
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame):
                self._take(event, found)
        failed = self._protocol.handshake_exc is not None
        if failed or self._protocol.state in (State.CLOSING, State.CLOSED) or self._protocol.close_expected():
            self.ended = True
        return b"".join(found)

    def framed(self, data: bytes) -> bytes:
        """What to write for MQTT bytes [MQTT-6.0.0-1]."""
        if self._protocol.state is not State.OPEN:
            return b""
        self._protocol.send_binary(data)
        return self.pending()

    def closing(self) -> bytes:
        """What to write before the connection is closed."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        return self.pending()

    def pending(self) -> bytes:
        """What is to be written: handshake, pongs, close."""
        return b"".join(self._protocol.data_to_send())

    def _shake_hands(self, request: Request) -> None:
        try:
            response = self._protocol.accept(request)
        except ValueError:  # headers that are no text cannot be answered with what was wrong in them
            response = self._protocol.reject(HTTPStatus.BAD_REQUEST, "the headers are no text\n")
            self.ended = True
        self._protocol.send_response(response)

    def _take(self, frame: Frame, found: list[bytes]) -> None:
        if frame.opcode is Opcode.TEXT:  # [MQTT-6.0.0-1]
            self._refuse(CloseCode.UNSUPPORTED_DATA, "MQTT comes in binary frames")
        elif frame.opcode in (Opcode.BINARY, Opcode.CONT) and not self.ended:
            found.append(bytes(frame.data))

    def _refuse(self, code: CloseCode, why: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, why)
        self.ended = True
