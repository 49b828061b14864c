"""The rows of a run as text: for the terminal and for docs/performance.md. Ratios, since absolute numbers say little."""

import math
from collections.abc import Sequence

from bench.results import CEILING, US, Cell, Results, Row, paired


class Notes:
    """Reasons for empty cells, each told once below the table."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        """The note's number, from 1."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def title(row: Row) -> str:
    """What a row measures."""
    more = f" {row.measure}" if row.measure else ""
    size = f", {row.payload:,} B" if row.payload != 100 else ""
    return f"{row.name}{more}{size}"


def amount(value: float, unit: str) -> str:
    """A number with its unit, three digits."""
    if unit == "bytes":
        return f"{value / 1024:.1f} KB"
    if unit in ("ms", "s", "B"):
        return f"{_three(value)} {unit}"
    if not unit:
        return _three(value)
    return f"{_three(value / 1000)}k/s" if value >= 10_000 else f"{_three(value)}/s"


def ratio(value: float) -> str:
    """A ratio with two digits, more above ten."""
    digits = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 1
    return f"{value:,.{min(digits, 4)}f}"


def cell(row: Row, peer: str, notes: Notes) -> str:
    """Us beside a peer: median ratio and its spread, or the number of the note that says why not."""
    found = row.ratio(peer)
    if found is not None:
        return spread(found)
    reason = row.cells.get(peer, Cell()).reason or row.cells.get(US, Cell()).reason
    return f"[{notes.number(reason)}]" if reason else "-"


def spread(found: tuple[float, float, float]) -> str:
    """Median, and the lowest and highest where they differ."""
    middle, low, high = found
    return f"{ratio(middle)}" + (f" ({ratio(low)} to {ratio(high)})" if low != high else "")


def costs(results: Results) -> list[list[str]]:
    """Head and rows of the ratios per second of the broker's processor time; rates only."""
    peers = compared(results)
    out = [["", "workload", *(f"{US}/{peer}" for peer in peers)]]
    for row in results.rows:
        found = [row.cost_ratio(peer) for peer in peers]
        if any(found):
            out.append([row.workload, title(row), *(spread(ratios) if ratios else "-" for ratios in found)])
    return out


def lines(results: Results, notes: Notes) -> list[list[str]]:
    """Head and rows of the ratios; the first columns are the workload and our own number."""
    peers = compared(results)
    out = [["", "workload", US, *(f"{US}/{peer}" for peer in peers)]]
    for row in results.rows:
        ours = row.cells.get(US, Cell())
        reason = f"[{notes.number(ours.reason)}]" if ours.reason else "-"
        own = reason if ours.median is None else amount(ours.median, row.unit)
        out.append([row.workload, title(row), own, *(cell(row, peer, notes) for peer in peers)])
    return out


def compared(results: Results) -> list[str]:
    """Peers that took part, without us and the ceiling."""
    return [name for name, info in results.peers.items() if not info.missing and name not in (US, CEILING)]


def growth(results: Results) -> list[list[str]]:
    """Head and rows of the growth check: a message's processor time among others, as a multiple of that without others."""
    rows = [row for row in results.rows if row.growth is not None]
    alone = next((row for row in rows if row.growth == 0), None)
    if alone is None or len(rows) < 2:
        return []
    peers = [US, *compared(results)]
    crowded = [row for row in rows if row is not alone]
    return [
        ["other clients", *peers],
        *([row.name.rpartition(", ")[2], *(_cost(alone, row, peer) for peer in peers)] for row in crowded),
    ]


def _cost(alone: Row, row: Row, peer: str) -> str:
    before, now = alone.cells.get(peer, Cell()), row.cells.get(peer, Cell())
    if before.median is None or now.median is None:
        return "-"
    return spread(paired(before.per_cpu(), now.per_cpu(), lower=False))


def _three(value: float) -> str:
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{digits}f}"


def plain(table: Sequence[Sequence[str]]) -> str:
    """A table for a terminal."""
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if number < 2 else text.rjust(width)
            for number, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    )


def markdown(table: Sequence[Sequence[str]], left: int = 2) -> str:
    """A table for a page; the first `left` columns are texts."""
    head, *rest = table
    rule = ["---"] * left + ["--:"] * max(0, len(head) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule[: len(head)], *rest))
