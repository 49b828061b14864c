"""MQTT 3.1.1 packets for a load generator: built once, sent many times. Nothing of the engine is used: a peer checks it."""

CONNACK = 4  # bytes
PUBACK = 4
SUBACK = 5


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


def connect(client_id: str) -> bytes:
    """A CONNECT with clean session and a long keep-alive."""
    body = text("MQTT") + b"\x04\x02" + (600).to_bytes(2, "big") + text(client_id)
    return b"\x10" + remaining_length(len(body)) + body


def subscribe(topic_filter: str, qos: int) -> bytes:
    """A SUBSCRIBE of one filter."""
    body = b"\x00\x01" + text(topic_filter) + bytes([qos])
    return b"\x82" + remaining_length(len(body)) + body


def publish(topic: str, payload: bytes, qos: int, packet_id: int = 1) -> bytes:
    """A PUBLISH."""
    body = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"") + payload
    return bytes([0x30 | qos << 1]) + remaining_length(len(body)) + body
