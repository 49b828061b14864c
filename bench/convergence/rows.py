"""The numbers of a run as rows of results, and as a table with what was aimed at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench import table
from bench.convergence.measures import Taken
from bench.results import US, Cell, Results, Row

MOSQUITTO: Final = "mosquitto"


@dataclass(frozen=True, slots=True)
class Aim:
    """What a number should be."""

    value: float
    lower: bool = True  # less is better

    def met(self, value: float) -> bool:
        """Whether it is."""
        return value <= self.value if self.lower else value >= self.value


CHANGE: Final = "everybody's configuration changes"
GROUP: Final = "a group's configuration changes"
STORM: Final = "all drop and come back"
FIRST: Final = "all come for the first time and are configured"
MEMORY: Final = "memory of the Operations server"
STORED: Final = "a new group among stored endpoints"
RETAINED: Final = "the same bytes as Mosquitto's retained messages"
APPLIED: Final = "until all have it applied"
AIMS: Final[Mapping[tuple[str, str], Aim]] = {
    ("a", APPLIED): Aim(3.0),
    ("b", APPLIED): Aim(0.3),
    ("c", "attaches"): Aim(5000, lower=False),
    ("c", "configuration sent"): Aim(0),
    ("d", "per attached endpoint"): Aim(12 * 1024),
    ("e", "evaluated"): Aim(20_000, lower=False),
}
AIM_RETAINED: Final = 3.0  # times Mosquitto's
COSTS: Final = (
    ("bytes down", "B"), ("bytes up", "B"), ("documents written", ""), ("database statements", ""), ("CPU: Operations", "s"),
    ("CPU: database", "s"), ("CPU: Control", "s"), ("CPU: devices", "s"),
)  # fmt: skip
PER_ENDPOINT: Final = 3  # so many of them, the first ones, are per endpoint


class Rows:
    """Rows in the order of their first value; a further value is another round's."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}

    def add(self, letter: str, name: str, measure: str, unit: str, value: float, *, peer: str = US) -> None:
        """One number."""
        self._cell(letter, name, measure, unit, peer).values.append(value)

    def none(self, letter: str, name: str, measure: str, unit: str, reason: str, *, peer: str = US) -> None:
        """No number, and why."""
        self._cell(letter, name, measure, unit, peer).reason = reason

    def taken(self, letter: str, name: str, taken: Taken, endpoints: int) -> None:
        """What else was seen while a number was taken: bytes and the database's work, and the processors'."""
        seen = taken.counts | {f"CPU: {part}": seconds for part, seconds in taken.cpu.items()}
        for number, (what, unit) in enumerate(COSTS):
            if what in seen:
                self.add(letter, name, what, unit, seen[what] / (endpoints if number < PER_ENDPOINT else 1))

    def _cell(self, letter: str, name: str, measure: str, unit: str, peer: str) -> Cell:
        aim = AIMS.get((letter, measure), Aim(0))
        row = self.rows.setdefault((letter, measure), Row(letter, name, 0, measure, unit, aim.lower))
        return row.cells.setdefault(peer, Cell())


def lines(results: Results) -> list[list[str]]:
    """Head and rows: the number, what was aimed at, and whether it is met."""
    out = [["", "measured", "", "Akela", "aim", "Mosquitto", "Akela takes"]]
    for row in sorted(results.rows, key=lambda row: row.workload):
        if (row.measure, row.unit) in COSTS:
            continue
        ours, theirs = row.cells.get(US, Cell()), row.cells.get(MOSQUITTO, Cell())
        out.append(
            [row.workload, row.name, row.measure, _number(row, ours), _aim(row), _number(row, theirs), _times(row)]
        )
    return out


def costs(results: Results) -> list[list[str]]:
    """Head and rows: bytes and documents per endpoint, and the statements and the seconds of each processor for all of them together."""
    out = [["", "measured", *(what for what, _ in COSTS)]]
    for letter in sorted({row.workload for row in results.rows}):
        seen = {row.measure: row for row in results.rows if row.workload == letter}
        found = [seen.get(what) for what, _ in COSTS]
        if any(found):
            name = next(row.name for row in found if row is not None)
            cells = ["-" if row is None else _number(row, row.cells.get(US, Cell())) for row in found]
            out.append([letter, name, *cells])
    return out


def _number(row: Row, cell: Cell) -> str:
    if cell.median is None:
        return cell.reason or "-"
    return table.amount(cell.median, row.unit)


def _aim(row: Row) -> str:
    aim, value = AIMS.get((row.workload, row.measure)), row.cells.get(US, Cell()).median
    if row.workload == "f":
        return f"at most {AIM_RETAINED:g} times"
    if aim is None:
        return ""
    text = f"{'at most' if aim.lower else 'at least'} {table.amount(aim.value, row.unit)}"
    return text if value is None else f"{text}: {'met' if aim.met(value) else 'missed'}"


def _times(row: Row) -> str:
    found = row.ratio(MOSQUITTO)
    if found is None:
        return ""
    times = 1 / found[0] if row.lower else found[0]
    return f"{table.ratio(times)} times" + (": met" if times <= AIM_RETAINED else ": missed")
