"""`make fuzz`: bytes, damaged packets and packets in every order on decoder and session; `make test` runs a short one.

Nothing may leave `receive_data`, no client may take more memory than its packet limit, and another client is still served.
"""

import random
import sys
import time
from typing import Any

from broker.connection import Connection
from broker.engine import Engine
from broker.hooks import Accepted, ConnectRequest, DetachCause, Hooks, Peer, Refused
from broker.reasons import Reason
from broker.settings import BrokerSettings
from tests import mqtt, mqtt5

LIMIT = 4096


class Client:
    """A connection without a socket."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.connection = Connection(engine, Peer("fuzz", 0, "fuzz"), self, 0.0)
        self.written = 0

    def authenticate(self, connection: Connection, request: ConnectRequest) -> None:
        self.engine.admit(connection, request, Accepted("", None))

    def exchange(self, connection: Connection, request: ConnectRequest, data: bytes | None, state: object) -> None:
        self.engine.turn_away(connection, request, Refused(Reason.BAD_AUTHENTICATION_METHOD, "none"))

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def flush(self) -> None:
        self.written += sum(map(len, self.connection.outgoing))
        self.connection.outgoing.clear()
        self.connection.dirty = False

    def close(self, cause: DetachCause, reason: Reason | None, text: str) -> None:
        self.flush()


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
    settings = BrokerSettings(
        max_packet_size=LIMIT, max_packet_size_connect=LIMIT, flapping_limit=0, duel_limit=0, max_retained=100
    )
    engine = Engine(settings, Hooks(), lambda: None, lambda *_: None, time.monotonic)
    witness = Client(engine)
    witness.connection.receive_data(mqtt.connect("witness") + mqtt.subscribe(("witness", 0)), 0.0)
    witness.flush()
    client, connections = Client(engine), 1
    for count in range(inputs):
        if client.connection.closed:
            engine.lost(client.connection)
            client, connections = Client(engine), connections + 1
            hello = mqtt.connect if chance.random() < 0.5 else mqtt5.connect
            client.connection.receive_data(hello(chance.choice("abc"), clean=chance.random() < 0.5), 0.0)
        packet = damaged(chance.choice(packets(chance)), chance)
        cut = chance.randrange(len(packet) + 1)
        for part in (packet[:cut], packet[cut:]):
            client.connection.receive_data(part, 0.0)
        client.flush()
        assert len(client.connection._buffer) <= LIMIT + 5, "more is kept than a packet may be long"
        if count % 1000 == 0:
            before = witness.written
            client.engine.publish("witness", b"x", qos=0, retain=False, properties=None, exclude=None)
            witness.flush()
            assert witness.written > before, "another client is not served any more"
    return connections


if __name__ == "__main__":
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    began, step = time.monotonic(), 50_000
    for start in range(0, total, step):
        ended = run(min(step, total - start), seed=start)
        print(
            f"{start + step:>9,} inputs, {ended:,} connections in the last {step:,}, {time.monotonic() - began:.0f} s"
        )
