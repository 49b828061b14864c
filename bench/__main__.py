"""`python -m bench`: every workload against every broker, in turns; prints ratios, writes JSON if asked."""

import json
import math
import os
import platform
import statistics
from pathlib import Path
from typing import Any

import click

from bench import control
from bench.measure import MeasurementError, measure, paired
from bench.peers import PEERS, baseline
from bench.workloads import WORKLOADS, Workload


@click.command()
@click.argument("words", nargs=-1)
@click.option("--rounds", default=3, show_default=True, help="How often each broker runs each workload.")
@click.option("--seconds", default=2.0, show_default=True, help="Length of one measurement.")
@click.option("--peer", "names", multiple=True, help="Only these peers (akela always runs). Default: all installed.")
@click.option(
    "--baseline",
    "before",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another checkout of Akela, as a peer.",
)
@click.option("--json", "report", type=click.Path(dir_okay=False, path_type=Path), help="Write all numbers there.")
def main(
    words: tuple[str, ...],
    rounds: int,
    seconds: float,
    names: tuple[str, ...],
    before: Path | None,
    report: Path | None,
) -> None:
    """Measure the engine beside other brokers. WORDS choose the workloads whose names hold one of them.

    The word `control` measures the Control server instead (bench/control.py).
    """
    if words == ("control",):
        control.main(["--seconds", str(seconds)], standalone_mode=False)
        return
    unknown = set(names) - {peer.name for peer in PEERS}
    if unknown:
        raise click.UsageError(f"no such peer: {', '.join(sorted(unknown))}; known: {', '.join(p.name for p in PEERS)}")
    chosen = [w for w in WORKLOADS if not words or any(word.lower() in w.name.lower() for word in words)]
    if not chosen:
        raise click.UsageError(f"no workload has one of {', '.join(words)} in its name")
    peers = [peer for peer in PEERS if peer.name == "akela" or not names or peer.name in names]
    if before is not None:
        peers.append(baseline(before))
    for missing in [peer for peer in peers if not peer.found]:
        click.echo(f"{missing.name} is not installed, left out", err=True)
        peers.remove(missing)
    results: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count(), "workloads": {}}
    for workload in chosen:
        click.secho(workload.name, bold=True)
        took_part = [peer for peer in peers if workload.slow_peers or not peer.slow]
        rows: dict[str, list[float]] = {peer.name: [] for peer in took_part}
        for _ in range(rounds):
            for peer in took_part:
                try:
                    rows[peer.name].append(measure(peer, workload, seconds))
                except MeasurementError as error:
                    raise click.ClickException(str(error)) from error
        results["workloads"][workload.name] = rows
        _show(workload, rows)
    if report is not None:
        report.write_text(json.dumps(results, indent=1) + "\n")


def _show(workload: Workload, rows: dict[str, list[float]]) -> None:
    for name, numbers in rows.items():
        line = f"  {name:10} {statistics.median(numbers):>12,.0f} {workload.unit}"
        if name != "akela":
            middle, low, high = paired(rows["akela"], numbers, lower=workload.lower)
            line += f"   akela/{name} {_ratio(middle)} ({_ratio(low)} to {_ratio(high)})"
        click.echo(line)


def _ratio(value: float) -> str:
    digits = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 1
    return f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
