"""Brokers with the hooks that a test brings."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from broker import Broker, BrokerSettings, Listener
from broker.hooks import Authenticator, Authorizer, EnhancedAuthenticator, Hooks
from broker.metrics import BrokerMetrics

Serve = Callable[..., Awaitable[int]]


def metric(broker: Broker, name: str, **labels: str) -> float:
    """What Prometheus is told, without the prefix of every name."""
    registry = CollectorRegistry()
    registry.register(BrokerMetrics(broker))
    return registry.get_sample_value(f"akela_mqtt_{name}", labels) or 0.0


@pytest.fixture
async def brokers() -> AsyncIterator[list[Broker]]:
    started: list[Broker] = []
    yield started
    for broker in started:
        await broker.stop(drain_s=0)


@pytest.fixture
def serve(brokers: list[Broker]) -> Serve:
    """Start a broker: `port = await serve(authenticators=[...], max_queued=3)`."""

    async def started(
        *,
        authenticators: Sequence[Authenticator] = (),
        authorizers: Sequence[Authorizer] = (),
        observers: Sequence[object] = (),
        enhanced: Sequence[EnhancedAuthenticator] = (),
        **settings: Any,
    ) -> int:
        hooks = Hooks(tuple(authenticators), tuple(authorizers), tuple(observers), tuple(enhanced))
        anonymous = not hooks.authenticators
        listening = {"listeners": (Listener(port=0),)} | settings
        broker = Broker(BrokerSettings(allow_anonymous=anonymous, **listening), hooks)
        brokers.append(broker)
        await broker.start()
        return broker.addresses["default"][1]

    return started
