"""A raw MQTT 5.0 connection for tests: properties by their names in the specification, packets built byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests import mqtt
from tests.mqtt import Packet, Wire, packet

# name -> (identifier, type): section 2.2.2.2
PROPERTIES = {
    "payload_format": (0x01, "byte"), "message_expiry": (0x02, "four"), "content_type": (0x03, "text"),
    "response_topic": (0x08, "text"), "correlation_data": (0x09, "binary"), "subscription_identifier": (0x0B, "variable"),
    "session_expiry": (0x11, "four"), "assigned_client_id": (0x12, "text"), "server_keep_alive": (0x13, "two"),
    "authentication_method": (0x15, "text"), "authentication_data": (0x16, "binary"), "request_problem": (0x17, "byte"),
    "will_delay": (0x18, "four"), "request_response": (0x19, "byte"), "response_information": (0x1A, "text"),
    "server_reference": (0x1C, "text"), "reason_string": (0x1F, "text"), "receive_maximum": (0x21, "two"),
    "topic_alias_maximum": (0x22, "two"), "topic_alias": (0x23, "two"), "maximum_qos": (0x24, "byte"),
    "retain_available": (0x25, "byte"), "user": (0x26, "pair"), "maximum_packet_size": (0x27, "four"),
    "wildcard_available": (0x28, "byte"), "identifiers_available": (0x29, "byte"), "shared_available": (0x2A, "byte"),
}  # fmt: skip
NAMES = {number: (name, kind) for name, (number, kind) in PROPERTIES.items()}
SIZES = {"byte": 1, "two": 2, "four": 4}

Said = dict[str, Any]
"""Properties by name; a list stands for one that comes several times."""


def _write(kind: str, value: Any) -> bytes:
    match kind:
        case "text" | "binary":
            return mqtt.field(value)
        case "pair":
            return mqtt.field(value[0]) + mqtt.field(value[1])
        case "variable":
            return mqtt.length(value)
    return int(value).to_bytes(SIZES[kind], "big")


def properties(said: Said) -> bytes:
    """A property block with its length."""
    parts = []
    for name, value in said.items():
        number, kind = PROPERTIES[name]
        parts += [bytes([number]) + _write(kind, item) for item in (value if isinstance(value, list) else [value])]
    encoded = b"".join(parts)
    return mqtt.length(len(encoded)) + encoded


def _variable(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        digit = data[at]
        number |= (digit & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if digit < 128:
            return number, at


def _read(kind: str, data: bytes, at: int) -> tuple[Any, int]:
    if kind in SIZES:
        return int.from_bytes(data[at : at + SIZES[kind]], "big"), at + SIZES[kind]
    if kind == "variable":
        return _variable(data, at)
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    raw = data[at + 2 : end]
    if kind == "pair":
        second, after = _read("text", data, end)
        return (raw.decode(), second), after
    return (raw.decode() if kind == "text" else raw), end


def read_properties(data: bytes, at: int = 0) -> tuple[Said, int]:
    """(properties, where the block ends)."""
    size, at = _variable(data, at)
    end = at + size
    said: Said = {}
    while at < end:
        name, kind = NAMES[data[at]]
        value, at = _read(kind, data, at + 1)
        if name in ("user", "subscription_identifier"):
            said.setdefault(name, []).append(value)
        else:
            assert name not in said, f"{name} comes twice"
            said[name] = value
    assert at == end
    return said, end


def connect(
    client_id: str | bytes = "c",
    *,
    clean: bool = True,
    keep_alive: int = 60,
    username: str | None = None,
    password: str | bytes | None = None,
    will: tuple[str, str, int, bool] | None = None,
    will_said: Said | None = None,
    flags: int | None = None,
    behind: bytes = b"",
    block: bytes | None = None,
    **said: Any,
) -> bytes:
    bits = 2 * clean
    parts = [mqtt.field(client_id)]
    if will is not None:
        bits |= 0x04 | will[2] << 3 | will[3] << 5
        parts += [properties(will_said or {}), mqtt.field(will[0]), mqtt.field(will[1])]
    for value, bit in ((username, 0x80), (password, 0x40)):
        if value is not None:
            bits |= bit
            parts.append(mqtt.field(value))
    head = mqtt.field("MQTT") + bytes([5, bits if flags is None else flags]) + keep_alive.to_bytes(2, "big")
    return packet(0x10, head + (properties(said) if block is None else block) + b"".join(parts) + behind)


def publish(
    topic: str | bytes,
    payload: str | bytes = b"",
    *,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 1,
    block: bytes | None = None,
    **said: Any,
) -> bytes:
    raw = payload.encode() if isinstance(payload, str) else payload
    number = packet_id.to_bytes(2, "big") if qos else b""
    body = mqtt.field(topic) + number + (properties(said) if block is None else block) + raw
    return packet(0x30 | dup << 3 | qos << 1 | retain, body)


def subscribe(*wanted: tuple[str | bytes, int], packet_id: int = 10, block: bytes | None = None, **said: Any) -> bytes:
    """`wanted`: (filter, options byte)."""
    encoded = b"".join(mqtt.field(f) + bytes([o]) for f, o in wanted)
    return packet(0x82, packet_id.to_bytes(2, "big") + (properties(said) if block is None else block) + encoded)


def unsubscribe(*filters: str, packet_id: int = 11, **said: Any) -> bytes:
    return packet(0xA2, packet_id.to_bytes(2, "big") + properties(said) + b"".join(map(mqtt.field, filters)))


def acknowledge(first: int, packet_id: int, reason: int | None = None, **said: Any) -> bytes:
    tail = b"" if reason is None else bytes([reason]) + (properties(said) if said else b"")
    return packet(first, packet_id.to_bytes(2, "big") + tail)


def disconnect(reason: int = 0, **said: Any) -> bytes:
    return packet(0xE0, bytes([reason]) + properties(said))


def auth(reason: int, **said: Any) -> bytes:
    return packet(0xF0, bytes([reason]) + properties(said))


class Answer(NamedTuple):
    """CONNACK, DISCONNECT, AUTH or an acknowledgement, taken apart."""

    reason: int
    said: Said
    present: bool = False
    packet_id: int = 0


@dataclass
class Message:
    """A PUBLISH, taken apart."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    said: Said = field(default_factory=dict)


