"""`python -m bench`: every workload against every broker, in turns; prints ratios, writes JSON. `python -m bench report` makes
docs/performance.md of it."""

import signal
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from bench import control, table
from bench.convergence import command as convergence
from bench.errors import BenchError
from bench.loops import AKELAS
from bench.machine import describe
from bench.measure import Scale
from bench.peers import PEERS, Akela, Peer
from bench.peers.sink import Sink
from bench.profile import check_profiler
from bench.report import write_page
from bench.resources import end_children, raise_file_limit
from bench.results import BROKERS, LOOPS, US, Results
from bench.rounds import Plan, prepare, run
from bench.workloads import WORKLOADS

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "bench" / "results"
LOOP_WORKLOADS: Final = ("a", "b", "d", "e", "f", "g", "i", "k")


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is, unless the command line says otherwise."""

    rounds: int
    payloads: tuple[int, ...]
    scale: Scale
    stored: int  # endpoints that nobody has attached, for the fleet's numbers


QUICK: Final = Size(1, (100,), Scale(seconds=0.4, many=2000, limit_s=20.0), 10_000)
FULL: Final = Size(3, (100, 1024), Scale(seconds=1.0, many=10_000, limit_s=60.0), 100_000)


@dataclass(frozen=True, slots=True)
class Choice:
    """The command line."""

    letters: tuple[str, ...]
    names: tuple[str, ...]
    rounds: int | None
    seconds: float | None
    payloads: tuple[int, ...]
    processes: int
    quick: bool
    loops: bool
    baseline: Path | None
    no_ceiling: bool
    profile: Path | None
    file: Path | None


def _chosen(kind: str, words: tuple[str, ...], known: list[str]) -> list[str]:
    """The known names among `words` (commas allowed), in their order; all where there are no words."""
    wanted = [part for word in words for part in word.split(",") if part]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise click.UsageError(f"no such {kind}: {', '.join(unknown)}; known: {', '.join(known)}")
    return [name for name in known if not wanted or name in wanted]


@click.group(invoke_without_command=True)
@click.option("-w", "--workload", "letters", multiple=True, help="Only these, by letter: -w a,b -w f. Default: all.")
@click.option("-p", "--peer", "names", multiple=True, help="Only these peers; akela always runs. Default: all.")
@click.option("--rounds", type=click.IntRange(1), help="How often each broker runs each workload. [3; quick: 1]")
@click.option("--seconds", type=click.FloatRange(0.05), help="Length of one measurement. [1; quick: 0.4]")
@click.option(
    "--payload", "payloads", type=click.IntRange(16, 200_000), multiple=True, help="Bytes. [100 and 1024; quick: 100]"
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Load processes.")
@click.option("--quick", is_flag=True, help="Small and coarse: some three minutes in place of some twenty-five.")
@click.option("--loops", is_flag=True, help="Akela on each event loop that installs, in place of other brokers.")
@click.option(
    "--baseline", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Another checkout, as a peer."
)
@click.option("--no-ceiling", is_flag=True, help="Leave out the load generator's own ceiling.")
@click.option(
    "--profile", type=click.Path(file_okay=False, path_type=Path),
    help="A directory: write flame graphs of the engine there. It is slower meanwhile.",
)  # fmt: skip
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path),
    help="Where all numbers go. [bench/results/latest.json; with --loops: bench/results/loops.json]",
)  # fmt: skip
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """Measure the engine beside other brokers. Ratios above 1: Akela is ahead."""
    if context.invoked_subcommand is None:
        _bench(Choice(**options))


def _bench(choice: Choice) -> None:
    try:
        if choice.profile is not None:
            check_profiler()
        results = _measured(_plan(choice), LOOPS if choice.loops else BROKERS)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    file = choice.file or RESULTS / ("loops.json" if choice.loops else "latest.json")
    results.save(file)
    click.echo(_text(results))
    click.echo(f"\nall numbers: {file}", err=True)
    if _is_whole(choice):
        _converge(choice)
    if results.peers[US].missing or any(row.cells[US].reason for row in results.rows):
        raise click.ClickException("akela gave no number where the table says so")


def _is_whole(choice: Choice) -> bool:
    """Nothing was chosen: a whole Akela and its fleet belong to it, too."""
    return not (choice.letters or choice.names or choice.loops or choice.baseline or choice.profile or choice.file)


def _converge(choice: Choice) -> None:
    size = QUICK if choice.quick else FULL
    try:
        results = convergence.measure(
            size.scale.many, size.stored, choice.rounds or size.rounds, lambda text: click.echo(text, err=True)
        )
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    results.save(convergence.FILE)
    click.echo(f"\nall numbers: {convergence.FILE}", err=True)


def _plan(choice: Choice) -> Plan:
    size = QUICK if choice.quick else FULL
    letters = choice.letters or (LOOP_WORKLOADS if choice.loops else ())
    keys = _chosen("workload", letters, list(WORKLOADS))
    known: dict[str, Peer] = {peer.name: peer for peer in AKELAS} if choice.loops else dict(PEERS)
    others = [known[name] for name in _chosen("peer", choice.names, list(known)) if name != US]
    before = [Akela("baseline", choice.baseline)] if choice.baseline else []
    ceiling = [] if choice.no_ceiling or choice.loops else [Sink()]
    scale = replace(
        size.scale, processes=choice.processes, seconds=choice.seconds or size.scale.seconds, profile=choice.profile
    )
    return Plan(
        workloads=[WORKLOADS[key] for key in keys],
        peers=[known[US], *before, *others, *ceiling],
        payloads=choice.payloads or size.payloads,
        rounds=choice.rounds or size.rounds,
        scale=scale,
    )


def _measured(plan: Plan, kind: str) -> Results:
    started = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - started:6.0f} s  {text}", err=True)

    raise_file_limit()
    settings = {
        "kind": kind, "rounds": plan.rounds, "seconds": plan.scale.seconds, "payloads": list(plan.payloads),
        "many": plan.scale.many, "processes": plan.scale.processes,
    }  # fmt: skip
    results = Results(datetime.now(UTC).date().isoformat(), describe(), settings)
    part, results.peers = prepare(plan.peers, say)
    if US in (peer.name for peer in part):
        results.rows = run(Plan(plan.workloads, part, plan.payloads, plan.rounds, plan.scale), say)
    return results


def _text(results: Results) -> str:
    notes = table.Notes()
    tables = ["better by, per second:\n" + table.plain(table.lines(results, notes))]
    costs, grown = table.costs(results), table.growth(results)
    if len(costs) > 1:
        tables.append(
            "per second of the broker's processor time, which neighbours do not change:\n" + table.plain(costs)
        )
    if grown:
        tables.append("processor time per message as a multiple of that without others:\n" + table.plain(grown))
    told = [f"[{number}] {text}" for number, text in enumerate(notes.texts, 1)]
    for name, info in results.peers.items():
        if info.missing:
            told.append(f"{name} took no part: {info.missing}")
        if info.open_gates:
            told.append(f"{name} lets through: {', '.join(info.open_gates)}")
    return "\n\n".join([*tables, "\n".join(told)] if told else tables)


@main.command()
@click.option(
    "--json", "files", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
    help="The run to show; may be repeated. [the last run's files in bench/results/]",
)  # fmt: skip
@click.option(
    "--docs", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "docs", help="Where the page is.",
)  # fmt: skip
def report(files: tuple[Path, ...], docs: Path) -> None:
    """Write tables and chart of docs/performance.md from a run."""
    last = [file for file in (RESULTS / "latest.json", convergence.FILE) if file.exists()]
    if not files and not last:
        raise click.UsageError(f"there is no run in {RESULTS}; run the bench first, or name one with --json")
    try:
        for file in files or last:
            for path in write_page(Results.load(file), docs):
                click.echo(f"written: {path}")
    except BenchError as error:
        raise click.ClickException(str(error)) from error


main.add_command(control.main, "control")
main.add_command(convergence.main, "convergence")


def _process() -> None:
    """The bench as a process of its own: whatever it has started is ended on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    finally:
        end_children()


if __name__ == "__main__":
    _process()
