"""Packets as people read them: any bytes of either direction, decoded into plain values. Pure, and raises for nothing.

What is no MQTT is told as such, beside its length. Secrets are not shown: passwords, authentication data, and values of a JSON
payload whose key says that they are secret. Section numbers are those of MQTT 5.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from broker import properties
from broker.errors import RemoteProtocolError
from broker.packets import FLAGS, LEVEL_5, Kind, Reader
from broker.properties import Properties
from broker.reasons import Reason

Shown = dict[str, Any]
"""A decoded packet: `packet` is its kind, the other keys are its fields; ready for JSON."""

MASK: Final = "***"
MAX_PAYLOAD: Final = 64  # characters of a payload that are shown, unless told otherwise
MAX_SCANNED: Final = 4096  # bytes of a payload that are looked at
_SECRET: Final = re.compile(r'("[^"]*(?:password|secret|token|credential)[^"]*"\s*:\s*)"[^"]*("|$)', re.IGNORECASE)
# Section 2.4: one number, two meanings.
_GRANTED: Final = {0: "GRANTED_QOS_0", 1: "GRANTED_QOS_1", 2: "GRANTED_QOS_2"}
# MQTT 3.1.1, section 3.2.2.3.
_RETURN_CODES: Final = ("ACCEPTED", "UNACCEPTABLE_PROTOCOL_VERSION", "IDENTIFIER_REJECTED", "SERVER_UNAVAILABLE",
                        "BAD_USER_NAME_OR_PASSWORD", "NOT_AUTHORIZED")  # fmt: skip


def decode(packet: bytes, level: int, max_payload: int = MAX_PAYLOAD) -> Shown:
    """One whole packet of a connection of this protocol level (3, 4 or 5)."""
    try:
        kind = Kind(packet[0] >> 4)
        _, at = properties.read_variable(packet, 1, len(packet))
    except (ValueError, IndexError, RemoteProtocolError):
        return {"packet": "?", "size": len(packet), "malformed": "this is no MQTT packet"}
    shown: Shown = {"packet": kind.name, "size": len(packet)}
    if kind is not Kind.PUBLISH and packet[0] & 0x0F != FLAGS.get(kind, 0):
        shown["flags"] = packet[0] & 0x0F
    try:
        _READERS[kind](Reader(packet[at:]), packet[0], level, max_payload, shown)
    except RemoteProtocolError as error:
        shown["malformed"] = str(error)
    return shown


def payload(data: bytes, most: int = MAX_PAYLOAD) -> str:
    """The beginning of a payload: as text if it is text, else in hexadecimal digits; secrets masked."""
    scanned = data[:MAX_SCANNED]
    text = scanned.decode(errors="ignore" if len(data) > MAX_SCANNED else "replace")
    if "�" in text or not all(one.isprintable() or one in "\t\r\n" for one in text):
        shown = scanned.hex()
        return shown if len(data) * 2 <= most else shown[:most] + "..."
    text = _SECRET.sub(rf'\1"{MASK}\2', text)
    return text if len(data) <= MAX_SCANNED and len(text) <= most else text[:most] + "..."


def _reason(code: int, named: Mapping[int, str] | None = None) -> str:
    if named is not None and code in named:
        return named[code]
    return Reason(code).name if code in Reason._value2member_map_ else f"{code:#04x}"


def _properties(reader: Reader, shown: Shown, key: str = "properties") -> None:
    said, _ = reader.properties(properties.ANY)
    listed = _listed(said)
    if listed:
        shown[key] = listed


def _listed(said: Properties) -> Shown:
    """The properties that are there, under their names."""
    listed: Shown = {}
    for field in fields(said):
        value = getattr(said, field.name)
        if value is None or value == ():
            continue
        if field.name == "authentication_data":
            value = f"{MASK} ({len(value)} bytes)"
        elif isinstance(value, bytes):
            value = payload(value)
        listed[field.name] = value
    return listed


def _connect(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    name, version, flags = reader.text(), reader.byte(), reader.byte()
    shown |= {"protocol": f"{name} {version}", "clean_start": bool(flags & 2), "keep_alive_s": reader.number()}
    if version == LEVEL_5:
        _properties(reader, shown)
    shown["client_id"] = reader.text()
    if flags & 0x04:
        will: Shown = {"qos": flags >> 3 & 3, "retain": bool(flags & 0x20)}
        shown["will"] = will
        if version == LEVEL_5:
            _properties(reader, will)
        will["topic"] = reader.text()
        will["payload"] = payload(reader.binary(), most)
    if flags & 0x80:
        shown["username"] = reader.text()
    if flags & 0x40:
        reader.binary()
        shown["password"] = MASK
    _end(reader)


def _connack(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    shown["session_present"] = bool(reader.byte())
    code = reader.byte()
    if level == LEVEL_5:
        shown["reason"] = _reason(code)
        _properties(reader, shown)
    else:
        shown["reason"] = _reason(code, dict(enumerate(_RETURN_CODES)))
    _end(reader)


def _publish(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    qos = first >> 1 & 3
    shown |= {"topic": reader.text(), "qos": qos, "retain": bool(first & 1)}
    if first & 0x08:
        shown["dup"] = True
    if qos:
        shown["packet_id"] = reader.number()
    if level == LEVEL_5:
        _properties(reader, shown)
    data = reader.rest()
    shown |= {"length": len(data), "payload": payload(data, most)}


def _acknowledgement(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    shown["packet_id"] = reader.number()
    _reason_and_properties(reader, level, shown)


def _reason_only(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    _reason_and_properties(reader, level, shown)


def _reason_and_properties(reader: Reader, level: int, shown: Shown) -> None:
    """What stands at the end of most packets of MQTT 5.0, and may be left out for success (section 3.4.2.1)."""
    if level == LEVEL_5:
        shown["reason"] = _reason(0 if reader.done else reader.byte())
        if not reader.done:
            _properties(reader, shown)
    _end(reader)


def _subscribe(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    _number_and_properties(reader, level, shown)
    filters: list[Shown] = []
    shown["filters"] = filters
    while not reader.done:
        topic_filter, options = reader.text(), reader.byte()
        one: Shown = {"filter": topic_filter, "qos": options & 3}
        if level == LEVEL_5 and options & 0x3C:
            one |= {
                "no_local": bool(options & 0x04),
                "retain_as_published": bool(options & 0x08),
                "retain_handling": options >> 4 & 3,
            }
        filters.append(one)


def _unsubscribe(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    _number_and_properties(reader, level, shown)
    filters: list[str] = []
    shown["filters"] = filters
    while not reader.done:
        filters.append(reader.text())


def _suback(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    _codes(reader, level, shown, _GRANTED)


def _unsuback(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    _codes(reader, level, shown, None)


def _codes(reader: Reader, level: int, shown: Shown, named: Mapping[int, str] | None) -> None:
    _number_and_properties(reader, level, shown)
    codes = [_reason(code, named) for code in reader.rest()]
    if codes:
        shown["reasons"] = codes


def _number_and_properties(reader: Reader, level: int, shown: Shown) -> None:
    """What SUBSCRIBE, UNSUBSCRIBE and their answers begin with."""
    shown["packet_id"] = reader.number()
    if level == LEVEL_5:
        _properties(reader, shown)


def _empty(reader: Reader, first: int, level: int, most: int, shown: Shown) -> None:
    _end(reader)


def _end(reader: Reader) -> None:
    if not reader.done:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "bytes behind the last field")


_READERS: Final[Mapping[Kind, Callable[[Reader, int, int, int, Shown], None]]] = {
    Kind.CONNECT: _connect,
    Kind.CONNACK: _connack,
    Kind.PUBLISH: _publish,
    Kind.PUBACK: _acknowledgement,
    Kind.PUBREC: _acknowledgement,
    Kind.PUBREL: _acknowledgement,
    Kind.PUBCOMP: _acknowledgement,
    Kind.SUBSCRIBE: _subscribe,
    Kind.SUBACK: _suback,
    Kind.UNSUBSCRIBE: _unsubscribe,
    Kind.UNSUBACK: _unsuback,
    Kind.PINGREQ: _empty,
    Kind.PINGRESP: _empty,
    Kind.DISCONNECT: _reason_only,
    Kind.AUTH: _reason_only,
}
assert set(_READERS) == set(Kind)
