"""What is measured of a fleet that is attached: a change of everybody's configuration, of a group's, and an attach storm."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from bench.convergence.fleet import Fleet
from bench.convergence.rig import Rig
from bench.errors import NoResult

COUNTED: Final = {
    "documents written": "akela_endpoint_writes_total",
    "database statements": "akela_endpoint_write_statements_total",
    "calls": "akela_endpoint_write_calls_total",
}


@dataclass(slots=True)
class Taken:
    """One measurement: seconds, what the processes used of their cores, and what else was counted."""

    seconds: float
    cpu: dict[str, float] = field(default_factory=dict)  # seconds, by process
    counts: dict[str, float] = field(default_factory=dict)


async def observed(rig: Rig, work: Callable[[], Awaitable[float]]) -> Taken:
    """Do `work`, which gives the seconds that count, and take the processors and the database's work meanwhile."""
    await rig.at_rest()
    before, used = await rig.metrics(), rig.used()
    seconds = await work()
    cpu = rig.used().since(used)
    await rig.at_rest()
    after = await rig.metrics()
    return Taken(seconds, cpu, {name: after[metric] - before[metric] for name, metric in COUNTED.items()})


async def attach(rig: Rig, fleet: Fleet, *, configured: bool) -> Taken:
    """All devices come; where the server has to configure them, until they all have reported. Attaches are what is timed."""
    fleet.expect(len(fleet))

    async def work() -> float:
        began_s = time.perf_counter()
        await fleet.attach()
        took_s = time.perf_counter() - began_s
        if configured:
            await fleet.all_reported()
        return took_s

    taken = await observed(rig, work)
    taken.counts["configurations"] = fleet.configs
    taken.counts["configuration bytes"] = sum(size * count for size, count in fleet.sizes.items())
    return taken


async def change(rig: Rig, fleet: Fleet, revision: int, place: str, concerned: int) -> Taken:
    """A layer changes: from Control's answer until the last report is acknowledged, which is after it is stored."""
    fleet.expect(concerned)

    async def work() -> float:
        await rig.put_layer(revision, place)
        answered_s = time.perf_counter()
        await fleet.all_reported()
        return time.perf_counter() - answered_s

    taken = await observed(rig, work)
    number = fleet.payload[7:23].decode()
    stored = await rig.applied(number, len(fleet))
    if (stored, fleet.configs) != (concerned, concerned):
        raise NoResult(
            f"{concerned} devices are concerned; {fleet.configs} were sent a configuration, {stored} have it applied in the database"
        )
    taken.counts["bytes down"] = fleet.received
    taken.counts["bytes up"] = fleet.sent
    taken.counts["payload"] = len(fleet.payload)
    return taken
