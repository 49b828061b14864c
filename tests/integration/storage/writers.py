"""Writers of the change log that die, or freeze, before a chosen command reaches the database."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pymongo import monitoring

from akela.documents import history, model
from akela.documents.changelog import ChangeLog, Draft

TENANT = {"_id": "t1", "name": "first", "format": 1}
COMMANDS = ("insert", "update", "delete", "find", "findAndModify")


class Killed(BaseException):
    """The writer's process ends here: nothing of its own runs any more."""


class Executioner(monitoring.CommandListener):
    """Before this thread's n-th command: ends the writer, or does something else first."""

    def __init__(self) -> None:
        self.disarm()

    def disarm(self) -> None:
        self.left = -1
        self._commands: tuple[str, ...] = COMMANDS
        self._thread: int | None = None
        self._act: Callable[[], None] = self._kill

    def arm(self, left: int, act: Callable[[], None] | None = None, *, commands: tuple[str, ...] = COMMANDS) -> None:
        """Kill before the `left`-th of `commands` from now; or call `act` before it, and let it pass."""
        self._commands = commands
        self.left, self._thread, self._act = left, threading.get_ident(), act or self._kill

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in self._commands or threading.get_ident() != self._thread:
            return
        self.left -= 1
        if self.left == 0:
            act = self._act
            self.disarm()
            act()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

    @staticmethod
    def _kill() -> None:
        raise Killed


EXECUTIONER = Executioner()
monitoring.register(EXECUTIONER)  # it acts only where a test arms it


def elsewhere(work: Callable[[], None]) -> Callable[[], None]:
    """`work` in a thread of its own, waited for: what others do while a writer stands still."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  told to the test below
            failed.append(error)

    def call() -> None:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    return call


def put(target: str, before: int | None, **fields: Any) -> Draft:
    after = TENANT | {"_id": target} | fields
    return Draft("tenant", "put", target, after, before, who="admin", where="test", tenant=target)


def deletion(target: str, before: int, kind: str = "tenant", app: str | None = None) -> Draft:
    return Draft(kind, "delete", target, None, before, who="admin", where="test", app=app)


def endpoint(ep: str, app: str = "app2") -> dict[str, Any]:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    return {
        "_id": f"{app}/{ep}", "app": app, "ep": ep, "tenant": "t", "registered_at": moment, "how": "provisioned", "credentials": [],
        "revoked": False, "format": 1,
    }  # fmt: skip


def many(names: list[str], app: str = "app2") -> Draft:
    rows = {"rows": [endpoint(name, app) for name in names]}
    return Draft("endpoint", "many", app, rows, None, who="admin", where="test", tenant="t", app=app)


def leader(epoch: int) -> ChangeLog:
    log = ChangeLog(epoch)
    log.resume()
    return log


def states() -> list[tuple[int, str]]:
    return [(change["_id"], change["state"]) for change in history.read(0, 1000)]


def endpoints(app: str = "app2") -> list[str]:
    return [doc["ep"] for doc in model.query("endpoint", {"app": app}, sort="ep")]
