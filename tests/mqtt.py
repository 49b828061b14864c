"""A raw MQTT connection for tests: builds packets byte by byte, legal or not, and reads what comes. Shares no code with the engine."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple, Self

WAIT_S = 30.0


class Packet(NamedTuple):
    """What a server sent: the first byte of its fixed header and its body."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        return self.first >> 4


class Message(NamedTuple):
    """A PUBLISH, taken apart."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int


def length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(out)


def field(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def packet(first: int, body: bytes = b"") -> bytes:
    return bytes([first]) + length(len(body)) + body


def connect(
    client_id: str | bytes = "c",
    *,
    clean: bool = True,
    keep_alive: int = 60,
    username: str | bytes | None = None,
    password: str | bytes | None = None,
    will: tuple[str | bytes, str | bytes, int, bool] | None = None,
    level: int = 4,
    name: str = "MQTT",
    flags: int | None = None,
    behind: bytes = b"",
) -> bytes:
    bits = 2 * clean
    fields = [field(client_id)]
    if will is not None:
        bits |= 0x04 | will[2] << 3 | will[3] << 5
        fields += [field(will[0]), field(will[1])]
    for value, bit in ((username, 0x80), (password, 0x40)):
        if value is not None:
            bits |= bit
            fields.append(field(value))
    header = field(name) + bytes([level, bits if flags is None else flags]) + keep_alive.to_bytes(2, "big")
    return packet(0x10, header + b"".join(fields) + behind)


def publish(
    topic: str | bytes,
    payload: str | bytes = b"",
    *,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 1,
) -> bytes:
    raw = payload.encode() if isinstance(payload, str) else payload
    body = field(topic) + (packet_id.to_bytes(2, "big") if qos else b"") + raw
    return packet(0x30 | dup << 3 | qos << 1 | retain, body)


def acknowledge(first: int, packet_id: int) -> bytes:
    return packet(first, packet_id.to_bytes(2, "big"))


def puback(packet_id: int) -> bytes:
    return acknowledge(0x40, packet_id)


def pubrec(packet_id: int) -> bytes:
    return acknowledge(0x50, packet_id)


def pubrel(packet_id: int) -> bytes:
    return acknowledge(0x62, packet_id)


def pubcomp(packet_id: int) -> bytes:
    return acknowledge(0x70, packet_id)


def subscribe(*wanted: tuple[str | bytes, int], packet_id: int = 10) -> bytes:
    return packet(0x82, packet_id.to_bytes(2, "big") + b"".join(field(f) + bytes([q]) for f, q in wanted))


def unsubscribe(*filters: str | bytes, packet_id: int = 11) -> bytes:
    return packet(0xA2, packet_id.to_bytes(2, "big") + b"".join(field(f) for f in filters))


PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


class Wire:
    """One TCP connection. Every wait ends by itself: a server that says nothing fails the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def connected(cls, port: int, connecting: bytes) -> Self:
        """Connect and be welcomed."""
        wire = await cls.open(port)
        wire.send(connecting)
        answer = await wire.packet()
        assert answer.first == 0x20, f"{answer} is no CONNACK"
        assert answer.body[1] == 0, f"{answer} refuses"
        wire.session_present = answer.body[0] == 1
        return wire

    session_present = False

    def send(self, *packets: bytes) -> None:
        self._writer.write(b"".join(packets))

    async def packet(self) -> Packet:
        """The next packet. Raises: EOFError when the server has closed."""
        async with asyncio.timeout(WAIT_S):
            return await self.whenever()

    async def whenever(self) -> Packet:
        """The next packet, however long it takes. To be cancelled only with the connection. Raises: EOFError."""
        try:
            first = (await self._reader.readexactly(1))[0]
            size = shift = 0
            while True:
                digit = (await self._reader.readexactly(1))[0]
                size |= (digit & 0x7F) << shift
                shift += 7
                if digit < 128:
                    break
            return Packet(first, await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError("the server has closed the connection") from error

    async def message(self) -> Message:
        """The next packet, which must be a PUBLISH."""
        first, body = await self.packet()
        assert first >> 4 == 3, f"not a PUBLISH: {first:#x} {body!r}"
        qos = first >> 1 & 3
        end = 2 + int.from_bytes(body[:2], "big")
        packet_id = int.from_bytes(body[end : end + 2], "big") if qos else 0
        return Message(
            body[2:end].decode(), body[end + (2 if qos else 0) :], qos, bool(first & 1), bool(first & 8), packet_id
        )

    async def subscribed(self, *wanted: tuple[str, int]) -> list[int]:
        """SUBSCRIBE; gives the return codes."""
        self.send(subscribe(*wanted))
        answer = await self.packet()
        assert answer.first == 0x90
        assert answer.body[:2] == b"\x00\x0a"
        return list(answer.body[2:])

    async def published(self, topic: str, payload: str | bytes = b"", *, retain: bool = False) -> None:
        """PUBLISH at QoS 1 and its PUBACK: whatever it caused has left the server."""
        self.send(publish(topic, payload, qos=1, retain=retain, packet_id=77))
        assert await self.packet() == (0x40, b"\x00\x4d")

    async def quiet(self) -> None:
        """Nothing else was sent before the answer to this ping."""
        self.send(PINGREQ)
        assert await self.packet() == (0xD0, b"")

    async def closed(self) -> None:
        """The server closes the connection and sends nothing more."""
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionError):
                assert await self._reader.read() == b""

    async def leave(self) -> None:
        """DISCONNECT, and wait for the server's end."""
        self.send(DISCONNECT)
        await self.closed()
        self.drop()

    async def flushed(self) -> None:
        """What was sent has left; the server may read it by itself."""
        await self._writer.drain()
        await asyncio.sleep(0)

    def finish(self) -> None:
        """Send nothing more."""
        self._writer.write_eof()

    async def ended_quietly(self) -> None:
        """The server closes the connection, whatever it says before."""
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionError):
                while await self._reader.read(4096):
                    pass

    def drop(self) -> None:
        """End the connection without a word."""
        self._writer.transport.abort()
