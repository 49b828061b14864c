"""What a run of the bench found: rows of cells, with the machine and the versions; and the ratios that are read from them."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.errors import BenchError

FORMAT: Final = 1
US: Final = "akela"
CEILING: Final = "ceiling"
BROKERS: Final = "brokers"  # kinds of runs
LOOPS: Final = "loops"
CONVERGENCE: Final = "convergence"


@dataclass(slots=True)
class Cell:
    """One peer in one row: a value per round, or the reason why there is none (or no more)."""

    values: list[float] = field(default_factory=list)
    load_cpu: list[float] = field(default_factory=list)  # shares of a core
    broker_cpu: list[float] = field(default_factory=list)
    reason: str | None = None

    def per_cpu(self) -> list[float]:
        """Each round's value, divided by the broker's share of a core."""
        return [value / share for value, share in zip(self.values, self.broker_cpu, strict=True)]

    @property
    def median(self) -> float | None:
        """Of the rounds."""
        return statistics.median(self.values) if self.values and not self.reason else None


@dataclass(slots=True)
class Row:
    """One number of one workload at one payload size."""

    workload: str
    name: str
    payload: int
    measure: str
    unit: str
    lower: bool
    growth: int | None = None
    cells: dict[str, Cell] = field(default_factory=dict)

    def ratio(self, peer: str) -> tuple[float, float, float] | None:
        """(median, lowest, highest) of the rounds' ratios of us to a peer; above 1 we are ahead."""
        ours, theirs = self.cells.get(US, Cell()), self.cells.get(peer, Cell())
        if ours.median is None or theirs.median is None:
            return None
        rounds = min(len(ours.values), len(theirs.values))
        return paired(ours.values[:rounds], theirs.values[:rounds], lower=self.lower)

    def cost_ratio(self, peer: str) -> tuple[float, float, float] | None:
        """The same of what the broker does per second of processor time: neighbours on its core do not count, nor does the number of its
        threads, by which the kernel shares a busy core. None for what is no rate."""
        found = self.ratio(peer)
        ours, theirs = self.cells.get(US, Cell()), self.cells.get(peer, Cell())
        if found is None or not self.unit.endswith("/s") or not all(ours.broker_cpu) or not all(theirs.broker_cpu):
            return None
        pairs = zip(ours.per_cpu(), theirs.per_cpu(), strict=False)
        return paired(*zip(*pairs, strict=True), lower=False)


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A peer of a run."""

    version: str
    missing: str | None = None  # why it took no part
    open_gates: tuple[str, ...] = ()  # what it lets through that it should refuse


@dataclass(slots=True)
class Results:
    """A whole run."""

    date: str
    machine: Mapping[str, str]
    settings: Mapping[str, Any]
    peers: dict[str, PeerInfo] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Akela's engine beside other brokers, or on other event loops, or a whole Akela with its fleet."""
        return str(self.settings.get("kind", BROKERS))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read what `save` wrote. Raises: BenchError."""
        try:
            raw = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise BenchError(f"{path} is no results file: {error}") from error
        found = raw.pop("format", None) if isinstance(raw, dict) else None
        if found != FORMAT:
            raise BenchError(f"{path} has format {found!r}; this bench reads {FORMAT}")
        raw["peers"] = {
            name: PeerInfo(info["version"], info["missing"], tuple(info["open_gates"]))
            for name, info in raw["peers"].items()
        }
        for row in raw["rows"]:
            row["cells"] = {name: Cell(**cell) for name, cell in row["cells"].items()}
        raw["rows"] = [Row(**row) for row in raw["rows"]]
        return cls(**raw)


def paired(ours: Sequence[float], theirs: Sequence[float], *, lower: bool) -> tuple[float, float, float]:
    """(median, lowest, highest) of the rounds' ratios; above 1 we are ahead."""
    ratios = [b / a if lower else a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)
