"""Paired ratios, and a run on its way through a file."""

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.results import Cell, Results, Row, paired
from tests.unit.bench.runs import a_run


def test_ratios_are_taken_within_a_round() -> None:
    # Sorted by size before they are divided, they would give 1, 2 and 2.
    assert paired([10.0, 40.0, 100.0], [20.0, 10.0, 50.0], lower=False) == (2.0, 0.5, 4.0)


def test_less_is_better_where_the_row_says_so() -> None:
    assert paired([1.0], [4.0], lower=True) == (4.0, 4.0, 4.0)


def test_a_cost_ratio_counts_processor_time_only() -> None:
    row = Row("a", "publish", 100, "", "messages/s", lower=False)
    row.cells = {"akela": Cell([100.0], broker_cpu=[0.5]), "greedy": Cell([150.0], broker_cpu=[1.0])}
    assert row.cost_ratio("greedy") == pytest.approx((200 / 150,) * 3)
    row.unit = "ms"
    assert row.cost_ratio("greedy") is None


def test_a_peer_that_failed_has_no_ratio() -> None:
    row = Row("a", "publish", 100, "", "messages/s", lower=False)
    row.cells = {"akela": Cell([1.0, 1.0]), "late": Cell([1.0], reason="it gave up in the second round")}
    assert row.ratio("late") is None
    assert row.ratio("nobody") is None


def test_a_run_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"
    a_run().save(path)
    assert Results.load(path) == a_run()


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"run\.json"):
        Results.load(path)
