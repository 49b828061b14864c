"""The yardstick: the same bytes to the same number of devices through Mosquitto, as retained messages, one topic each or one for all.

The devices are the same, and answer with the same report at QoS 1. Mosquitto keeps nothing on disk, no ledger, and merges no layers.
"""

import asyncio
import time
from typing import Final

from bench import wire
from bench.clients import Client
from bench.convergence.fleet import Fleet, Login
from bench.peers.mosquitto import Mosquitto
from bench.running import running

OWN: Final = "a topic each"
SHARED: Final = "one topic for all"


async def retained(names: list[str], payload: bytes, *, shared: bool) -> float:
    """Seconds from the publisher's first byte until the last device's report is acknowledged. Raises: NoResult, NotStarted."""
    with running(Mosquitto()) as broker:
        fleet = Fleet(broker.port, [_login(name, shared=shared) for name in names])
        await fleet.attach()
        publisher = Client("publisher")
        await asyncio.get_running_loop().create_connection(lambda: publisher, "127.0.0.1", broker.port)
        await publisher.ready
        topics = [_topic("all")] if shared else [_topic(name) for name in names]
        packets = b"".join(_retained(topic, payload, number) for number, topic in enumerate(topics, 1))
        fleet.expect(len(fleet))
        began_s = time.perf_counter()
        publisher.send(packets)
        await fleet.all_reported()
        took_s = time.perf_counter() - began_s
        fleet.drop()
        publisher.close()
        return took_s


def _topic(name: str) -> str:
    return f"{wire.TREE}{name}/d/config"


def _login(name: str, *, shared: bool) -> Login:
    report = f"{wire.TREE}{name}/u/config/applied"
    return Login(name, wire.USER, wire.PASSWORD, _topic("all" if shared else name), report)


def _retained(topic: str, payload: bytes, number: int) -> bytes:
    packet = wire.publish(topic, payload, 1, (number - 1) % 0xFFFF + 1)
    return bytes([packet[0] | 1]) + packet[1:]
