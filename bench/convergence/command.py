"""`python -m bench convergence`: the numbers of a fleet that converges, with what was aimed at."""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import uvloop

from bench.convergence import measures, rows
from bench.convergence.fleet import Fleet, named
from bench.convergence.measures import Taken
from bench.convergence.retained import OWN, SHARED, retained
from bench.convergence.rig import Rig, rig
from bench.convergence.rows import MOSQUITTO, Rows
from bench.convergence.stored import evaluated
from bench.errors import BenchError
from bench.machine import describe
from bench.peers.mosquitto import Mosquitto
from bench.resources import raise_file_limit
from bench.results import CONVERGENCE, US, PeerInfo, Results
from bench.table import plain

GROUP: Final = "some"
GROUP_SHARE: Final = 100  # one endpoint in so many is in the group
LETTERS: Final = "abcdef"
FILE: Final = Path(__file__).resolve().parent.parent / "results" / "convergence.json"

Say = Callable[[str], None]


@click.command()
@click.option("--endpoints", default=10_000, type=click.IntRange(200, 60_000), show_default=True, help="Attached.")
@click.option("--stored", default=100_000, type=click.IntRange(100), show_default=True, help="Endpoints for (e).")
@click.option("--rounds", default=3, type=click.IntRange(1), show_default=True, help="How often each is measured.")
@click.option("-w", "--only", "letters", default=LETTERS, show_default=True, help="The numbers that are wanted.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), default=FILE,
    help="Where all numbers go. [bench/results/convergence.json]",
)  # fmt: skip
def main(endpoints: int, stored: int, rounds: int, letters: str, file: Path) -> None:
    """Measure how a fleet converges: everybody's and a group's configuration, attach storm, memory, stored groups; beside Mosquitto."""
    unknown = sorted(set(letters) - set(LETTERS))
    if unknown:
        raise click.UsageError(f"no such number: {', '.join(unknown)}; known: {', '.join(LETTERS)}")
    try:
        results = measure(endpoints, stored, rounds, lambda text: click.echo(text, err=True), letters)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    results.save(file)
    click.echo(f"all numbers: {file}", err=True)


def measure(endpoints: int, stored: int, rounds: int, say: Say, letters: str = LETTERS) -> Results:
    """Measure, and show the table. Raises: BenchError."""
    raise_file_limit()
    settings = {
        "kind": CONVERGENCE,
        "rounds": rounds,
        "endpoints": endpoints,
        "stored": stored,
        "load": os.getloadavg()[0],
    }
    results = Results(datetime.now(UTC).date().isoformat(), describe(), settings)
    found = Rows()
    if set(letters) - {"e"}:
        with rig() as akela:
            payload = uvloop.run(_attached(akela, endpoints, rounds, found, say, letters))
        if "f" in letters:
            results.peers[MOSQUITTO] = _beside_mosquitto(endpoints, payload, rounds, found, say)
    if "e" in letters:
        with rig() as akela:
            uvloop.run(_stored(akela, stored, rounds, found, say))
    results.rows = list(found.rows.values())
    click.echo(f"{plain(rows.lines(results))}\n\n{plain(rows.costs(results))}")
    return results


async def _attached(akela: Rig, endpoints: int, rounds: int, found: Rows, say: Say, letters: str) -> bytes:
    await akela.provision(endpoints)
    await akela.put_layer(1)
    empty = akela.memory()
    fleet = Fleet(akela.port, akela.logins(endpoints))
    say(f"{endpoints:,} endpoints attach for the first time")
    first = await measures.attach(akela, fleet, configured=True)
    found.add("c", rows.FIRST, "first attaches", "/s", endpoints / first.seconds)
    for number in range(2, 2 + rounds):
        say("everybody's configuration changes")
        taken = await measures.change(akela, fleet, number, "all/-", endpoints)
        found.add("a", rows.CHANGE, rows.APPLIED, "s", taken.seconds)
        found.taken("a", rows.CHANGE, taken, endpoints)
    payload = fleet.payload
    if "b" in letters:
        await _group(akela, fleet, rounds, found, say)
    if "c" in letters:
        for _ in range(rounds):
            say("all drop and come back")
            _note_storm(found, endpoints, await _storm(akela, fleet))
    found.add("d", rows.MEMORY, "per attached endpoint", "bytes", (akela.memory() - empty) / endpoints)
    return payload


async def _group(akela: Rig, fleet: Fleet, rounds: int, found: Rows, say: Say) -> None:
    concerned = len(fleet) // GROUP_SHARE
    body = {"name": GROUP, "weight": 1000, "filter": f'ep < "e-{concerned:06}"'}
    await asyncio.to_thread(akela.client.create, f"{akela.path}/groups", body)
    for number in range(1000, 1000 + rounds):
        say(f"the configuration of a group of {concerned} changes")
        taken = await measures.change(akela, fleet, number, f"group/{GROUP}", concerned)
        found.add("b", rows.GROUP, rows.APPLIED, "s", taken.seconds)
        found.taken("b", rows.GROUP, taken, concerned)


async def _storm(akela: Rig, fleet: Fleet) -> Taken:
    fleet.drop()
    await akela.nobody_attached()
    return await measures.attach(akela, fleet, configured=False)


def _note_storm(found: Rows, endpoints: int, taken: Taken) -> None:
    found.add("c", rows.STORM, "attaches", "/s", endpoints / taken.seconds)
    found.add("c", rows.STORM, "configuration sent", "B", taken.counts["configuration bytes"])
    found.taken("c", rows.STORM, taken, endpoints)


def _beside_mosquitto(endpoints: int, payload: bytes, rounds: int, found: Rows, say: Say) -> PeerInfo:
    peer = Mosquitto()
    missing = peer.install()
    ours = found.rows["a", rows.APPLIED].cells[US].values
    for _ in range(0 if missing else rounds):
        for what in (OWN, SHARED):
            say(f"the same bytes through Mosquitto: {what}")
            took_s = uvloop.run(retained(list(named(endpoints)), payload, shared=what == SHARED))
            found.add("f", rows.RETAINED, what, "s", took_s, peer=MOSQUITTO)
    for what in (OWN, SHARED):
        if missing:
            found.none("f", rows.RETAINED, what, "s", missing, peer=MOSQUITTO)
        for seconds in ours:
            found.add("f", rows.RETAINED, what, "s", seconds)
    return PeerInfo("" if missing else peer.version(), missing)


async def _stored(akela: Rig, stored: int, rounds: int, found: Rows, say: Say) -> None:
    say(f"{stored:,} endpoints are stored")
    await akela.provision(stored - stored % 10)
    for digit in range(rounds):
        say("a new group: all stored endpoints are evaluated")
        used = akela.used()
        try:
            found.add("e", rows.STORED, "evaluated", "/s", await evaluated(akela, digit))
        except BenchError as error:
            found.none("e", rows.STORED, "evaluated", "/s", str(error))
            return
        found.taken("e", rows.STORED, Taken(0.0, akela.used().since(used)), stored)
