"""Tables, chart and page of a run."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import table
from bench.chart import chart
from bench.errors import BenchError
from bench.report import filled, parts, write_page
from bench.results import Results
from tests.unit.bench.runs import a_run

DOCS = Path(__file__).parents[3] / "docs"


def test_each_row_shows_our_number_and_the_ratios() -> None:
    notes = table.Notes()
    head, publish, latency, *_ = table.lines(a_run(), notes)
    assert head == ["", "workload", "akela", "akela/fast", "akela/shy"]
    assert publish == ["a", "publish", "200/s", "1.8 (0.50 to 3.0)", "[1]"]
    assert latency == ["i", "latency p50, 1,024 B", "1.00 ms", "3.0 (2.0 to 4.0)", "-"]
    assert notes.texts == ["it cannot"]


def test_costs_are_of_rates_only_and_per_processor_time() -> None:
    head, *rows = table.costs(a_run())
    assert head == ["", "workload", "akela/fast", "akela/shy"]
    assert rows == [["a", "publish", "1.8 (0.56 to 3.0)", "-"]]


def test_the_growth_check_is_a_multiple_of_the_cost_alone() -> None:
    assert table.growth(a_run()) == [
        ["other clients", "akela", "fast", "shy"],
        ["1,000 other clients", "1.5", "-", "-"],
    ]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(4096.0, "bytes", "4.0 KB"), (0.1234, "ms", "0.123 ms"), (618_000.0, "messages/s", "618k/s"), (935.5, "clients/s", "936/s")],
)  # fmt: skip
def test_amounts_have_three_digits(value: float, unit: str, text: str) -> None:
    assert table.amount(value, unit) == text


@pytest.mark.parametrize(("value", "text"), [(0.87, "0.87"), (1.24, "1.2"), (42.3, "42"), (3304.0, "3,304")])
def test_ratios_have_two_digits(value: float, text: str) -> None:
    assert table.ratio(value) == text


def test_the_chart_has_a_point_per_ratio_and_follows_the_readers_colours() -> None:
    text = chart(a_run())
    root = ET.fromstring(text)
    tips = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert tips == ["fast: 0.56 times Akela", "fast: 0.33 times Akela"]
    assert "prefers-color-scheme:dark" in text


def test_a_peer_that_took_no_part_is_named_on_the_page() -> None:
    made = parts(a_run())
    assert "took no part: no such package" in made["peers"]
    assert "open: acl" in made["peers"]


def test_prose_stays_and_parts_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# By hand\n<!-- bench: ratios -->\nold\n<!-- /bench -->\nBy hand, too.\n")
    write_page(a_run(), tmp_path)
    once = page.read_text()
    assert once.startswith("# By hand\n<!-- bench: ratios -->\n| ")
    assert once.endswith("<!-- /bench -->\nBy hand, too.\n")
    assert "old" not in once
    write_page(a_run(), tmp_path)
    assert page.read_text() == once


def test_a_part_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(BenchError, match="weather"):
        filled("<!-- bench: weather -->\n<!-- /bench -->", {"ratios": ""})


def test_a_missing_page_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"performance\.md is not there"):
        write_page(a_run(), tmp_path)


def test_a_run_on_event_loops_fills_its_own_part_only(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("<!-- bench: ratios -->\nkept\n<!-- /bench -->\n<!-- bench: loops -->\n<!-- /bench -->\n")
    run = a_run()
    run.settings = {**run.settings, "kind": "loops"}
    written = write_page(run, tmp_path)
    assert [path.name for path in written] == ["performance.md", "performance-loops.json"]
    assert page.read_text().startswith("<!-- bench: ratios -->\nkept\n<!-- /bench -->\n<!-- bench: loops -->\nMeasured")


def test_the_manuals_page_is_what_its_numbers_make_it() -> None:
    results = Results.load(DOCS / "performance.json")
    loops = Results.load(DOCS / "performance-loops.json")
    page = (DOCS / "performance.md").read_text()
    assert filled(page, parts(results) | parts(loops)) == page
    assert chart(results) == (DOCS / "performance.svg").read_text()
