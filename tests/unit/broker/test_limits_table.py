"""The table of limits in docs/broker.md is complete and true: settings, defaults, metrics, tests."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from broker import Broker, BrokerSettings
from broker.metrics import BrokerMetrics

ROOT = Path(__file__).parents[3]
NO_LIMITS = {"listeners", "store", "allow_anonymous", "sys_interval_s", "keep_alive_extra_s"}
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs/broker.md").read_text().partition("## Limits")[2].partition("## Watching")[0].splitlines()
    if line.startswith("| ") and "`" in line
]


def test_every_limit_is_in_the_table() -> None:
    assert {row[1] for row in ROWS} == {field.name for field in fields(BrokerSettings)} - NO_LIMITS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_a_row_is_true(row: list[str]) -> None:
    _, setting, default, _, metric, test = row
    defaults = {field.name: field.default for field in fields(BrokerSettings) if field.default is not MISSING}
    assert default == str(defaults[setting])
    name, labels = re.fullmatch(r"(\w+)(?:\{(.*)\})?", metric).groups()  # type: ignore[union-attr]
    families = {family.name: family for family in BrokerMetrics(Broker()).collect()}
    assert f"akela_mqtt_{name.removesuffix('_total')}" in families
    file, _, function = test.partition(" `")
    source = (ROOT / "tests/integration/broker" / file).read_text()
    body = source.partition(f"async def {function.rstrip('`')}(")[2].partition("\nasync def ")[0]
    assert body, f"{file} has no {function}"
    assert f'"{name}"' in body or name.removesuffix("_total") in body, f"{function} does not look at {name}"
    assert all(label.partition("=")[2] in body for label in (labels or "").split(",") if label)
