"""The link between servers: a cancellation is never lost, whatever else happens in that moment."""

import asyncio

import pytest

from akela.link import ServerLink
from tests.brokers import Serve

TRIES = 50


async def test_a_publish_that_is_cancelled_while_its_acknowledgement_arrives_ends_cancelled(serve: Serve) -> None:
    """Who stops a task waits for its end: a publish that went on instead would keep a server from ever leading again."""
    link = ServerLink("127.0.0.1", await serve(), client_id="control-1", user="", password="")
    await link.connect()
    cancelled = 0
    for number in range(TRIES):
        task = asyncio.create_task(link.publish("t", str(number).encode()))
        async with asyncio.timeout(30):
            while not any(future.done() for future in link._acknowledged.values()) and not task.done():
                await asyncio.sleep(0)
        if task.cancel():
            cancelled += 1
            with pytest.raises(asyncio.CancelledError):
                await task
    await link.close()
    assert cancelled > 0
