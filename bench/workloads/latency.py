"""Latency at a fixed rate. The time in a message is that at which it was due, so a late sender does not hide a slow broker."""

import asyncio
import struct
import time
from typing import TYPE_CHECKING

from bench import wire
from bench.clients import Client, Subscriber
from bench.errors import NoResult
from bench.load import WARM_UP_S
from bench.workloads.publish import PUBLISHERS, topic_of

if TYPE_CHECKING:
    from bench.load import Load

PER_S = 10_000
STEP_S = 0.001
ENOUGH = 0.95  # of the messages must have arrived at the end
STAMP = struct.Struct(">q")  # nanoseconds


class _Pace:
    """Sends what is due, one publisher after the other, and takes the times of what arrives."""

    def __init__(self, load: "Load") -> None:
        size = load.site.payload
        self.publishers = [Client(f"p{i}") for i in range(PUBLISHERS)]
        self.heads = [wire.publish_head(topic_of(i), size, 1, packet_id=1) for i in range(PUBLISHERS)]
        self.padding = load.payload[STAMP.size :]
        self.like = wire.publish(topic_of(0), load.payload, 1)
        self.sent = 0
        self.times_ns: list[int] = []
        self.arrived = 0

    def hear(self, count: int, data: bytes) -> None:
        """Messages came: when were they due?"""
        now = time.perf_counter_ns()
        size, at = len(self.like), len(self.heads[0])
        self.times_ns += [now - STAMP.unpack_from(data, i * size + at)[0] for i in range(count)]
        self.arrived += count

    def send_due(self, started_ns: int) -> None:
        """Everything that should have been sent by now."""
        due = (time.perf_counter_ns() - started_ns) * PER_S // 1_000_000_000
        for number in range(self.sent, due):
            who = number % PUBLISHERS
            head = self.heads[who]
            packet_id = (number // PUBLISHERS % 0xFFFF + 1).to_bytes(2, "big")
            stamp = STAMP.pack(started_ns + number * 1_000_000_000 // PER_S)
            self.publishers[who].send(head[:-2] + packet_id + stamp + self.padding)
        self.sent = max(self.sent, due)


async def paced(load: "Load") -> list[float]:
    """50 publishers, together 10,000 QoS 1 messages a second, to one QoS 1 subscriber: p50 and p99 in milliseconds."""
    pace = _Pace(load)
    await load.open([Subscriber("s", ["f/+/up"], pace.like, pace.hear)])
    await load.open(pace.publishers)
    await load.start()
    started_ns = time.perf_counter_ns()
    sending = asyncio.create_task(_send(pace, started_ns))
    await asyncio.sleep(WARM_UP_S)
    sent, arrived = pace.sent, pace.arrived
    pace.times_ns.clear()
    await load.rate(lambda: pace.arrived)
    sent, arrived = pace.sent - sent, pace.arrived - arrived
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    if arrived < sent * ENOUGH:
        raise NoResult(f"does not keep up with {PER_S:,} messages/s: {arrived / sent:.0%} of them arrived in time")
    times = sorted(pace.times_ns)
    return [times[len(times) * percent // 100] / 1e6 for percent in (50, 99)]


async def _send(pace: _Pace, started_ns: int) -> None:
    while True:
        pace.send_due(started_ns)
        await asyncio.sleep(STEP_S)
