"""MQTT control packets other than PUBLISH, between bytes and values. PUBLISH is read and written where it is handled.

MQTT 3.1, 3.1.1 and 5.0: `level` is the protocol level of the connection (3, 4, 5). Section numbers are those of MQTT 5.0 unless said
otherwise. Readers take the packet's body and raise RemoteProtocolError; writers give whole packets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from broker import properties, topics
from broker.errors import RemoteProtocolError
from broker.hooks import Will
from broker.properties import NONE, Properties
from broker.reasons import Reason


class Kind(IntEnum):
    """Control packet types (section 2.1.2)."""

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
    AUTH = 15


PINGRESP: Final = b"\xd0\x00"

# Flags that the fixed header of each client's packet must have: [MQTT-2.2.2-2] of 3.1.1, [MQTT-2.1.3-1] of 5.0.
FLAGS: Final = {
    Kind.CONNECT: 0, Kind.PUBACK: 0, Kind.PUBREC: 0, Kind.PUBREL: 2, Kind.PUBCOMP: 0, Kind.SUBSCRIBE: 2,
    Kind.UNSUBSCRIBE: 2, Kind.PINGREQ: 0, Kind.DISCONNECT: 0, Kind.AUTH: 0,
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
    properties: Properties


class Wanted(NamedTuple):
    """One filter of a SUBSCRIBE with its options (section 3.8.3.1)."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0  # 0: send what is retained; 1: only if the subscription is new; 2: never


class ConnectError(RemoteProtocolError):
    """A CONNECT that is wrong; `level` is the protocol level that it named, so that it can be answered."""

    def __init__(self, reason: Reason, text: str, level: int) -> None:
        super().__init__(reason, text)
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

    def properties(self, allowed: frozenset[int]) -> tuple[Properties, bytes]:
        found, forwarded, self._at = properties.read(self._body, self._at, len(self._body), allowed)
        return found, forwarded

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "a field is longer than its packet")
        taken = self._body[self._at : end]
        self._at = end
        return taken


def read_connect(body: bytes) -> Connect:
    """Section 3.1. Raises: ConnectError, RemoteProtocolError."""
    reader = _Reader(body)
    name, level = reader.text(), reader.byte()
    if name not in _NAMES.values():  # [MQTT-3.1.2-1]
        raise RemoteProtocolError(Reason.UNSUPPORTED_PROTOCOL_VERSION, "the protocol name is not MQTT")
    if _NAMES.get(level) != name:  # [MQTT-3.1.2-2]
        raise ConnectError(Reason.UNSUPPORTED_PROTOCOL_VERSION, f"protocol level {level}", level)
    try:
        return _read_connect(reader, level)
    except RemoteProtocolError as error:
        raise ConnectError(error.reason, str(error), level) from error


def _read_connect(reader: _Reader, level: int) -> Connect:
    flags, keep_alive_s = reader.byte(), reader.number()
    _check_connect_flags(flags, level)
    said = reader.properties(properties.CONNECT)[0] if level == LEVEL_5 else NONE
    if said.authentication_data is not None and said.authentication_method is None:  # section 3.1.2.11.10
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "authentication data without a method")
    client_id = reader.text()
    will = _read_will(reader, flags, level) if flags & 0x04 else None
    username = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    if not reader.done:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "bytes behind the last field of CONNECT")
    return Connect(level, client_id, bool(flags & 0x02), keep_alive_s, username, password, will, said)


def _read_will(reader: _Reader, flags: int, level: int) -> Will:
    said, forwarded = reader.properties(properties.WILL) if level == LEVEL_5 else (NONE, b"")
    topic, payload = reader.text(), reader.binary()
    return Will(
        topic,
        payload,
        flags >> 3 & 3,
        retain=bool(flags & 0x20),
        delay_s=said.will_delay_s or 0,
        properties=forwarded,
        expiry_s=said.message_expiry_s,
    )


def _check_connect_flags(flags: int, level: int) -> None:
    if flags & 0x01:  # [MQTT-3.1.2-3]
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "reserved bit of the connect flags")
    if not flags & 0x04 and flags & 0x38:  # [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-15]
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "will QoS or retain without a will")
    if flags & 0x18 == 0x18:  # [MQTT-3.1.2-14] of 3.1.1, [MQTT-3.1.2-12] of 5.0
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "will QoS 3")
    if level != LEVEL_5 and flags & 0x40 and not flags & 0x80:  # [MQTT-3.1.2-22] of 3.1.1; 5.0 allows it
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "password without user name")


def read_subscribe(body: bytes, level: int) -> tuple[int, list[Wanted], int | None]:
    """Packet id, filters and subscription identifier of SUBSCRIBE (section 3.8). Raises: RemoteProtocolError."""
    reader = _Reader(body)
    packet_id = _packet_id(reader)
    said = reader.properties(properties.SUBSCRIBE)[0] if level == LEVEL_5 else NONE
    wanted = []
    while not reader.done:
        topic_filter, options = reader.text(), reader.byte()
        wanted.append(_wanted(topic_filter, options, level))
    if not wanted:  # [MQTT-3.8.3-3] of 3.1.1, [MQTT-3.8.3-2] of 5.0
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "SUBSCRIBE without a filter")
    return packet_id, wanted, next(iter(said.subscription_identifiers), None)


