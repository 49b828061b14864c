"""MQTT over WebSocket (MQTT 5.0, section 6): frames in, bytes out. Sans-io, on the sans-io half of `websockets`.

Only binary frames carry MQTT; packets need not begin or end where frames do. The subprotocol is `mqtt`; the path is anybody's.
"""

from collections.abc import Sequence
from typing import Final

from websockets.exceptions import NegotiationError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

SUBPROTOCOLS: Final = (Subprotocol("mqtt"), Subprotocol("mqttv3.1"))  # the second is that of MQTT 3.1 clients
MAX_FRAME: Final = 1024 * 1024  # bytes; packets have bounds of their own


def _select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol:
    for known in SUBPROTOCOLS:
        if known in offered:
            return known
    raise NegotiationError("the subprotocol mqtt is needed")  # [MQTT-6.0.0-3]


class WebSocketFraming:
    """One connection's WebSocket: give it what was read, write what `pending` gives."""

    def __init__(self) -> None:
        self._protocol = ServerProtocol(subprotocols=list(SUBPROTOCOLS), select_subprotocol=_select, max_size=MAX_FRAME)
        self.ended = False

    def received(self, data: bytes) -> bytes:
        """The MQTT bytes in a read; `ended` is set when nothing more will come."""
        self._protocol.receive_data(data)
        found: list[bytes] = []
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
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

    def _take(self, frame: Frame, found: list[bytes]) -> None:
        if frame.opcode is Opcode.TEXT:  # [MQTT-6.0.0-1]
            self._protocol.send_close(CloseCode.UNSUPPORTED_DATA, "MQTT comes in binary frames")
            self.ended = True
        elif frame.opcode in (Opcode.BINARY, Opcode.CONT) and not self.ended:
            found.append(bytes(frame.data))
