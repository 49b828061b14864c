"""The fleet's devices against bytes as a broker sends them, in any pieces; the table of a run."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from bench import wire
from bench.convergence import rows
from bench.convergence.device import Device
from bench.convergence.fleet import Fleet, Login
from bench.convergence.measures import Taken
from bench.errors import NoResult
from bench.report import parts
from bench.results import CONVERGENCE, PeerInfo, Results

WELCOME = b"\x20\x02\x00\x00" + b"\x90\x03\x00\x01\x01"
PAYLOAD = b'{"id":"0123456789abcdef","full":{"x":"' + b"y" * 200 + b'"}}'
CONFIG = wire.publish("a1/me/d/config", PAYLOAD, 1, 0x1234)
REPORT = wire.publish("a1/me/u/config/applied", b'{"id":"0123456789abcdef","code":200}', 1)


class Written:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""
        self.gone = False

    def write(self, data: bytes) -> None:
        self.data += data

    def abort(self) -> None:
        self.gone = True


def attached(fleet: Fleet) -> tuple[Device, Written]:
    login = Login("e-1", "app", "secret")
    device, written = Device(fleet, login.hello(), fleet.reports[login.report_topic]), Written()
    device.connection_made(cast(asyncio.BaseTransport, written))
    written.data = b""
    return device, written


@pytest.fixture
async def fleet() -> Fleet:
    return Fleet(1, [Login("e-1", "app", "secret")])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_a_device_acknowledges_and_reports_however_the_bytes_come(fleet: Fleet, size: int) -> None:
    device, written = attached(fleet)
    fleet.expect(1)
    data = WELCOME + CONFIG + wire.publish("a1/me/d/re/1/200", b"{}", 1, 7) + b"\x40\x02\x00\x01"
    for at in range(0, len(data), size):
        device.data_received(data[at : at + size])
    await fleet.all_reported()
    assert device.ready.done()
    assert written.data == b"\x40\x02\x12\x34" + REPORT + b"\x40\x02\x00\x07"
    assert (fleet.configs, fleet.reported, dict(fleet.sizes), fleet.payload) == (1, 1, {len(CONFIG): 1}, PAYLOAD)


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x05" + bytes(5), WELCOME[:-1] + b"\x80"])
async def test_a_device_that_is_refused_says_so(fleet: Fleet, answer: bytes) -> None:
    device, _ = attached(fleet)
    device.data_received(answer)
    with pytest.raises(NoResult, match="the server refused a device"):
        await device.ready


async def test_a_device_that_is_thrown_out_ends_the_measurement(fleet: Fleet) -> None:
    device, _ = attached(fleet)
    device.data_received(WELCOME)
    fleet.expect(1)
    device.connection_lost(None)
    with pytest.raises(NoResult, match="the server closed a connection"):
        await fleet.all_reported()


def a_run() -> Results:
    found = rows.Rows()
    cpu = {"Operations": 1.0, "database": 0.5, "Control": 0.1, "devices": 0.25}
    counts = {"bytes down": 5600.0, "bytes up": 680.0, "documents written": 10.0, "database statements": 3.0}
    for seconds in (2.0, 1.0, 4.0):
        found.add("a", rows.CHANGE, rows.APPLIED, "s", seconds)
        found.taken("a", rows.CHANGE, Taken(seconds, cpu, counts), 10)
        found.add("f", rows.RETAINED, "a topic each", "s", seconds)
        found.add("f", rows.RETAINED, "a topic each", "s", 0.5, peer=rows.MOSQUITTO)
    found.add("c", rows.STORM, "attaches", "/s", 4000.0)
    found.none("e", rows.STORED, "evaluated", "/s", "no such thing")
    machine = {"processor": "P", "cores": "2", "memory": "4 GiB", "system": "S", "python": "CPython 3"}
    settings = {"kind": CONVERGENCE, "rounds": 3, "endpoints": 10, "stored": 20, "load": 0.25}
    return Results("2026-01-02", machine, settings, {"mosquitto": PeerInfo("2")}, list(found.rows.values()))


def test_a_run_says_of_each_number_whether_it_is_what_was_aimed_at() -> None:
    _, *found = rows.lines(a_run())
    assert [line[3:] for line in found] == [
        ["2.00 s", "at most 3.00 s: met", "-", ""],
        ["4,000/s", "at least 5,000/s: missed", "-", ""],
        ["no such thing", "at least 20.0k/s", "-", ""],
        ["2.00 s", "at most 3 times", "0.500 s", "4.0 times: missed"],
    ]


def test_costs_are_per_endpoint_where_that_says_more() -> None:
    head, *found = rows.costs(a_run())
    assert dict(zip(head[2:], found[0][2:], strict=True)) == {
        "bytes down": "560 B", "bytes up": "68.0 B", "documents written": "1.00", "database statements": "3.00",
        "CPU: Operations": "1.00 s", "CPU: database": "0.500 s", "CPU: Control": "0.100 s", "CPU: devices": "0.250 s",
    }  # fmt: skip


def test_a_run_fills_its_part_of_the_page(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    a_run().save(file)
    part = parts(Results.load(file))
    assert list(part) == ["convergence"]
    assert "10 endpoints attached, 20 stored for (e); rounds: 3" in part["convergence"]
    assert "| a | everybody's configuration changes | until all have it applied | 2.00 s |" in part["convergence"]
