"""`akela up`: one lock per data directory, ports checked first, children in order, ready when all of them are.

Nothing is left running when this process is killed: each child reads a pipe from it, which the kernel closes.
"""

import asyncio
import fcntl
import os
import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import Final, TextIO

import httpx

from akela.errors import ServerError
from akela.http_server import listening_socket
from akela.paths import write_private
from akela.settings import CommonSettings
from akela.supervisor.plan import API, BOOT, MQTT, PORT_STEP, WEBSOCKET, Child, children
from akela.supervisor.process import SupervisedProcess, Tell

READY_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.05
SETTINGS: Final = (
    "data", "cluster", "mongodb_url", "mongodb_database", "zookeeper", "port_offset", "bind", "public_host", "log", "log_level",
)  # fmt: skip


class Supervisor:
    """Runs everything of one data directory. `tell` gets lines for the user."""

    def __init__(self, settings: CommonSettings, operations: int, tell: Tell) -> None:
        self._settings = settings
        self._operations = operations
        self._tell = tell
        self._lock: TextIO | None = None
        self._processes: list[SupervisedProcess] = []
        self.admin_user = "admin"
        self.admin_password = ""

    async def __aenter__(self) -> "Supervisor":
        """Start everything and wait until it serves. Raises: ServerError; nothing is left running then."""
        self._settings.directory.make()
        self._take_lock()
        planned = children(self._settings, self._operations)
        self._check_ports(planned)
        environment = self._environment()
        self._processes = [SupervisedProcess(child, environment, self._tell) for child in planned]
        try:
            for stage in sorted({child.stage for child in planned}):
                started = [process for process in self._processes if process.child.stage == stage]
                for process in started:
                    process.start()
                for process in started:
                    await self._until_ready(process)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self.stop()

    @property
    def api(self) -> str:
        """Address of the REST API."""
        return f"http://{self._settings.bind}:{self._settings.listen(API)}"

    @property
    def mqtt(self) -> list[str]:
        """host:port of each Operations server."""
        first = self._settings.listen(MQTT)
        return [f"{self._settings.bind}:{first + index * PORT_STEP}" for index in range(self._operations)]

    @property
    def websocket(self) -> list[str]:
        """Address of MQTT over WebSocket on each Operations server."""
        first = self._settings.listen(WEBSOCKET)
        return [f"ws://{self._settings.bind}:{first + index * PORT_STEP}" for index in range(self._operations)]

    @property
    def bootstrap(self) -> list[str]:
        """host:port of each Bootstrap server."""
        return [f"{self._settings.bind}:{self._settings.listen(BOOT)}"]

    @property
    def pids(self) -> Mapping[str, int | None]:
        """Process ids by name."""
        return {process.child.name: process.pid for process in self._processes}

    async def stop(self) -> None:
        """Stop the servers, then the database."""
        for stage in sorted({process.child.stage for process in self._processes}, reverse=True):
            stopping = [process for process in self._processes if process.child.stage == stage]
            await asyncio.gather(*(process.stop() for process in stopping))
        self._processes = []
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        file = self._settings.directory.run / "up.lock"
        self._lock = file.open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            self._lock.close()
            raise ServerError(
                f"{self._settings.data} is in use by another `akela up` (process {holder});"
                " stop it, or choose another directory with --data"
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _check_ports(self, planned: tuple[Child, ...]) -> None:
        for child in planned:
            for port in child.ports:
                listening_socket(self._settings.bind, port.number, port.flag).close()

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        said = {f"AKELA_{name.upper()}": getattr(settings, name) for name in SETTINGS}
        environment = {name: str(value) for name, value in said.items() if value is not None}
        environment["AKELA_CLUSTER_SECRET"] = settings.directory.secret_made("cluster")
        environment["AKELA_ADMIN_PASSWORD"] = self.admin_password = self._first_password()
        return environment

    def _first_password(self) -> str:
        """The first login's password: made once, kept in a file that only its owner reads."""
        file = self._settings.directory.secrets / "first-login"
        if not file.exists():
            write_private(file, secrets.token_urlsafe(12) + "\n")
        return self._settings.directory.secret("first-login")

    async def _until_ready(self, process: SupervisedProcess) -> None:
        """Raises: ServerError with the child's own words when it ends instead."""
        deadline_s = asyncio.get_running_loop().time() + READY_WITHIN_S
        async with httpx.AsyncClient(timeout=2.0) as http:
            while not await self._is_ready(process.child, http):
                if process.failed.done():
                    raise ServerError(f"{process.child.name}: {process.failed.result().removeprefix('error: ')}")
                if asyncio.get_running_loop().time() > deadline_s:
                    raise ServerError(
                        f"{process.child.name} is not ready after {READY_WITHIN_S:.0f} s: {process.last_line}"
                    )
                await asyncio.sleep(LOOK_EVERY_S)

    async def _is_ready(self, child: Child, http: httpx.AsyncClient) -> bool:
        if child.ready_port is None:
            return await _accepts(str(self._settings.directory.database_socket))
        try:
            answer = await http.get(f"http://{self._settings.bind}:{child.ready_port}/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK


async def _accepts(path: str) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
