"""MQTT 3.1.1 control packets other than PUBLISH, between bytes and values (section 3). PUBLISH is read where it is handled.

Readers take the packet's body and raise RemoteProtocolError; writers give whole packets.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from broker import topics
from broker.errors import RemoteProtocolError
from broker.hooks import Will
from broker.reasons import Reason


class Kind(IntEnum):
    """Control packet types (section 2.2.1)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


PINGRESP: Final = b"\xd0\x00"
MAX_REMAINING: Final = 268_435_455  # section 2.2.3

# Flags that the fixed header of each packet must have: [MQTT-2.2.2-2].
FLAGS: Final = {
    Kind.CONNECT: 0, Kind.PUBACK: 0, Kind.PUBREC: 0, Kind.PUBREL: 2, Kind.PUBCOMP: 0, Kind.SUBSCRIBE: 2,
    Kind.UNSUBSCRIBE: 2, Kind.PINGREQ: 0, Kind.DISCONNECT: 0,
}  # fmt: skip

LEVEL_31: Final = 3
LEVEL_311: Final = 4
LEVEL_5: Final = 5
_NAMES: Final = {LEVEL_31: "MQIsdp", LEVEL_311: "MQTT", LEVEL_5: "MQTT"}


@dataclass(frozen=True, slots=True)
class Connect:
    """A CONNECT packet."""

    level: int
    client_id: str
    clean_start: bool
    keep_alive_s: int
    username: str | None
    password: bytes | None
    will: Will | None


class UnsupportedLevelError(RemoteProtocolError):
    """A CONNECT of a protocol version that is not spoken here."""

    def __init__(self, level: int) -> None:
        super().__init__(Reason.UNSUPPORTED_PROTOCOL_VERSION, f"protocol level {level}")
        self.level = level


class _Reader:
    """Reads fields off a packet's body."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._body)

    def byte(self) -> int:
        return self._take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def binary(self) -> bytes:
        return self._take(self.number())

    def text(self) -> str:
        return topics.decode(self.binary())

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "a field is longer than its packet")
        taken = self._body[self._at : end]
        self._at = end
        return taken


def read_connect(body: bytes) -> Connect:
    """Section 3.1. Raises: UnsupportedLevelError, RemoteProtocolError."""
    reader = _Reader(body)
    name, level = reader.text(), reader.byte()
    if name not in _NAMES.values():
        raise RemoteProtocolError(
            Reason.UNSUPPORTED_PROTOCOL_VERSION, "the protocol name is not MQTT"
        )  # [MQTT-3.1.2-1]
    if level not in (LEVEL_31, LEVEL_311) or _NAMES[level] != name:
        raise UnsupportedLevelError(level)  # [MQTT-3.1.2-2]
    flags, keep_alive_s = reader.byte(), reader.number()
    _check_connect_flags(flags)
    client_id = reader.text()
    will = None
    if flags & 0x04:
        topic, payload = reader.text(), reader.binary()
        will = Will(topic, payload, flags >> 3 & 3, retain=bool(flags & 0x20))
    username = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    if not reader.done:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "bytes behind the last field of CONNECT")
    return Connect(level, client_id, bool(flags & 0x02), keep_alive_s, username, password, will)


def _check_connect_flags(flags: int) -> None:
    if flags & 0x01:  # [MQTT-3.1.2-3]
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "reserved bit of the connect flags")
    if not flags & 0x04 and flags & 0x38:  # [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-15]
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "will QoS or retain without a will")
    if flags & 0x18 == 0x18:  # [MQTT-3.1.2-14]
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "will QoS 3")
    if flags & 0x40 and not flags & 0x80:  # [MQTT-3.1.2-22]
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "password without user name")


def read_subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """Packet id and (filter, QoS) pairs of SUBSCRIBE (section 3.8). Raises: RemoteProtocolError."""
    reader = _Reader(body)
    packet_id = _packet_id(reader)
    wanted = []
    while not reader.done:
        topic_filter, qos = reader.text(), reader.byte()
        if qos > 2:  # [MQTT-3-8.3-4]
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"requested QoS {qos}")
        wanted.append((topic_filter, qos))
    if not wanted:  # [MQTT-3.8.3-3]
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "SUBSCRIBE without a filter")
    return packet_id, wanted


def read_unsubscribe(body: bytes) -> tuple[int, list[str]]:
    """Packet id and filters of UNSUBSCRIBE (section 3.10). Raises: RemoteProtocolError."""
    reader = _Reader(body)
    packet_id = _packet_id(reader)
    filters = []
    while not reader.done:
        filters.append(reader.text())
    if not filters:  # [MQTT-3.10.3-2]
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "UNSUBSCRIBE without a filter")
    return packet_id, filters


def read_packet_id(body: bytes) -> int:
    """The packet id that is all of a PUBACK, PUBREC, PUBREL or PUBCOMP. Raises: RemoteProtocolError."""
    if len(body) != 2:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "an acknowledgement is two bytes")
    return body[0] << 8 | body[1]


def _packet_id(reader: _Reader) -> int:
    packet_id = reader.number()
    if packet_id == 0:  # [MQTT-2.3.1-1]
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "packet id 0")
    return packet_id


def remaining_length(length: int) -> bytes:
    """Section 2.2.3."""
    if length < 128:
        return bytes((length,))
    encoded = bytearray()
    while True:
        length, digit = length >> 7, length & 0x7F
        if not length:
            encoded.append(digit)
            return bytes(encoded)
        encoded.append(digit | 0x80)


def connack(return_code: int, *, session_present: bool) -> bytes:
    """Section 3.2."""
    return bytes((0x20, 2, session_present, return_code))


def connack_5(reason: Reason) -> bytes:
    """The CONNACK that an MQTT 5.0 client understands (MQTT 5.0, section 3.2), without properties."""
    return bytes((0x20, 3, 0, reason, 0))


def suback(packet_id: int, codes: list[int]) -> bytes:
    """Section 3.9."""
    return b"\x90" + remaining_length(2 + len(codes)) + packet_id.to_bytes(2, "big") + bytes(codes)


def unsuback(packet_id: int) -> bytes:
    """Section 3.11."""
    return b"\xb0\x02" + packet_id.to_bytes(2, "big")


def acknowledgement(kind: Kind, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7)."""
    return bytes((kind << 4 | FLAGS[kind], 2, packet_id >> 8, packet_id & 0xFF))


def publish_head(topic: bytes, payload_size: int, *, qos: int, retain: bool, dup: bool = False) -> bytes:
    """A PUBLISH up to where the packet id, if any, and the payload follow (section 3.3)."""
    length = 2 + len(topic) + (2 if qos else 0) + payload_size
    first = 0x30 | dup << 3 | qos << 1 | retain
    return bytes((first,)) + remaining_length(length) + len(topic).to_bytes(2, "big") + topic
