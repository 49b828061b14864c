"""`python -m bench.load`: one load process. Reads a `Site` from its input, says "ready" when everything is connected, waits for
"go", measures, and prints its numbers: {"values": [...], "load_cpu": share, "broker_cpu": share} or {"error": text}.
"""

import asyncio
import json
import mmap
import ssl
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import uvloop

from bench.clients import Client
from bench.errors import BenchError, NoResult
from bench.resources import cpu_seconds, raise_file_limit
from bench.site import Site

WARM_UP_S = 0.3
AT_ONCE = 100  # connections opened together
ANSWER_S = 20.0  # a broker that needs longer for one batch of connections is given up
ClientT = TypeVar("ClientT", bound=Client)


class Load:
    """What a workload works with: clients to open, the start signal, the clock."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.payload = b"x" * site.payload
        self.cpu = (0.0, 0.0)  # shares of a core that this process and the broker used while measuring
        self._clients: list[Client] = []
        self._tls = ssl.create_default_context(cafile=site.certificate) if site.certificate else None
        self._counters: mmap.mmap | None = None
        if site.shared:
            with Path(site.shared).open("r+b") as file:
                self._counters = mmap.mmap(file.fileno(), 8 * site.processes)

    async def open(self, clients: Sequence[ClientT]) -> Sequence[ClientT]:
        """Connect them, some at a time. Raises: NoResult."""
        loop = asyncio.get_running_loop()
        name = "localhost" if self._tls else None
        for start in range(0, len(clients), AT_ONCE):
            batch = clients[start : start + AT_ONCE]
            async with asyncio.timeout(ANSWER_S):
                await asyncio.gather(
                    *(
                        loop.create_connection(
                            lambda c=client: c,
                            "127.0.0.1",
                            self.site.port,
                            ssl=self._tls,
                            server_hostname=name,
                        )
                        for client in batch
                    )
                )
                await asyncio.gather(*(client.ready for client in batch))
        self._clients += clients
        return clients

    async def start(self) -> None:
        """Wait until all load processes are connected."""
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    async def rate(self, count: Callable[[], int]) -> float:
        """How much `count` grows per second, after a warm-up. Raises: NoResult when nothing came or a client was thrown out."""
        await asyncio.sleep(WARM_UP_S)
        before, started, cpu = count(), time.perf_counter(), self._used()
        await asyncio.sleep(self.site.seconds)
        took = time.perf_counter() - started
        self._note_cpu(cpu, took)
        self.check()
        came = count() - before
        if came == 0:
            raise NoResult(f"nothing came within {self.site.seconds:g} s: it stands still")
        return came / took

    def check(self) -> None:
        """Raises: NoResult when the broker threw a client out."""
        lost = sum(client.lost for client in self._clients)
        if lost:
            raise NoResult(f"the broker closed {lost} of {len(self._clients)} connections under load")

    def all_heard(self, own: int) -> int:
        """The sum of what all load processes heard; `own` is this one's."""
        if self._counters is None:
            return own
        struct.pack_into("Q", self._counters, 8 * self.site.index, own)
        return sum(struct.unpack_from(f"{self.site.processes}Q", self._counters))

    def close(self) -> None:
        """Drop every connection."""
        for client in self._clients:
            client.close()

    def _used(self) -> tuple[float, float]:
        return time.process_time(), cpu_seconds(self.site.broker)

    def _note_cpu(self, before: tuple[float, float], took: float) -> None:
        now = self._used()
        self.cpu = (now[0] - before[0]) / took, (now[1] - before[1]) / took


async def _measured(site: Site) -> dict[str, object]:
    from bench.workloads import WORKLOADS  # noqa: PLC0415  the workloads import Load

    load = Load(site)
    try:
        values = await WORKLOADS[site.workload].run(load)
    finally:
        load.close()
    return {"values": values, "load_cpu": load.cpu[0], "broker_cpu": load.cpu[1]}


def main() -> None:
    """Run the workload that the input names."""
    raise_file_limit()
    site = Site.loads(sys.stdin.readline())
    try:
        answer = uvloop.run(_measured(site))
    except TimeoutError:
        answer = {"error": f"no answer to {AT_ONCE} connections within {ANSWER_S:g} s"}
    except (BenchError, OSError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
