"""Publishing: how many messages a broker acknowledges, or hands to one subscriber, per second."""

from typing import TYPE_CHECKING

from bench import wire
from bench.clients import Client, ExactlyOncePublisher, Publisher, Subscriber

if TYPE_CHECKING:
    from bench.load import Load

PUBLISHERS = 50
WINDOW = 20


def topic_of(number: int) -> str:
    """Where a publisher publishes; as long for each of them."""
    return f"f/p{number:04}/up"


def others(load: "Load", clients: int, each: int) -> list[Client]:
    """Clients with `each` subscriptions that match nothing of the load; one in five has a wildcard."""
    return [Client(f"o{i:05}", [_other(i * each + k) for k in range(each)]) for i in load.site.share(clients)]


def _other(number: int) -> str:
    if number % 10 == 0:
        return f"f/o{number:05}/+"
    return f"f/+/o{number:05}" if number % 10 == 5 else f"f/o{number:05}/down"


async def _publish(
    load: "Load", clients: int, window: int, kind: type[Publisher | ExactlyOncePublisher] = Publisher
) -> list[float]:
    numbers = load.site.share(clients)
    publishers = await load.open([kind(f"p{i}", topic_of(i), load.payload, window) for i in numbers])
    await load.start()
    for publisher in publishers:
        publisher.start()
    return [await load.rate(lambda: sum(publisher.acknowledged for publisher in publishers))]


async def acknowledged(load: "Load") -> list[float]:
    """50 clients with a window of 20, nobody subscribes: acknowledgements."""
    return await _publish(load, PUBLISHERS, WINDOW)


async def one_at_a_time(load: "Load") -> list[float]:
    """500 clients, each waits for its acknowledgement before the next message."""
    return await _publish(load, 500, 1)


async def exactly_once(load: "Load") -> list[float]:
    """QoS 2: 50 clients with a window of 20: PUBCOMPs."""
    return await _publish(load, PUBLISHERS, WINDOW, ExactlyOncePublisher)


async def delivered(load: "Load", *, clients: int = 0, each: int = 1) -> list[float]:
    """One QoS 0 subscriber to all publishers, and others whom nothing concerns: messages that reach it."""
    heard = 0

    def hear(count: int, _data: bytes) -> None:
        nonlocal heard
        heard += count

    await load.open(others(load, clients, each))
    if load.site.index == 0:
        await load.open([Subscriber("s", ["f/+/up"], wire.publish(topic_of(0), load.payload, 0), hear)])
    numbers = load.site.share(PUBLISHERS)
    publishers = await load.open([Publisher(f"p{i}", topic_of(i), load.payload, WINDOW) for i in numbers])
    await load.start()
    for publisher in publishers:
        publisher.start()
    return [await load.rate(lambda: heard)]


async def delivered_among_5000(load: "Load") -> list[float]:
    """The same while 500 others hold 10 subscriptions each."""
    return await delivered(load, clients=500, each=10)


async def delivered_among_1000(load: "Load") -> list[float]:
    """The same while 1,000 others hold one subscription each."""
    return await delivered(load, clients=min(1000, load.site.many))


async def delivered_among_many(load: "Load") -> list[float]:
    """The same while 10,000 others (fewer in a quick run) hold one subscription each."""
    return await delivered(load, clients=load.site.many)
