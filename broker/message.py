"""A message on its way to one client, and its bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from broker.packets import publish_head
from broker.properties import variable

if TYPE_CHECKING:
    from broker.journal import Kept

Message = tuple[bytes, bytes, int, bool, "object | None", bytes, "float | None", "Kept | None"]
"""(topic as shown, payload, QoS, retain, tag, MQTT 5.0 properties encoded, time at which it expires, its place on disk).

A plain tuple: one is made per delivery. The properties leave out expiry and topic alias, which are known only when it is sent."""

TOPIC: Final = 0
PAYLOAD: Final = 1
QOS: Final = 2
RETAIN: Final = 3
TAG: Final = 4
PROPERTIES: Final = 5
EXPIRES: Final = 6
KEPT: Final = 7

_EXPIRY: Final = b"\x02"
_ALIAS: Final = b"\x23"


def encode(message: Message, packet_id: int, *, dup: bool = False) -> bytes:
    """The PUBLISH of MQTT 3.1 and 3.1.1."""
    topic, payload, qos, retain, *_ = message
    head = publish_head(topic, len(payload), qos=qos, retain=retain, dup=dup)
    return head + packet_id.to_bytes(2, "big") + payload if qos else head + payload


class Writer5:
    """The PUBLISHes of one MQTT 5.0 connection: properties, topic aliases, and the largest packet that the client takes."""

    __slots__ = ("_aliases", "_clock", "_max_aliases", "_max_packet")

    def __init__(self, max_packet: int | None, max_aliases: int, clock: Callable[[], float]) -> None:
        self._max_packet = max_packet
        self._max_aliases = max_aliases
        self._aliases: dict[bytes, bytes] = {}  # topic -> its alias property, once the client has been told
        self._clock = clock

    @property
    def plain(self) -> bool:
        """Whether a PUBLISH without expiry has the same bytes for every such client."""
        return self._max_packet is None and not self._max_aliases

    def takes(self, packet: bytes) -> bool:
        """Whether the client takes a packet so large."""
        return self._max_packet is None or len(packet) <= self._max_packet

    def encode(self, message: Message, packet_id: int, *, dup: bool = False) -> bytes | None:
        """The packet, or None when the client does not take one so large [MQTT-3.1.2-24]."""
        topic, payload, qos, retain, _, said, expires_s, _ = message
        if expires_s is not None:  # what is left of it: [MQTT-3.3.2-6]
            left = max(1, math.ceil(expires_s - self._clock()))
            said = _EXPIRY + left.to_bytes(4, "big") + said
        name, said, fresh = self._aliased(topic, said)
        block = variable(len(said)) + said
        rest = block + payload
        head = publish_head(name, len(rest), qos=qos, retain=retain, dup=dup)
        packet = head + packet_id.to_bytes(2, "big") + rest if qos else head + rest
        if not self.takes(packet):
            return None
        if fresh is not None:
            self._aliases[topic] = fresh
        return packet

    def _aliased(self, topic: bytes, said: bytes) -> tuple[bytes, bytes, bytes | None]:
        """(topic name to send, properties, the alias that is new with this packet)."""
        known = self._aliases.get(topic)
        if known is not None:
            return b"", known + said, None
        if len(self._aliases) < self._max_aliases:
            fresh = _ALIAS + (len(self._aliases) + 1).to_bytes(2, "big")
            return topic, fresh + said, fresh
        return topic, said, None
