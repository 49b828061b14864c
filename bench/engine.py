"""The engine alone, open to everybody, on the port given as argument."""

import asyncio
import sys

import uvloop

from broker import Broker, BrokerSettings, Listener


async def main(port: int) -> None:
    """Serve until killed."""
    broker = Broker(BrokerSettings(listeners=(Listener(port=port),), allow_anonymous=True, max_inflight=1000))
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
