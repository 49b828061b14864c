"""The examples of docs/rest.md, run as they are printed."""

import json
from pathlib import Path

from tests.akela_up import started
from tests.e2e.test_manual import examples, run


def test_every_line_of_rest_md_works_as_printed(tmp_path: Path) -> None:
    lines = examples("docs/rest.md")
    assert len(lines) == 3
    for _ in started(tmp_path / "data"):
        printed = run(lines, tmp_path / "data")
    assert json.loads(printed[lines[1]])["user"] == "admin"
    assert json.loads(printed[lines[2]])["id"] == "pilots"
