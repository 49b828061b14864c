"""MQTT 3.1.1 packets for a load generator: built once, sent many times. Nothing of the engine is used: a peer checks it."""

from collections.abc import Sequence
from typing import Final

CONNACK: Final = 4  # bytes
ACKNOWLEDGEMENT: Final = 4  # PUBACK, PUBREC, PUBREL, PUBCOMP
DISCONNECT: Final = b"\xe0\x00"
USER: Final = "bench"
PASSWORD: Final = "measure-me"
TREE: Final = "f/"  # where the user may publish and subscribe; every peer's gate refuses the rest


def remaining_length(size: int) -> bytes:
    """A packet's length field (MQTT 3.1.1, section 2.2.3)."""
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(out)


def text(value: str) -> bytes:
    """A length and UTF-8 text."""
    raw = value.encode()
    return len(raw).to_bytes(2, "big") + raw


def connect(client_id: str, password: str = PASSWORD, user: str = USER) -> bytes:
    """A CONNECT with user name and password, clean session and a long keep-alive."""
    body = text("MQTT") + b"\x04\xc2" + (600).to_bytes(2, "big") + text(client_id) + text(user) + text(password)
    return b"\x10" + remaining_length(len(body)) + body


def subscribe(topic_filters: Sequence[str], qos: int) -> bytes:
    """A SUBSCRIBE."""
    body = b"\x00\x01" + b"".join(text(topic_filter) + bytes([qos]) for topic_filter in topic_filters)
    return b"\x82" + remaining_length(len(body)) + body


def suback_size(filters: int) -> int:
    """Bytes of the answer to a SUBSCRIBE of so many filters."""
    return 1 + len(remaining_length(2 + filters)) + 2 + filters


def publish_head(topic: str, payload_size: int, qos: int, packet_id: int = 1) -> bytes:
    """A PUBLISH up to its payload."""
    head = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    return bytes([0x30 | qos << 1]) + remaining_length(len(head) + payload_size) + head


def publish(topic: str, payload: bytes, qos: int, packet_id: int = 1) -> bytes:
    """A PUBLISH."""
    return publish_head(topic, len(payload), qos, packet_id) + payload


def acknowledgements(data: bytes, first_at: int, size: int, count: int) -> bytes:
    """PUBACKs of `count` PUBLISHes of `size` bytes each that lie one behind the other; the first one's packet id is at `first_at`."""
    out = bytearray(b"\x40\x02\x00\x00" * count)
    end = first_at + size * (count - 1) + 1
    out[2::4] = data[first_at:end:size]
    out[3::4] = data[first_at + 1 : end + 1 : size]
    return bytes(out)
