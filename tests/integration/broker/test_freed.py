"""What a client had is freed when its connection closes; it does not wait for the collector of cyclic garbage."""

import asyncio
import gc

import pytest

from broker import Broker
from broker.transport import Transport
from tests.brokers import Serve
from tests.mqtt import Wire, connect


@pytest.mark.parametrize("says_goodbye", [True, False])
async def test_a_closed_connection_leaves_no_transport(serve: Serve, brokers: list[Broker], says_goodbye: bool) -> None:
    port = await serve()
    gc.collect()
    others = _transports()
    gc.disable()
    try:
        wire = await Wire.connected(port, connect("c"))
        assert _transports() == others + 1
        if says_goodbye:
            wire.send(b"\xe0\x00")
            await wire.closed()
        else:
            wire.drop()
        async with asyncio.timeout(10):
            while brokers[0].stats.connections or _transports() > others:
                await asyncio.sleep(0)
    finally:
        gc.enable()


def _transports() -> int:
    return sum(isinstance(known, Transport) for known in gc.get_objects())
