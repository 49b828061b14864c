"""Properties of MQTT 5.0 packets (section 2.2.2), between bytes and values.

`Properties` holds every property that a packet may have; which ones it may have, and how often, is data (`ALLOWED`). What is wrong
is a malformed packet, or a protocol error where the specification says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from broker import topics
from broker.errors import RemoteProtocolError
from broker.reasons import Reason

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of one packet; None, or an empty tuple, where it has none of a kind. Times in seconds, sizes in bytes."""

    payload_format: int | None = None
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifiers: tuple[int, ...] = ()
    session_expiry_s: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive_s: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_s: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user_properties: tuple[Pair, ...] = ()
    maximum_packet_size: int | None = None
    wildcard_subscription_available: int | None = None
    subscription_identifier_available: int | None = None
    shared_subscription_available: int | None = None

    def encode(self) -> bytes:
        """The property block without its length."""
        parts: list[bytes] = []
        for name, (number, write) in _WRITERS.items():
            value = getattr(self, name)
            if value is None or value == ():
                continue
            items = value if isinstance(value, tuple) else (value,)
            parts.extend(bytes((number,)) + write(item) for item in items)
        return b"".join(parts)


NONE: Final = Properties()


def variable(number: int) -> bytes:
    """A variable byte integer (section 1.5.5)."""
    if number < 128:
        return bytes((number,))
    out = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def block(properties: Properties) -> bytes:
    """The property block with its length."""
    encoded = properties.encode()
    return variable(len(encoded)) + encoded


def read_variable(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """(number, where it ends) of a variable byte integer. Raises: RemoteProtocolError."""
    number = shift = 0
    for index in range(at, min(at + 4, stop)):
        number |= (data[index] & 0x7F) << shift
        if data[index] < 128:
            return number, index + 1
        shift += 7
    raise RemoteProtocolError(Reason.MALFORMED_PACKET, "a variable byte integer that does not end")


def _number(size: int) -> tuple[Callable[[bytes, int, int], tuple[Any, int]], Callable[[Any], bytes]]:
    def read(data: bytes, at: int, stop: int) -> tuple[int, int]:
        if at + size > stop:
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "a property is longer than its packet")
        return int.from_bytes(data[at : at + size], "big"), at + size

    return read, lambda value: int(value).to_bytes(size, "big")


def _read_binary(data: bytes, at: int, stop: int) -> tuple[bytes, int]:
    end = at + 2 + (data[at] << 8 | data[at + 1]) if at + 2 <= stop else stop + 1
    if end > stop:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "a property is longer than its packet")
    return data[at + 2 : end], end


