"""The bench itself: a tiny workload against real brokers, so that it never rots; and its gates, tried on brokers that have none."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.__main__ import main
from bench.errors import BenchError, NoResult, NotStarted
from bench.measure import ROOT, Scale, measure
from bench.peers import Akela, Command, Place
from bench.peers.mosquitto import Mosquitto
from bench.peers.sink import Sink
from bench.results import Results
from bench.running import open_gates, running
from bench.workloads import WORKLOADS

TINY = Scale(seconds=0.2, many=150, limit_s=30.0)


class OpenMosquitto(Mosquitto):
    """One whose owner forgot the gates."""

    def command(self, place: Place) -> Command:
        made = super().command(place)
        config = place.directory / "config"
        text = config.read_text().replace("allow_anonymous false", "allow_anonymous true")
        config.write_text("".join(line for line in text.splitlines(True) if "_file" not in line))
        return made


class Crashing(Mosquitto):
    """One that ends at once."""

    name = "crashing"

    def command(self, place: Place) -> Command:
        return Command(("mosquitto", "-c", str(place.directory / "nowhere")))


def test_a_run_measures_akela_and_mosquitto(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    words = ["-w", "a", "-p", "mosquitto", "--rounds", "1", "--seconds", "0.2", "--payload", "100", "--json", str(file)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "akela/mosquitto" in result.output
    (row,) = json.loads(file.read_text())["rows"]
    assert all(len(row["cells"][name]["values"]) == 1 for name in ("akela", "mosquitto", "ceiling"))


@pytest.mark.parametrize("key", [key for key in WORKLOADS if key != "a"])
def test_every_workload_gives_numbers(key: str) -> None:
    workload = WORKLOADS[key]
    numbers = measure(Akela(), workload, TINY)
    assert len(numbers.values) == len(workload.measures)
    assert all(value > 0 for value in numbers.values)


@pytest.mark.parametrize("key", ["a", "e", "g"])
def test_several_load_processes_share_a_workload(key: str) -> None:
    scale = Scale(seconds=0.2, many=150, processes=2, limit_s=30.0)
    assert measure(Sink(), WORKLOADS[key], scale).values[0] > 0


def test_a_profiler_that_may_not_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    py_spy = tmp_path / "py-spy"
    py_spy.write_text("#!/bin/sh\necho 'Error: Permission Denied' >&2\nexit 1\n")
    py_spy.chmod(0o755)
    monkeypatch.setattr("bench.profile.PY_SPY", py_spy)
    with pytest.raises(BenchError, match="py-spy: Error: Permission Denied"):
        measure(Akela(), WORKLOADS["a"], replace(TINY, profile=tmp_path / "graphs"))


def test_the_gates_of_akela_and_mosquitto_are_closed() -> None:
    assert open_gates(Akela()) == []
    assert open_gates(Mosquitto()) == []


def test_open_gates_are_found() -> None:
    assert open_gates(OpenMosquitto()) == ["authentication", "acl"]


def test_a_feature_that_a_peer_lacks_is_told() -> None:
    with pytest.raises(NoResult, match="the sink speaks no TLS"):
        measure(Sink(), WORKLOADS["k"], TINY)


def test_a_broker_that_does_not_start_is_told_with_its_words() -> None:
    with pytest.raises(NotStarted, match=r"crashing did not start; it said: .*nowhere"), running(Crashing()):
        pass


def test_a_bench_that_is_ended_leaves_no_broker_behind() -> None:
    words = (sys.executable, "-m", "bench", "-w", "a", "-p", "mosquitto", "--seconds", "60")
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert any("ceiling: looking" in line for line in process.stderr)  # the first measurement follows
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_small_fleet_converges_and_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    words = ["convergence", "--endpoints", "200", "--rounds", "1", "-w", "abcf", "--json", str(file)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    found = Results.load(file)
    values = {(row.workload, row.measure): row.cells["akela"].values for row in found.rows if row.cells["akela"].values}
    assert values["c", "configuration sent"] == [0]
    assert values["a", "documents written"][0] >= 1
    assert all(row.cells["mosquitto"].values for row in found.rows if row.workload == "f")
