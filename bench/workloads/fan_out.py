"""Fan-out: one publisher, many subscribers. The publisher sends the next batch when everybody has the last one."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from bench import wire
from bench.clients import Client, Subscriber

if TYPE_CHECKING:
    from bench.load import Load

TOPIC = "f/all"
CHECK_S = 0.001  # how often other load processes' counters are read


class _FanOut:
    """The state of one run: what was heard here, what must be heard everywhere before the next batch."""

    def __init__(self, load: "Load", subscribers: int, qos: int, batch: int) -> None:
        self.load = load
        self.each = subscribers * batch
        self.heard = 0
        self.wanted = 0
        self.publisher = Client("p")
        if qos:
            packets = [wire.publish(TOPIC, load.payload, 1, packet_id) for packet_id in range(1, batch + 1)]
        else:
            packets = [wire.publish(TOPIC, load.payload, 0)] * batch
        self.packets = b"".join(packets)

    def hear(self, count: int, _data: bytes) -> None:
        """Messages came to a subscriber."""
        self.heard += count
        self.go_on()

    def go_on(self) -> None:
        """Send the next batch if the last one has arrived everywhere."""
        everywhere = self.load.all_heard(self.heard)
        if self.load.site.index == 0 and self.wanted and everywhere >= self.wanted:
            self.next()

    def next(self) -> None:
        """Send a batch."""
        self.wanted += self.each
        self.publisher.send(self.packets)


async def _fan_out(load: "Load", subscribers: int, qos: int, batch: int) -> list[float]:
    run = _FanOut(load, subscribers, qos, batch)
    like = wire.publish(TOPIC, load.payload, qos)
    await load.open([Subscriber(f"s{i}", [TOPIC], like, run.hear) for i in load.site.share(subscribers)])
    if load.site.index == 0:
        await load.open([run.publisher])
    await load.start()
    if load.site.index == 0:
        run.next()
    looking = asyncio.create_task(_look(run)) if load.site.processes > 1 else None
    rate = await load.rate(lambda: run.heard)
    if looking is not None:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
    return [rate]


async def _look(run: _FanOut) -> None:
    while True:
        await asyncio.sleep(CHECK_S)
        run.go_on()


async def to_200(load: "Load") -> list[float]:
    """One publisher, 200 subscribers, QoS 0: deliveries."""
    return await _fan_out(load, 200, 0, 20)


async def to_2000(load: "Load") -> list[float]:
    """One publisher, 2,000 subscribers, QoS 1: deliveries."""
    return await _fan_out(load, 2000, 1, 5)
