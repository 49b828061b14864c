"""Connections: how fast they come and go, and what each costs while it is idle."""

import asyncio
from typing import TYPE_CHECKING

from bench.clients import Client
from bench.resources import resident_bytes

if TYPE_CHECKING:
    from bench.load import Load

TOGETHER = 50


async def come_and_go(load: "Load") -> list[float]:
    """50 places; in each a client connects, subscribes, says DISCONNECT, and when the broker has closed the next one comes."""
    finished = 0
    numbers = iter(load.site.share(10**9))
    loop = asyncio.get_running_loop()

    async def place() -> None:
        nonlocal finished
        while True:
            number = next(numbers)
            client = Client(f"c{number}", [f"f/c{number}/#"])
            await loop.create_connection(lambda c=client: c, "127.0.0.1", load.site.port)  # type: ignore[misc]
            await client.ready
            client.leave()
            await client.gone
            finished += 1

    await load.start()
    places = [asyncio.create_task(place()) for _ in load.site.share(TOGETHER)]
    rate = await load.rate(lambda: finished)
    failed = [task.exception() for task in places if task.done()]
    for task in places:
        task.cancel()
    await asyncio.gather(*places, return_exceptions=True)
    for error in failed:
        if error is not None:
            raise error
    return [rate]


async def memory(load: "Load") -> list[float]:
    """Bytes of broker memory per idle connection with one subscription. The first 100 are not counted: they warm up."""
    await load.open([Client(f"w{i}", [f"f/w{i}/#"]) for i in range(100)])
    await load.start()
    before = resident_bytes(load.site.broker)
    await load.open([Client(f"m{i}", [f"f/m{i}/#"]) for i in range(load.site.many)])
    used = resident_bytes(load.site.broker) - before
    load.check()
    return [max(used, 1) / load.site.many]
