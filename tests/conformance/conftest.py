"""A broker of its own for each test of the specification, open to everybody."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from broker import Broker, BrokerSettings, Listener
from tests.brokers import Serve, brokers, serve
from tests.mqtt import Wire, connect

__all__ = ["Serve", "brokers", "serve"]

Open = Callable[..., Awaitable[Wire]]


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    settings = BrokerSettings(listeners=(Listener(port=0),), allow_anonymous=True)
    started = Broker(settings)
    await started.start()
    yield started
    await started.stop(drain_s=0)


@pytest.fixture
def port(broker: Broker) -> int:
    return broker.addresses["default"][1]


@pytest.fixture
def join(port: int) -> Open:
    """Connect a client: `await join("id", clean=False, ...)`."""

    async def joined(client_id: str = "c", **options: object) -> Wire:
        return await Wire.connected(port, connect(client_id, **options))  # type: ignore[arg-type]

    return joined