def _wanted(topic_filter: str, options: int, level: int) -> Wanted:
    qos = options & 0x03
    reserved = options & 0xC0 if level == LEVEL_5 else options & 0xFC
    if qos == 3 or reserved:  # [MQTT-3-8.3-4] of 3.1.1, [MQTT-3.8.3-5] of 5.0
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"subscription options {options:#04x}")
    wanted = Wanted(topic_filter, qos, bool(options & 0x04), bool(options & 0x08), options >> 4 & 3)
    if wanted.retain_handling == 3:
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "retain handling 3")
    if wanted.no_local and topic_filter.startswith(topics.SHARE):  # [MQTT-3.8.3-4]
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "no local on a shared subscription")
    return wanted


def read_unsubscribe(body: bytes, level: int) -> tuple[int, list[str]]:
    """Packet id and filters of UNSUBSCRIBE (section 3.10). Raises: RemoteProtocolError."""
    reader = _Reader(body)
    packet_id = _packet_id(reader)
    if level == LEVEL_5:
        reader.properties(properties.UNSUBSCRIBE)
    filters = []
    while not reader.done:
        filters.append(reader.text())
    if not filters:  # [MQTT-3.10.3-2]
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "UNSUBSCRIBE without a filter")
    return packet_id, filters


def read_acknowledgement(body: bytes, level: int) -> tuple[int, int]:
    """(packet id, reason code) of PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7). Raises: RemoteProtocolError."""
    if len(body) == 2:
        return body[0] << 8 | body[1], 0
    if level != LEVEL_5 or len(body) < 2:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "an acknowledgement is two bytes")
    if len(body) > 3:
        _, _, end = properties.read(body, 3, len(body), properties.ACKNOWLEDGEMENT)
        if end != len(body):
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "bytes behind an acknowledgement")
    return body[0] << 8 | body[1], body[2]


def read_reason(body: bytes, allowed: frozenset[int]) -> tuple[int, Properties]:
    """Reason code and properties of DISCONNECT or AUTH; nothing stands for success (sections 3.14, 3.15). Raises: RemoteProtocolError."""
    if len(body) < 2:
        return (body[0] if body else 0), NONE
    said, _, end = properties.read(body, 1, len(body), allowed)
    if end != len(body):
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "bytes behind the properties")
    return body[0], said


def _packet_id(reader: _Reader) -> int:
    packet_id = reader.number()
    if packet_id == 0:  # [MQTT-2.3.1-1] of 3.1.1, [MQTT-2.2.1-3] of 5.0
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "packet id 0")
    return packet_id


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + properties.variable(len(body)) + body


def connack(return_code: int, *, session_present: bool) -> bytes:
    """MQTT 3.1.1, section 3.2."""
    return bytes((0x20, 2, session_present, return_code))


def connack_5(reason: int, said: Properties, *, session_present: bool = False) -> bytes:
    """Section 3.2."""
    return _packet(0x20, bytes((session_present, reason)) + properties.block(said))


def suback(packet_id: int, codes: Sequence[int], level: int) -> bytes:
    """Section 3.9."""
    none = b"\x00" if level == LEVEL_5 else b""
    return _packet(0x90, packet_id.to_bytes(2, "big") + none + bytes(codes))


def unsuback(packet_id: int, codes: Sequence[int], level: int) -> bytes:
    """Section 3.11."""
    if level == LEVEL_5:
        return _packet(0xB0, packet_id.to_bytes(2, "big") + b"\x00" + bytes(codes))
    return b"\xb0\x02" + packet_id.to_bytes(2, "big")


def acknowledgement(kind: Kind, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP of success: the same bytes in every version (section 3.4.2.1)."""
    return bytes((kind << 4 | FLAGS[kind], 2, packet_id >> 8, packet_id & 0xFF))


def acknowledgement_5(kind: Kind, packet_id: int, reason: int, said: Properties) -> bytes:
    """An acknowledgement with a reason code, and properties if there are any."""
    more = properties.block(said) if said != NONE else b""
    return _packet(kind << 4 | FLAGS[kind], packet_id.to_bytes(2, "big") + bytes((reason,)) + more)


def disconnect(reason: int, said: Properties) -> bytes:
    """Section 3.14."""
    return _packet(0xE0, bytes((reason,)) + properties.block(said))


def auth(reason: int, said: Properties) -> bytes:
    """Section 3.15."""
    return _packet(0xF0, bytes((reason,)) + properties.block(said))


def publish_head(topic: bytes, rest: int, *, qos: int, retain: bool, dup: bool = False) -> bytes:
    """A PUBLISH up to where the packet id, if any, follows; `rest` bytes come behind that: properties and payload (section 3.3)."""
    length = 2 + len(topic) + (2 if qos else 0) + rest
    first = 0x30 | dup << 3 | qos << 1 | retain
    return bytes((first,)) + properties.variable(length) + len(topic).to_bytes(2, "big") + topic
