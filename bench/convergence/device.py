"""A device: connects with its own credential, subscribes, acknowledges what comes, and reports each configuration as applied.

It reads what it must of a packet and builds its answers from parts that were made once. What it counts is its fleet's. Hot path.
"""

import asyncio
from typing import Final, Protocol, cast

from bench import wire
from bench.errors import NoResult

PUBLISH: Final = 0x30
PUBACK: Final = 0x40
CONFIG_ID_AT: Final = len('{"id":"')
CONFIG_ID_SIZE: Final = 16


class Heard(Protocol):
    """What devices tell their fleet."""

    def on_config(self, size: int, payload: bytes) -> None:
        """A configuration came: bytes of its packet, and what it says."""
        ...

    def on_reported(self) -> None:
        """The server has acknowledged a report: it is stored."""
        ...

    def on_traffic(self, received: int, sent: int) -> None:
        """Bytes of one read and of the answer to it."""
        ...

    def on_lost(self, why: str) -> None:
        """The server closed a connection."""
        ...


class Device(asyncio.Protocol):
    """One connection of one device. `ready` is set when it is subscribed."""

    __slots__ = ("_expected", "_fleet", "_hello", "_leaving", "_rest", "_transport", "_welcomed", "ready", "report")

    def __init__(self, fleet: Heard, hello: bytes, report: "Report") -> None:
        self._fleet = fleet
        self._hello = hello
        self.report = report
        self._expected = wire.CONNACK + wire.suback_size(1)
        self._rest = b""
        self._welcomed = False
        self._leaving = False
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """CONNECT and SUBSCRIBE in one write."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        """Answer every whole packet of what has come, in one write."""
        rest = self._rest + data
        if not self._welcomed:
            if len(rest) < self._expected:
                self._rest = rest
                return
            if not self._let_in(rest[: self._expected]):
                return
            rest = rest[self._expected :]
        answer = bytearray()
        at, size = 0, len(rest)
        while size - at >= 2:
            length, body = _length(rest, at + 1)
            if body + length > size:
                break
            self._packet(rest, at, body, body + length, answer)
            at = body + length
        self._rest = rest[at:]
        if answer and self._transport is not None:
            self._transport.write(answer)
        self._fleet.on_traffic(len(data), len(answer))

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that throws a device out ends the measurement."""
        why = f"the server closed a connection ({exc or 'no error'})"
        if not self.ready.done():
            self.ready.set_exception(NoResult(why))
        elif not self._leaving:
            self._fleet.on_lost(why)

    def drop(self) -> None:
        """Go without a word, as a device does whose network fails."""
        self._leaving = True
        if self._transport is not None:
            self._transport.abort()

    def _let_in(self, answer: bytes) -> bool:
        if answer[:4] != b"\x20\x02\x00\x00" or answer[-1] >= 0x80:
            self._leaving = True
            self.ready.set_exception(NoResult(f"the server refused a device: {answer.hex(' ')}"))
            return False
        self._welcomed = True
        self.ready.set_result(None)
        return True

    def _packet(self, data: bytes, start: int, body: int, end: int, answer: bytearray) -> None:
        kind = data[start] & 0xF0
        if kind == PUBLISH:
            after_topic = body + 2 + int.from_bytes(data[body : body + 2], "big")
            answer += b"\x40\x02" + data[after_topic : after_topic + 2]
            if data[after_topic - 7 : after_topic] == b"/config":
                payload = data[after_topic + 2 : end]
                answer += self.report.of(payload)
                self._fleet.on_config(end - start, payload)
        elif kind == PUBACK:
            self._fleet.on_reported()


class Report:
    """What a device says when it has applied a configuration: fixed bytes around the configuration's id."""

    __slots__ = ("_after", "_before")

    def __init__(self, topic: str) -> None:
        packet = wire.publish(topic, b'{"id":"' + bytes(CONFIG_ID_SIZE) + b'","code":200}', 1)
        self._before, self._after = packet.split(bytes(CONFIG_ID_SIZE))

    def of(self, payload: bytes) -> bytes:
        """The report on a configuration. Its packet id is always 1: a device reports one thing at a time."""
        return self._before + payload[CONFIG_ID_AT : CONFIG_ID_AT + CONFIG_ID_SIZE] + self._after


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(remaining length, where the body begins); more than there can be when the field itself is not whole."""
    value = shift = 0
    for position in range(at, min(at + 4, len(data))):
        value |= (data[position] & 0x7F) << shift
        if data[position] < 0x80:
            return value, position + 1
        shift += 7
    return len(data), at
