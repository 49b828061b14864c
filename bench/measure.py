"""One measurement: a broker and a load generator, each in a process of its own."""

import multiprocessing
import resource
import statistics
from collections.abc import Sequence
from typing import Any

import uvloop

from bench.peers import Peer, pin, running
from bench.workloads import WORKLOADS, Workload

TIMEOUT_S = 120.0


class MeasurementError(Exception):
    """A measurement gave no number: which, and why."""


def _load(index: int, port: int, pid: int, seconds: float, answer: Any) -> None:
    pin(1)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        answer.put(uvloop.run(_measured(WORKLOADS[index], port, pid, seconds)))
    except Exception as error:  # noqa: BLE001  told in the parent
        answer.put(f"{type(error).__name__}: {error}")


async def _measured(workload: Workload, port: int, pid: int, seconds: float) -> float:
    return await workload.run(port, pid, seconds)


def measure(peer: Peer, workload: Workload, seconds: float) -> float:
    """One run, in a process of its own. Raises: MeasurementError."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    with running(peer) as (port, pid):
        process = context.Process(target=_load, args=(WORKLOADS.index(workload), port, pid, seconds, answer))
        process.start()
        process.join(TIMEOUT_S)
        if process.is_alive():
            process.kill()
            raise MeasurementError(f"{peer.name}: {workload.name}: no result within {TIMEOUT_S:g} s")
    result = answer.get() if process.exitcode == 0 else f"the load generator ended with {process.exitcode}"
    if isinstance(result, str):
        raise MeasurementError(f"{peer.name}: {workload.name}: {result}")
    return float(result)


def paired(ours: Sequence[float], theirs: Sequence[float], *, lower: bool) -> tuple[float, float, float]:
    """(median, lowest, highest) of the rounds' ratios; above 1 we are ahead."""
    ratios = [b / a if lower else a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)