def _write_binary(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _read_text(data: bytes, at: int, stop: int) -> tuple[str, int]:
    raw, end = _read_binary(data, at, stop)
    return topics.decode(raw), end


def _write_text(value: str) -> bytes:
    return _write_binary(value.encode())


def _read_pair(data: bytes, at: int, stop: int) -> tuple[Pair, int]:
    name, at = _read_text(data, at, stop)
    value, at = _read_text(data, at, stop)
    return (name, value), at


def _write_pair(value: Pair) -> bytes:
    return _write_text(value[0]) + _write_text(value[1])


_BYTE, _TWO, _FOUR = _number(1), _number(2), _number(4)
_VARIABLE = (read_variable, variable)
_TEXT, _BINARY, _PAIR = (_read_text, _write_text), (_read_binary, _write_binary), (_read_pair, _write_pair)

# Section 2.2.2.2: identifier, name here, type.
_TABLE: Final[tuple[tuple[int, str, tuple[Callable[..., Any], Callable[..., bytes]]], ...]] = (
    (0x01, "payload_format", _BYTE),
    (0x02, "message_expiry_s", _FOUR),
    (0x03, "content_type", _TEXT),
    (0x08, "response_topic", _TEXT),
    (0x09, "correlation_data", _BINARY),
    (0x0B, "subscription_identifiers", _VARIABLE),
    (0x11, "session_expiry_s", _FOUR),
    (0x12, "assigned_client_id", _TEXT),
    (0x13, "server_keep_alive_s", _TWO),
    (0x15, "authentication_method", _TEXT),
    (0x16, "authentication_data", _BINARY),
    (0x17, "request_problem_information", _BYTE),
    (0x18, "will_delay_s", _FOUR),
    (0x19, "request_response_information", _BYTE),
    (0x1A, "response_information", _TEXT),
    (0x1C, "server_reference", _TEXT),
    (0x1F, "reason_string", _TEXT),
    (0x21, "receive_maximum", _TWO),
    (0x22, "topic_alias_maximum", _TWO),
    (0x23, "topic_alias", _TWO),
    (0x24, "maximum_qos", _BYTE),
    (0x25, "retain_available", _BYTE),
    (0x26, "user_properties", _PAIR),
    (0x27, "maximum_packet_size", _FOUR),
    (0x28, "wildcard_subscription_available", _BYTE),
    (0x29, "subscription_identifier_available", _BYTE),
    (0x2A, "shared_subscription_available", _BYTE),
)
_READERS: Final[Mapping[int, tuple[str, Callable[..., Any]]]] = {n: (name, kind[0]) for n, name, kind in _TABLE}
_WRITERS: Final[Mapping[str, tuple[int, Callable[..., bytes]]]] = {name: (n, kind[1]) for n, name, kind in _TABLE}
assert {field.name for field in fields(Properties)} == set(_WRITERS)

# What a client's packets may have (section 2.2.2.2, column "Packet / Will Properties").
_ACK: Final = frozenset({0x1F, 0x26})
CONNECT: Final = frozenset({0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27})
WILL: Final = frozenset({0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26})
PUBLISH: Final = frozenset({0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26})  # no subscription identifier: [MQTT-3.3.4-6]
SUBSCRIBE: Final = frozenset({0x0B, 0x26})
UNSUBSCRIBE: Final = frozenset({0x26})
ACKNOWLEDGEMENT: Final = _ACK
DISCONNECT: Final = frozenset({0x11, 0x1F, 0x26})  # no Server Reference: a server's
AUTH: Final = frozenset({0x15, 0x16, 0x1F, 0x26})
ANY: Final = frozenset(_READERS)  # of either side; a PUBLISH of a server's has several subscription identifiers

_FLAGS: Final = frozenset({0x01, 0x17, 0x19})  # 0 or 1
_NOT_ZERO: Final = frozenset({0x0B, 0x21, 0x23, 0x27})
FORWARDED: Final = frozenset({0x01, 0x03, 0x08, 0x09, 0x26})  # of a PUBLISH, passed on unaltered


def read(data: bytes, at: int, stop: int, allowed: frozenset[int]) -> tuple[Properties, bytes, int]:
    """(properties, the bytes of those that a PUBLISH passes on, where the block ends). Raises: RemoteProtocolError."""
    size, at = read_variable(data, at, stop)
    end = at + size
    if end > stop:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "the properties are longer than their packet")
    if not size:
        return NONE, b"", end
    found: dict[str, Any] = {}
    forwarded: list[bytes] = []
    users: list[Pair] = []
    while at < end:
        number, value, after = _one(data, at, end, allowed)
        name = _READERS[number][0]
        if number == 0x26:
            users.append(value)
        elif number == 0x0B and allowed is ANY:
            found[name] = (*found.get(name, ()), value)
        elif name in found:
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, f"property {name} comes twice")
        else:
            found[name] = (value,) if number == 0x0B else value
        if number in FORWARDED:
            forwarded.append(data[at:after])
        at = after
    return Properties(**found, user_properties=tuple(users)), b"".join(forwarded), end


def _one(data: bytes, at: int, end: int, allowed: frozenset[int]) -> tuple[int, Any, int]:
    number = data[at]
    if number not in allowed:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"property {number:#04x} has no place in this packet")
    name, reader = _READERS[number]
    value, after = reader(data, at + 1, end)
    if (number in _FLAGS and value > 1) or (number in _NOT_ZERO and value == 0):
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, f"property {name} is {value}")
    return number, value, after
