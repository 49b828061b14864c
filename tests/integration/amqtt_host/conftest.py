"""A broker with amqtt's plugins."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from broker import Broker
from broker.amqtt_host import AmqttPlugins, settings_of
from broker.amqtt_host.config import config_of
from tests.integration.amqtt_host.faulty import Earplugs, Ears

Host = Callable[..., Awaitable[int]]


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """Start the engine with plugins: `port = await host({"path.Plugin": {...}})`."""
    running: list[tuple[AmqttPlugins, Broker]] = []
    Ears.heard.clear()
    Earplugs.asked.clear()

    async def started(plugins: dict[str, Any], listener: dict[str, Any] | None = None, **settings: Any) -> int:
        default = {"type": "tcp", "bind": "127.0.0.1:0"} | (listener or {})
        config = config_of({"listeners": {"default": default}, "plugins": plugins})
        hosting = AmqttPlugins(config)
        broker = Broker(replace(settings_of(config), **settings), hosting.hooks)
        hosting.attach(broker)
        await hosting.starting()
        await broker.start()
        await hosting.started()
        running.append((hosting, broker))
        return broker.addresses["default"][1]

    yield started
    for hosting, broker in running:
        await hosting.stopping()
        await broker.stop(drain_s=0)
        await hosting.stopped()