class Wire5(Wire):
    """One TCP connection that speaks MQTT 5.0."""

    welcome = Answer(0, {})

    @classmethod
    async def joined(cls, port: int, client_id: str | bytes = "c", **options: Any) -> Wire5:
        """Connect and be welcomed."""
        wire = await cls.open(port)
        wire.send(connect(client_id, **options))
        wire.welcome = await wire.connack()
        assert wire.welcome.reason == 0, wire.welcome
        return wire

    async def connack(self) -> Answer:
        first, body = await self.packet()
        assert first == 0x20, f"{first:#x} {body!r} is no CONNACK"
        said, end = read_properties(body, 2)
        assert end == len(body)
        assert body[0] in (0, 1)  # [MQTT-3.2.2-1]
        return Answer(body[1], said, present=body[0] == 1)

    async def ended(self) -> Answer:
        """The server's DISCONNECT, and that nothing follows it."""
        first, body = await self.packet()
        assert first == 0xE0, f"{first:#x} {body!r} is no DISCONNECT"
        await self.closed()
        return Answer(body[0], read_properties(body, 1)[0])

    async def challenged(self) -> Answer:
        """The server's AUTH."""
        first, body = await self.packet()
        assert first == 0xF0, f"{first:#x} {body!r} is no AUTH"
        return Answer(body[0], read_properties(body, 1)[0])

    async def acknowledged(self, first: int) -> Answer:
        """PUBACK, PUBREC, PUBREL or PUBCOMP."""
        packet_: Packet = await self.packet()
        assert packet_.first == first, packet_
        body = packet_.body
        said = read_properties(body, 3)[0] if len(body) > 3 else {}
        return Answer(body[2] if len(body) > 2 else 0, said, packet_id=int.from_bytes(body[:2], "big"))

    async def heard(self) -> Message:
        """The next packet, which must be a PUBLISH."""
        first, body = await self.packet()
        assert first >> 4 == 3, f"not a PUBLISH: {first:#x} {body!r}"
        qos, end = first >> 1 & 3, 2 + int.from_bytes(body[:2], "big")
        packet_id = int.from_bytes(body[end : end + 2], "big") if qos else 0
        said, at = read_properties(body, end + (2 if qos else 0))
        return Message(body[2:end].decode(), body[at:], qos, bool(first & 1), bool(first & 8), packet_id, said)

    async def subscribed(self, *wanted: tuple[str, int], **said: Any) -> list[int]:
        """SUBSCRIBE; gives the reason codes."""
        self.send(subscribe(*wanted, **said))
        first, body = await self.packet()
        assert first == 0x90
        assert body[:3] == b"\x00\x0a\x00"
        return list(body[3:])

    async def told(self, topic: str, payload: str | bytes = b"", **options: Any) -> Answer:
        """PUBLISH at QoS 1; gives the PUBACK."""
        self.send(publish(topic, payload, qos=1, packet_id=77, **options))
        answer = await self.acknowledged(0x40)
        assert answer.packet_id == 77
        return answer
