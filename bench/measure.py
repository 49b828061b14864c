"""One measurement: a broker, and one or several load processes on the other core."""

import contextlib
import dataclasses
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.errors import NoResult
from bench.peers.peer import Peer
from bench.profile import profiled
from bench.resources import cores
from bench.running import running
from bench.site import Site
from bench.workloads import Workload

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a measurement is."""

    payload: int = 100
    seconds: float = 1.0
    many: int = 10_000
    processes: int = 1
    limit_s: float = 60.0  # a peer that needs longer, connecting included, has no result
    profile: Path | None = None  # directory for flame graphs of our engine


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a measurement gave: one value per measure of the workload; shares of a core."""

    values: list[float]
    load_cpu: float
    broker_cpu: float


def measure(peer: Peer, workload: Workload, scale: Scale) -> Numbers:
    """Start everything, once. Raises: NoResult, NotStarted."""
    for reason in [*_unable(peer, workload, scale)]:
        raise NoResult(reason)
    processes = 1 if workload.single else scale.processes
    with running(peer, tls=workload.needs == "tls") as broker, tempfile.NamedTemporaryFile() as shared:
        shared.write(bytes(8 * processes))
        shared.flush()
        site = Site(
            workload.key, broker.port, broker.pid, scale.payload, scale.seconds, scale.many,
            certificate=str(broker.certificate) if broker.certificate else None, processes=processes,
            shared=shared.name if processes > 1 else None,
        )  # fmt: skip
        deadline = time.monotonic() + scale.limit_s
        with contextlib.ExitStack() as stack:
            loads = [stack.enter_context(_LoadProcess.started(site, index)) for index in range(processes)]
            for load in loads:
                load.expect_ready(deadline)
            graph = scale.profile and scale.profile / f"{peer.name}-{workload.key}-{scale.payload}.svg"
            with profiled(peer, broker.pid, graph, scale.seconds):
                for load in loads:
                    load.go()
                answers = [load.answer(deadline) for load in loads]
    together = max if workload.key == "i" else sum
    values = [float(together(column)) for column in zip(*(answer["values"] for answer in answers), strict=True)]
    return Numbers(values, max(a["load_cpu"] for a in answers), max(a["broker_cpu"] for a in answers))


def _unable(peer: Peer, workload: Workload, scale: Scale) -> Iterator[str]:
    if workload.needs in peer.cannot:
        yield peer.cannot[workload.needs or ""]
    if peer.slow and min(workload.crowd, scale.many) > 500:
        yield peer.slow


class _LoadProcess:
    """A `bench.load` and its two pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ)
        self._rest = b""

    @classmethod
    @contextlib.contextmanager
    def started(cls, site: Site, index: int) -> Iterator["_LoadProcess"]:
        """On the load's cores, until its answer is here or it is given up."""
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores()[1])
        try:
            process = subprocess.Popen(
                (sys.executable, "-m", "bench.load"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
            )
        finally:
            os.sched_setaffinity(0, mine)
        load = cls(process)
        try:
            load._tell(dataclasses.replace(site, index=index).dumps())
            yield load
        finally:
            process.kill()
            process.communicate()
            load._selector.close()

    def expect_ready(self, deadline: float) -> None:
        """Wait until its clients are connected. Raises: NoResult."""
        line = self._line(deadline, "its clients were not all connected in time")
        if line != "ready":
            raise NoResult(json.loads(line)["error"])

    def go(self) -> None:
        """Let it measure."""
        self._tell("go")

    def answer(self, deadline: float) -> dict[str, Any]:
        """Its numbers. Raises: NoResult."""
        answer: dict[str, Any] = json.loads(self._line(deadline, "it did not finish in time"))
        if "error" in answer:
            raise NoResult(answer["error"])
        return answer

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its death is told by the end of its output
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def _line(self, deadline: float, late: str) -> str:
        assert self._process.stdout is not None
        while b"\n" not in self._rest:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise NoResult(late)
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise NoResult(f"the load generator ended with {self._process.wait()}; see above")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()
