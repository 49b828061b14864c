"""What the command line refuses, and how."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.__main__ import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-w", "a,z"], "no such workload: z; known: a, b"),
        (["-p", "mosquito"], "no such peer: mosquito; known: akela, mosquitto"),
        (["--payload", "3"], "3 is not in the range 16<=x<=200000"),
        (["--rounds", "0"], "0 is not in the range x>=1"),
        (["--baseline", "/nowhere"], "'/nowhere' does not exist"),
    ],
)
def test_a_wrong_choice_is_told_with_what_is_allowed(words: list[str], told: str) -> None:
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, told in result.output) == (2, True), result.output


def test_a_report_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text("{}")
    result = CliRunner().invoke(main, ["report", "--json", str(file)])
    assert (result.exit_code, "has format None" in result.output) == (1, True), result.output
