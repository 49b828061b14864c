"""A cluster of plain processes, as an administrator starts them: one database, several Control and Operations servers."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import httpx

from akela.client import AkelaClient
from tests.database import Database
from tests.ports import free_offset

PASSWORD: Final = "a good password"
WAIT_S: Final = 90.0
CONTROL_PORTS: Final = ("--api-port", "--control-admin-port")
OPERATIONS_PORTS: Final = ("--mqtt-port", "--ws-port", "--admin-port")


class ServerProcess:
    """One `akela run KIND`, started again on the same ports and data."""

    def __init__(self, kind: str, name: str, ports: dict[str, int], environment: dict[str, str], log: Path) -> None:
        self.kind = kind
        self.name = name
        self.ports = ports
        self._environment = {
            key: value for key, value in os.environ.items() if not key.startswith("AKELA_")
        } | environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `until_ready` waits for it."""
        flags = [part for flag, port in self.ports.items() for part in (flag, str(port))]
        command = [sys.executable, "-m", "akela", "run", self.kind, "--id", self.name, *flags]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def until_ready(self) -> None:
        """Return when its admin page says that it serves."""
        admin = next(port for flag, port in self.ports.items() if "admin" in flag)
        until(lambda: _answers(f"http://127.0.0.1:{admin}/readyz"), lambda: f"{self.name} is not ready: {self.said()}")

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and return when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ended(self) -> int:
        """Wait for its end; gives its exit code."""
        assert self._process is not None
        return self._process.wait(WAIT_S)

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-3000:]


class Cluster:
    """Use it as a context manager. `zookeeper`: host:port,..., or None for the embedded coordination."""

    def __init__(
        self, directory: Path, zookeeper: str | None, *, controls: int = 2, operations: int = 2, **settings: str
    ) -> None:
        self.database = Database(directory / "data")
        environment = {
            "AKELA_DATA": str(directory / "data"),
            "AKELA_CLUSTER_SECRET": "cluster secret",
            "AKELA_ADMIN_PASSWORD": PASSWORD,
        }
        environment |= {f"AKELA_{name.upper()}": value for name, value in settings.items()}
        if zookeeper is not None:
            environment["AKELA_ZOOKEEPER"] = zookeeper

        count = controls * len(CONTROL_PORTS) + operations * len(OPERATIONS_PORTS)
        offset = free_offset(tuple(range(count)))
        ports = itertools.count(offset)

        def planned(kind: str, count: int, flags: tuple[str, ...]) -> list[ServerProcess]:
            names = [f"{kind}-{number}" for number in range(count)]
            return [
                ServerProcess(kind, name, {flag: next(ports) for flag in flags}, environment, directory / f"{name}.log")
                for name in names
            ]

        self.controls = planned("control", controls, CONTROL_PORTS)
        self.operations = planned("operations", operations, OPERATIONS_PORTS)

    @property
    def apis(self) -> str:
        """The addresses of all Control servers, as a client takes them."""
        return ",".join(self.api(control) for control in self.controls)

    def api(self, control: ServerProcess) -> str:
        """The address of one Control server."""
        return f"http://127.0.0.1:{control.ports['--api-port']}"

    def signed_in(self) -> AkelaClient:
        """A client of the first administrator."""
        client = AkelaClient(self.apis)
        client.login("admin", PASSWORD)
        return client

    def active(self, client: AkelaClient) -> ServerProcess:
        """The Control server that says it is active."""
        found: list[str] = []

        def look() -> bool:
            try:
                servers: list[dict[str, Any]] = client.get("/servers")["items"]
            except Exception:  # noqa: BLE001  whoever was asked may just have been killed
                return False
            found[:] = [server["id"] for server in servers if server["role"] == "control" and server["active"]]
            return len(found) == 1

        until(look, lambda: f"active: {found}")
        return next(control for control in self.controls if control.name == found[0])

    def position(self, operations: ServerProcess) -> int:
        """The place in the change log that an Operations server has reached."""
        text = httpx.get(f"http://127.0.0.1:{operations.ports['--admin-port']}/metrics", timeout=10).text
        line = next(line for line in text.splitlines() if line.startswith("akela_change_position "))
        return int(float(line.split()[1]))

    def __enter__(self) -> "Cluster":
        self.database.start()
        for server in (*self.controls, *self.operations):
            server.start()
        for server in (*self.controls, *self.operations):
            server.until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (*self.controls, *self.operations):
            server.kill()
        self.database.stop(signal.SIGKILL)


def until(condition: Any, what: Any) -> None:
    """Return when `condition()` holds; fail with `what()` when it does not in time."""
    deadline_s = time.monotonic() + WAIT_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, what()
        pause.wait(0.02)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
