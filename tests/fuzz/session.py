"""Bytes, damaged packets and packets in every order, on decoder and session.

Nothing may leave `receive_data`, no client may take more memory than its packet limit, and another client is still served.
"""

import random
import time
from typing import Any

from tests import mqtt, mqtt5
from tests.socketless import Client, engine

LIMIT = 4096


def packets(chance: random.Random) -> list[bytes]:
    """One of each packet that a client may send, with fields by chance."""
    topic = chance.choice(["a", "a/b", "$SYS/x", "", "a/+", "é" * 40])
    number, qos, payload = chance.randrange(4), chance.randrange(4), chance.randbytes(chance.randrange(60))
    said: dict[str, Any] = chance.choice(
        [{}, {"topic_alias": chance.randrange(40)}, {"message_expiry": 1}, {"user": ("a", "b")}]
    )
    return [
        mqtt.publish(topic, payload, qos=qos, retain=chance.random() < 0.3, packet_id=number),
        mqtt5.publish(topic, payload, qos=qos, packet_id=number, **said),
        mqtt.subscribe((topic, qos), packet_id=number),
        mqtt5.subscribe((chance.choice(["$share/g/a", "#", topic]), chance.randrange(256)), packet_id=number),
        mqtt.unsubscribe(topic),
        mqtt5.unsubscribe(topic),
        mqtt5.acknowledge(chance.choice([0x40, 0x50, 0x62, 0x70]), number, chance.choice([None, 0, 0x80])),
        mqtt5.disconnect(chance.randrange(256)),
        mqtt5.auth(chance.randrange(256), authentication_method="x"),
        mqtt.PINGREQ,
        mqtt.connect(),
        mqtt5.connect(session_expiry=chance.randrange(10)),
        chance.randbytes(chance.randrange(40)),
    ]


def damaged(packet: bytes, chance: random.Random) -> bytes:
    """A packet with some bytes changed, cut or doubled."""
    raw = bytearray(packet)
    for _ in range(chance.randrange(3)):
        if raw:
            raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw[: chance.randrange(len(raw) + 1)] if chance.random() < 0.1 else raw)


def run(inputs: int, seed: int) -> int:
    """Feed so many inputs; gives how many connections they took. Raises: whatever the engine lets out."""
    chance = random.Random(seed)
    no_bounds = {"flapping_limit": 0, "duel_limit": 0}
    shared = engine(time.monotonic, max_packet_size=LIMIT, max_packet_size_connect=LIMIT, max_retained=100, **no_bounds)
    witness = Client(shared)
    witness.feed(mqtt.connect("witness") + mqtt.subscribe(("witness", 0)))
    client, connections = Client(shared), 1
    for count in range(inputs):
        if client.connection.closed:
            shared.lost(client.connection)
            client, connections = Client(shared), connections + 1
            hello = mqtt.connect if chance.random() < 0.5 else mqtt5.connect
            client.connection.receive_data(hello(chance.choice("abc"), clean=chance.random() < 0.5), 0.0)
        packet = damaged(chance.choice(packets(chance)), chance)
        cut = chance.randrange(len(packet) + 1)
        for part in (packet[:cut], packet[cut:]):
            client.connection.receive_data(part, 0.0)
        client.taken()
        assert len(client.connection._buffer) <= LIMIT + 5, "more is kept than a packet may be long"
        if count % 1000 == 0:
            witness.taken()
            shared.publish("witness", b"x", qos=0, retain=False, properties=None, exclude=None)
            assert witness.taken(), "another client is not served any more"
    return connections
