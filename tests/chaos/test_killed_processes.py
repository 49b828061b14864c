"""kill -9 each process in turn while a device publishes numbered readings: what was acknowledged is in the database."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from device_lib import Address, Endpoint, EndpointSettings, Receipt
from tests import mqtt
from tests.akela_up import WAIT_S, AkelaUp, started
from tests.cluster import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

MORE = 30  # readings that must be acknowledged after each kill


@pytest.fixture
def up(tmp_path: Path) -> Iterator[AkelaUp]:
    """An Akela of this test's own: it will not be the same afterwards."""
    yield from started(tmp_path / "data")


class Readings:
    """A device that publishes numbered readings for as long as it is asked to."""

    def __init__(self, up: AkelaUp) -> None:
        settings = EndpointSettings(
            app=up.app,
            endpoint="chaos-1",
            claim_secret=up.demo["claim_secret"],
            servers=[Address.parse(up.ready["operations"][0])],
        )
        self._endpoint = Endpoint(settings)
        self._receipts: list[Receipt] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish)

    def __enter__(self) -> "Readings":
        self._endpoint.__enter__()
        self._endpoint.wait_connected(WAIT_S)
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()
        self._endpoint.__exit__(None, None, None)

    def _publish(self) -> None:
        while not self._stop.wait(0.002):
            record = {"sensor": "t1", "value": 1.0, "seq": len(self._receipts)}
            self._receipts.append(self._endpoint.log("readings", record))

    def more(self) -> None:
        """Return when as many readings that begin now are acknowledged."""
        first = len(self._receipts)
        while len(self._receipts) < first + MORE:
            self._stop.wait(0.01)
        for receipt in self._receipts[first : first + MORE]:
            receipt.wait(WAIT_S)

    def acknowledged(self) -> set[int]:
        """Numbers of the acknowledged readings."""
        return {number for number, receipt in enumerate(self._receipts) if receipt.acknowledged}


def stored(up: AkelaUp) -> list[int]:
    """Numbers of the stored readings."""
    numbers: list[int] = []
    cursor: list[str] = []
    while True:
        page = up.value("logs", "query", "--app", "demo", "readings", "--limit", "500", *cursor)
        numbers += [record["body"]["seq"] for record in page["items"]]
        if page["next"] is None:
            return numbers
        cursor = ["--cursor", page["next"]]


def kill(up: AkelaUp, name: str) -> None:
    """kill -9 a child; return when the supervisor has said that it starts it again."""
    os.kill(up.ready["processes"][name], signal.SIGKILL)
    assert f"{name} was killed by signal 9; starting it again" in up.lines.until(f"{name} was killed")


def until_serving(up: AkelaUp) -> None:
    """Return when every server is ready again."""
    ports = (9101, 9102, 9103)
    deadline_s = time.monotonic() + WAIT_S * 2
    while not all(ready(port + up.offset) for port in ports):
        assert time.monotonic() < deadline_s, "".join(up.lines.seen)
        threading.Event().wait(0.05)


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_every_acknowledged_reading_is_stored_whatever_is_killed(up: AkelaUp) -> None:
    with Readings(up) as readings:
        readings.more()
        for name in ("operations-0", "database", "bootstrap", "control"):
            kill(up, name)
            readings.more()
    until_serving(up)
    acknowledged = readings.acknowledged()
    found = stored(up)
    assert len(acknowledged) >= 5 * MORE
    assert acknowledged <= set(found)
    assert up.akela("doctor").returncode == 0


def test_configuration_survives_the_death_of_who_changed_it(up: AkelaUp) -> None:
    up.akela("config", "set", "--app", "demo", "-", stdin='{"interval": 11}')
    for name in ("control", "database", "operations-0"):
        kill(up, name)
    until_serving(up)
    shown = up.value("config", "show", "--app", "demo")
    assert shown["data"] == {"interval": 11}
    up.akela("config", "set", "--app", "demo", "-", stdin='{"interval": 12}')
    assert up.value("config", "effective", "--app", "demo", "--endpoint", "x")["value"]["interval"] == 12


def test_what_waits_for_an_operator_survives_a_killed_server(up: AkelaUp) -> None:
    listening = [*up.operator(), "-i", "watch", "-c", "-t", f"a1/{up.app}/+/u/log/readings"]
    subprocess.run(["mosquitto_sub", *listening, "-E"], check=True, timeout=WAIT_S)
    with Readings(up) as readings:
        readings.more()
        kill(up, "operations-0")
        readings.more()
    acknowledged = readings.acknowledged()
    heard = subprocess.run(["mosquitto_sub", *listening, "-W", "3"], capture_output=True, text=True, timeout=WAIT_S)
    assert acknowledged <= {json.loads(line)["seq"] for line in heard.stdout.splitlines()}


def test_an_endpoint_of_a_killed_server_is_shown_as_away(up: AkelaUp) -> None:
    """Nobody wrote that it left; the server that was started in place of the killed one has another start."""

    def server() -> str | None:
        shown: str | None = up.value("endpoint", "show", "--app", "demo", "ghost")["server"]
        return shown

    with socket.create_connection(("127.0.0.1", int(up.port())), WAIT_S) as device:
        device.sendall(mqtt.connect("ghost", username=up.app, password=up.demo["claim_secret"]))
        assert device.recv(4) == b"\x20\x02\x00\x00"
        until(lambda: server() == "operations-0", lambda: f"it is at {server()}")
        kill(up, "operations-0")
        until_serving(up)
        until(lambda: server() is None, lambda: f"it is at {server()}")


async def test_a_hello_that_says_something_new_is_acknowledged_once_that_is_stored(up: AkelaUp) -> None:
    """What it said holds until it says otherwise; a server that is killed behind the PUBACK must not take it back."""
    login = {"username": up.app, "password": up.demo["claim_secret"]}
    wire = await mqtt.Wire.connected(int(up.port()), mqtt.connect("says", **login))
    await wire.subscribed(("a1/me/d/re/#", 0))
    os.kill(up.ready["processes"]["database"], signal.SIGSTOP)
    wire.send(mqtt.publish("a1/me/u/hello/h1", '{"sdk": "9.0"}', qos=1), mqtt.publish("a1/me/u/config/get/g1"))
    assert (await wire.message()).topic == "a1/me/d/re/g1/200"  # and neither PUBACK nor answer before it
    os.kill(up.ready["processes"]["database"], signal.SIGCONT)
    assert (await wire.message()).topic == "a1/me/d/re/h1/200"
    assert (await wire.packet()).first == 0x40
    assert up.value("endpoint", "show", "--app", "demo", "says")["sdk"] == "9.0"
