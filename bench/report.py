"""docs/performance.md: the parts between `<!-- bench: NAME -->` and `<!-- /bench -->` are made from a run, the prose around them is not."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench import table
from bench.chart import chart
from bench.convergence import rows as convergence
from bench.errors import BenchError
from bench.results import BROKERS, CEILING, CONVERGENCE, LOOPS, Results

PAGE: Final = "performance.md"
CHART: Final = "performance.svg"
NUMBERS: Final = {
    BROKERS: "performance.json",
    LOOPS: "performance-loops.json",
    CONVERGENCE: "performance-convergence.json",
}  # by the kind of run
PARTS: Final = {
    BROKERS: ("machine", "peers", "ratios", "costs", "growth", "load"),
    LOOPS: ("loops",),
    CONVERGENCE: ("convergence",),
}
_PART: Final = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def write_page(results: Results, docs: Path) -> list[Path]:
    """Write the run beside the page, the chart, and the page's parts that a run of its kind makes. Raises: BenchError."""
    page = docs / PAGE
    if not page.exists():
        raise BenchError(f"{page} is not there: the prose is written by hand, the bench fills in its parts")
    written = [page, docs / NUMBERS[results.kind]]
    results.save(written[1])
    if results.kind == BROKERS:
        written.append(docs / CHART)
        written[2].write_text(chart(results))
    page.write_text(filled(page.read_text(), parts(results)))
    return written


def filled(page: str, made: Mapping[str, str]) -> str:
    """The page with the parts that are made replaced. Raises: BenchError on a part that no run makes."""
    known = [name for names in PARTS.values() for name in names]

    def replaced(match: re.Match[str]) -> str:
        if match[2] not in known:
            raise BenchError(f"the page wants a part {match[2]!r}; there are {', '.join(known)}")
        return f"{match[1]}{made[match[2]]}\n{match[3]}" if match[2] in made else match[0]

    return _PART.sub(replaced, page)


def parts(results: Results) -> dict[str, str]:
    """Every part that a run of this kind makes, by its name."""
    if results.kind == LOOPS:
        tables = [_machine(results), table.markdown(table.costs(results)), _ratios(results)]
        return {"loops": "\n\n".join([*tables, _peers(results, "event loop")])}
    if results.kind == CONVERGENCE:
        tables = [table.markdown(convergence.lines(results), left=3), table.markdown(convergence.costs(results))]
        return {"convergence": "\n\n".join([_fleet(results), *tables])}
    grown = table.growth(results)
    return {
        "machine": _machine(results),
        "peers": _peers(results, "broker"),
        "ratios": _ratios(results),
        "costs": table.markdown(table.costs(results)),
        "growth": table.markdown(grown) if grown else "Not measured in this run.",
        "load": table.markdown(_load(results)),
    }


def _ratios(results: Results) -> str:
    notes = table.Notes()
    ratios = table.markdown(table.lines(results, notes))
    told = [f"- [{number}] {text}" for number, text in enumerate(notes.texts, 1)]
    return "\n".join([ratios, "", *told]) if told else ratios


def _fleet(results: Results) -> str:
    settings = results.settings
    return (
        f"{_where(results)}\n{settings['endpoints']:,} endpoints attached, {settings['stored']:,} stored for (e); "
        f"rounds: {settings['rounds']}, the numbers are their medians. "
        f"Load average of the machine when it began: {settings['load']:.1f}."
    )


def _where(results: Results) -> str:
    machine = results.machine
    return (
        f"Measured on {results.date}: {machine['processor']}, {machine['cores']} cores, {machine['memory']}; {machine['system']}; "
        f"{machine['python']}."
    )


def _machine(results: Results) -> str:
    settings = results.settings
    return (
        f"{_where(results)}\nRounds: {settings['rounds']} of {settings['seconds']:g} s each; load processes: {settings['processes']}; "
        f"very many clients: {settings['many']:,}."
    )


def _peers(results: Results, what: str) -> str:
    rows = [[what, "version", "gates"]]
    for name, info in results.peers.items():
        if name != CEILING:
            gates = f"open: {', '.join(info.open_gates)}" if info.open_gates else "refuse what they should"
            rows.append([name, info.version, f"took no part: {info.missing}" if info.missing else gates])
    return table.markdown(rows, left=3)


def _load(results: Results) -> list[list[str]]:
    """The generator: its ceiling beside our rate, and how busy it and our engine's core were."""
    out = [["", "workload", "akela", "ceiling", "load process busy", "engine busy"]]
    for row in results.rows:
        ours, top = row.cells.get("akela"), row.cells.get(CEILING)
        if ours is None or ours.median is None or row.lower:
            continue
        ceiling = table.amount(top.median, row.unit) if top is not None and top.median is not None else "-"
        busy = [f"{max(shares, default=0.0):.0%}" for shares in (ours.load_cpu, ours.broker_cpu)]
        out.append([row.workload, table.title(row), table.amount(ours.median, row.unit), ceiling, *busy])
    return out
