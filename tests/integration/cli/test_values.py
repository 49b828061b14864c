"""`akela endpoint values` and `akela config lease`: what a device set and proposed, seen and decided from the command line."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.akela_up import AkelaUp, request
from tests.cluster import until

FIELDS = [
    {"name": "interval", "type": "int", "default": 60},
    {"name": "knob", "type": "int", "default": 0, "akela.authority": "device"},
    {"name": "unit", "type": "string", "default": "", "akela.authority": "hold"},
]
APP = ("--app", "knobs")


@pytest.fixture
def device(akela: AkelaUp) -> Iterator[list[str]]:
    """Options of Mosquitto's clients for a device of an application of its own."""
    made = akela.value("app", "create", "knobs", "--trust", "open")
    schema = {"type": "record", "name": "C", "fields": FIELDS}
    akela.akela("schema", "add", *APP, "--kind", "config", "-", stdin=json.dumps(schema))
    akela.akela("endpoint", "add", *APP, "d1")
    yield ["-p", akela.port(), "-i", "d1", "-u", made["id"], "-P", made["claim_secret"], "-q", "1"]
    akela.akela("app", "delete", "knobs", "--yes")


def reported(device: list[str], **values: Any) -> Any:
    return request(device, "a1/me/u/config/report/r1", "a1/me/d/re/r1/200", json.dumps({"values": values}))


def test_values_are_seen_and_decided(akela: AkelaUp, device: list[str]) -> None:
    proposals = [reported(device, knob=5, unit=unit)["held"]["/unit"] for unit in ("K", "F")]
    listed = akela.akela("endpoint", "values", "list", *APP, "d1").stdout
    assert [part in listed for part in ("/knob", "set", "held", proposals[1])] == [True] * 4
    assert proposals[0] not in listed  # the later proposal took its place
    gone = akela.akela("endpoint", "values", "accept", *APP, "d1", proposals[0], check=False)
    assert (gone.returncode, "Traceback" in gone.stderr) == (1, False)
    akela.akela("endpoint", "values", "accept", *APP, "d1", proposals[1])
    assert akela.value("config", "show", *APP, "--endpoint", "d1")["data"] == {"unit": "F"}
    third = reported(device, unit="C")["held"]["/unit"]
    akela.akela("endpoint", "values", "reject", *APP, "d1", third)
    assert akela.value("endpoint", "values", "list", *APP, "d1")["held"] == []
    nothing = akela.akela("endpoint", "values", "clear", *APP, "d1", "--path", "/unit", "--yes", check=False)
    assert nothing.returncode == 1
    assert akela.akela("endpoint", "values", "clear", *APP, "d1", stdin="n\n", check=False).returncode == 1
    akela.akela("endpoint", "values", "clear", *APP, "d1", "--path", "/knob", "--yes")
    assert akela.value("endpoint", "values", "list", *APP, "d1") == {"values": [], "held": []}


def test_a_value_of_a_layer_is_leased(akela: AkelaUp, device: list[str]) -> None:
    akela.akela("config", "set", *APP, "--endpoint", "d1", "-", stdin='{"interval": 5, "knob": 1}')
    leased = akela.value("config", "lease", *APP, "--endpoint", "d1", "/interval", "2030-01-01T00:00:00Z")
    assert [item["path"] for item in leased["leases"]] == ["/interval"]
    assert akela.value("config", "lease", *APP, "--endpoint", "d1", "/interval", "never")["leases"] == []
    wrong = akela.akela("config", "lease", *APP, "--endpoint", "d1", "/interval", "soon", check=False)
    assert (wrong.returncode, "until" in wrong.stderr) == (1, True)
    akela.akela("config", "lease", *APP, "--endpoint", "d1", "/interval", "0.2")

    def over() -> bool:
        return bool(akela.value("config", "show", *APP, "--endpoint", "d1")["data"] == {"knob": 1})

    until(over, lambda: akela.value("config", "show", *APP, "--endpoint", "d1"))
