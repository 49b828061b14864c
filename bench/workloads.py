"""What is measured. Each workload is a coroutine over a port that returns one number; larger is better unless `lower` says so."""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from bench import wire
from bench.clients import Client, Publisher, Subscriber

PAYLOAD: Final = b"x" * 100
WARM_UP_S: Final = 0.3
AT_ONCE: Final = 100  # connections opened together
ClientT = TypeVar("ClientT", bound=Client)


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table."""

    name: str
    unit: str
    run: Callable[[int, int, float], Awaitable[float]]  # (port, the broker's process id, seconds)
    lower: bool = False
    slow_peers: bool = True  # False: peers that take minutes for it are left out


async def open_all(port: int, clients: Sequence[ClientT]) -> Sequence[ClientT]:
    """Connect them, some at a time."""
    loop = asyncio.get_running_loop()
    for start in range(0, len(clients), AT_ONCE):
        batch = clients[start : start + AT_ONCE]
        await asyncio.gather(*(loop.create_connection(lambda c=c: c, "127.0.0.1", port) for c in batch))  # type: ignore[misc]
        await asyncio.gather(*(client.ready for client in batch))
    return clients


def _close(clients: Sequence[Client]) -> None:
    for client in clients:
        if client.transport is not None:
            client.transport.abort()


async def _rate(count: Callable[[], int], seconds: float) -> float:
    await asyncio.sleep(WARM_UP_S)
    before, started = count(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (count() - before) / (time.perf_counter() - started)


async def _publish(port: int, seconds: float, clients: int, window: int) -> float:
    publishers = await open_all(port, [Publisher(f"p{i}", f"b/{i:04}", PAYLOAD, window) for i in range(clients)])
    for publisher in publishers:
        publisher.start()
    rate = await _rate(lambda: sum(publisher.acknowledged for publisher in publishers), seconds)
    _close(publishers)
    return rate


async def publish(port: int, _pid: int, seconds: float) -> float:
    """QoS 1 publishes acknowledged, 50 clients with a window of 20, nobody subscribes."""
    return await _publish(port, seconds, 50, 20)


async def publish_one_at_a_time(port: int, _pid: int, seconds: float) -> float:
    """500 clients, each waits for its acknowledgement before the next message."""
    return await _publish(port, seconds, 500, 1)


async def end_to_end(port: int, _pid: int, seconds: float, *, others: int = 0) -> float:
    """The same 50 publishers, one QoS 0 subscriber to everything: messages that reach it."""
    heard = 0

    def hear(count: int) -> None:
        nonlocal heard
        heard += count

    idle = await open_all(port, [Client(f"o{i}", f"other/{i}/+") for i in range(others)])
    size = len(wire.publish("b/0000", PAYLOAD, 0))
    subscriber = Subscriber("s", "b/#", 0, size, len("b/0000"), hear)
    await open_all(port, [subscriber])
    publishers = await open_all(port, [Publisher(f"p{i}", f"b/{i:04}", PAYLOAD, 20) for i in range(50)])
    for publisher in publishers:
        publisher.start()
    rate = await _rate(lambda: heard, seconds)
    _close([*publishers, subscriber, *idle])
    return rate


async def end_to_end_among_5000(port: int, pid: int, seconds: float) -> float:
    """The same with 5,000 other subscriptions that do not match."""
    return await end_to_end(port, pid, seconds, others=5000)


async def _fan_out(port: int, seconds: float, subscribers: int, qos: int, batch: int) -> float:
    heard = 0
    wanted = subscribers * batch
    topic = "b/all"
    packet = wire.publish(topic, PAYLOAD, 0) * batch
    publisher = Client("p")

    def hear(count: int) -> None:
        nonlocal heard, wanted
        heard += count
        if heard >= wanted:
            wanted += subscribers * batch
            publisher.send(packet)

    size = len(wire.publish(topic, PAYLOAD, qos))
    if qos:
        packet = b"".join(wire.publish(topic, PAYLOAD, 1, packet_id) for packet_id in range(1, batch + 1))
    everyone = [Subscriber(f"s{i}", topic, qos, size, len(topic), hear) for i in range(subscribers)]
    await open_all(port, everyone)
    await open_all(port, [publisher])
    publisher.send(packet)
    rate = await _rate(lambda: heard, seconds)
    _close([publisher, *everyone])
    return rate


async def fan_out_200(port: int, _pid: int, seconds: float) -> float:
    """One publisher, 200 subscribers, QoS 0: deliveries."""
    return await _fan_out(port, seconds, 200, 0, 20)


async def fan_out_2000(port: int, _pid: int, seconds: float) -> float:
    """One publisher, 2,000 subscribers, QoS 1: deliveries."""
    return await _fan_out(port, seconds, 2000, 1, 5)


async def connect(port: int, _pid: int, _seconds: float) -> float:
    """5,000 clients connect and subscribe."""
    started = time.perf_counter()
    clients = await open_all(port, [Client(f"c{i}", f"dev/{i}/#") for i in range(5000)])
    rate = len(clients) / (time.perf_counter() - started)
    _close(clients)
    return rate


async def memory(port: int, pid: int, _seconds: float) -> float:
    """Bytes of broker memory per idle connection with one subscription, over 5,000 of them."""
    before = _resident(pid)
    clients = await open_all(port, [Client(f"m{i}", f"dev/{i}/#") for i in range(5000)])
    used = _resident(pid) - before
    _close(clients)
    return max(used, 1) / len(clients)


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:  # noqa: PTH123  /proc is no file system to walk
        return int(statm.read().split()[1]) * resource.getpagesize()


WORKLOADS: Final = (
    Workload("publish QoS 1, 50 clients, window 20", "acknowledged/s", publish),
    Workload("the same, one QoS 0 subscriber", "delivered/s", end_to_end),
    Workload("the same among 5,000 other subscriptions", "delivered/s", end_to_end_among_5000, slow_peers=False),
    Workload("publish QoS 1, 500 clients, window 1", "acknowledged/s", publish_one_at_a_time),
    Workload("fan-out 1 to 200, QoS 0", "delivered/s", fan_out_200),
    Workload("fan-out 1 to 2,000, QoS 1", "delivered/s", fan_out_2000, slow_peers=False),
    Workload("connect and subscribe, 5,000 clients", "clients/s", connect, slow_peers=False),
    Workload("memory per idle connection", "bytes", memory, lower=True, slow_peers=False),
)
