"""Every workload against every peer, round after round: in a round each peer runs once, so that its neighbours are the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.errors import NoResult, NotStarted
from bench.measure import Numbers, Scale, measure
from bench.peers import Peer
from bench.peers.sink import Sink
from bench.results import Cell, PeerInfo, Row
from bench.running import open_gates
from bench.workloads import Workload

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured."""

    workloads: Sequence[Workload]
    peers: Sequence[Peer]
    payloads: Sequence[int]
    rounds: int
    scale: Scale


def prepare(peers: Sequence[Peer], say: Say) -> tuple[list[Peer], dict[str, PeerInfo]]:
    """Install what is missing, try the gates; (the peers that take part, all of them described)."""
    part, infos = [], {}
    for peer in peers:
        say(f"{peer.name}: looking whether it is there and whom it lets in")
        missing = peer.install()
        open_ones: list[str] = []
        if missing is None and not isinstance(peer, Sink):
            try:
                open_ones = open_gates(peer)
            except NotStarted as error:
                missing = str(error)
        infos[peer.name] = PeerInfo("" if missing else peer.version(), missing, tuple(open_ones))
        if missing:
            say(f"{peer.name} takes no part: {missing}")
        else:
            part.append(peer)
    return part, infos


def run(plan: Plan, say: Say) -> list[Row]:
    """All rows, in the plan's order."""
    out = []
    for workload in plan.workloads:
        for payload in plan.payloads[:1] if workload.plain else plan.payloads:
            rows = [
                Row(workload.key, workload.name, payload, m.name, m.unit, m.lower, workload.growth)
                for m in workload.measures
            ]
            for number in range(plan.rounds):
                for peer in plan.peers:
                    _once(peer, workload, replace(plan.scale, payload=payload), rows, say)
                say(f"{workload.key} {payload} B: round {number + 1} of {plan.rounds} done")
            out += rows
    return out


def _once(peer: Peer, workload: Workload, scale: Scale, rows: Sequence[Row], say: Say) -> None:
    cells = [row.cells.setdefault(peer.name, Cell()) for row in rows]
    if cells[0].reason:
        return
    try:
        numbers = measure(peer, workload, scale)
    except (NoResult, NotStarted) as error:
        for cell in cells:
            cell.reason = str(error)
        say(f"{workload.key} {scale.payload} B  {peer.name}: {error}")
        return
    _note(cells, numbers)
    told = ", ".join(f"{value:,.5g} {row.unit}" for row, value in zip(rows, numbers.values, strict=True))
    say(f"{workload.key} {scale.payload} B  {peer.name}: {told}")


def _note(cells: Sequence[Cell], numbers: Numbers) -> None:
    for cell, value in zip(cells, numbers.values, strict=True):
        cell.values.append(value)
        cell.load_cpu.append(round(numbers.load_cpu, 3))
        cell.broker_cpu.append(round(numbers.broker_cpu, 3))
