"""Coordination of the processes of one machine: leases in a SQLite file.

Each process that registers or stands for election renews its leases every quarter of their length. Time is the machine's monotonic
clock, which all its processes share; after a reboot (another boot id) every lease is void. Changes are seen by polling
`PRAGMA data_version`, which reads one page and runs no query. SQLite works in a thread of its own.
"""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from akela.coordination.interface import CoordinationError, JsonObject, Leadership, Member, Role, Standing

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S: Final = 0.05
NEVER_READ: Final = -1  # no `data_version`
BUSY_S: Final = 2.0  # how long SQLite waits for another process's write
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS boot (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS members (
    cluster TEXT, role TEXT, id TEXT, incarnation INTEGER NOT NULL, payload TEXT NOT NULL, until_s REAL NOT NULL,
    PRIMARY KEY (cluster, role, id));
CREATE TABLE IF NOT EXISTS leaders (
    cluster TEXT, role TEXT, id TEXT NOT NULL, epoch INTEGER NOT NULL, until_s REAL NOT NULL, PRIMARY KEY (cluster, role));
"""


class EmbeddedCoordination:
    """`akela.coordination.Coordination` on a file."""

    def __init__(self, file: Path, cluster: str, session_s: float) -> None:
        self._file = file
        self.cluster = cluster
        self.session_s = session_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="coordination")
        self._database: sqlite3.Connection | None = None
        self._registrations: dict[tuple[Role, str], EmbeddedRegistration] = {}
        self._elections: list[EmbeddedElection] = []
        self._renewer: asyncio.Task[None] | None = None
        self._own_writes = 0  # `data_version` does not tell of this connection's own writes

    async def connect(self, timeout_s: float) -> None:
        """Open the file, making it if it is not there. Raises: CoordinationError."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.run(self._open)
        except (sqlite3.Error, OSError, TimeoutError) as error:
            raise CoordinationError(
                f"coordination file {self._file}: {error or 'does not answer'}; see --data"
            ) from error
        self._renewer = asyncio.create_task(self._renew())

    async def close(self) -> None:
        """Withdraw what this process has entered, and close the file."""
        if self._renewer is not None:
            self._renewer.cancel()
            await asyncio.gather(self._renewer, return_exceptions=True)
        for registration in list(self._registrations.values()):
            await registration.withdraw()
        for election in list(self._elections):
            await election.resign()
        if self._database is not None:
            await self.run(lambda database: database.close())
        self._thread.shutdown(wait=False)

    async def register(self, role: Role, member_id: str, payload: JsonObject) -> "EmbeddedRegistration":
        """Enter this process."""
        registration = EmbeddedRegistration(self, role, member_id, payload)
        self._registrations[(role, member_id)] = registration
        await registration.enter()
        return registration

    async def watch(self, role: Role) -> AsyncIterator[Mapping[str, Member]]:
        """The members of a role, at once and after each change."""
        seen: Mapping[str, Member] | None = None
        version, own = NEVER_READ, 0
        next_expiry_s = 0.0
        while True:
            try:
                now = await self.run(lambda database: database.execute("PRAGMA data_version").fetchone()[0])
                if now == version and own == self._own_writes and time.monotonic() < next_expiry_s:
                    members = seen
                else:
                    version, own = now, self._own_writes
                    members, next_expiry_s = await self.run(lambda database: self._members(database, role))
            except sqlite3.Error as error:
                log.warning("members cannot be read", extra={"role": role.value, "error": str(error)})
                members, version = seen, NEVER_READ
            if members is not None and members != seen:
                seen = members
                yield members
            await asyncio.sleep(POLL_S)

    def elect(self, role: Role, member_id: str) -> "EmbeddedElection":
        """Stand for election."""
        election = EmbeddedElection(self, role, member_id)
        self._elections.append(election)
        return election

    def forget(self, item: "EmbeddedRegistration | EmbeddedElection") -> None:
        """Renew this registration or candidacy no more."""
        if isinstance(item, EmbeddedElection):
            self._elections = [election for election in self._elections if election is not item]
        else:
            self._registrations = {key: known for key, known in self._registrations.items() if known is not item}

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the database in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` as one write."""
        self._own_writes += 1

        def transaction(database: sqlite3.Connection) -> T:
            database.execute("BEGIN IMMEDIATE")
            try:
                result = work(database)
            except BaseException:
                database.rollback()
                raise
            database.commit()
            return result

        try:
            return await self.run(transaction)
        finally:
            self._own_writes += 1

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._database is None:
            self._open_file()
        assert self._database is not None
        return work(self._database)

    def _open(self, database: sqlite3.Connection) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id")
        boot_id = boot.read_text().strip() if boot.exists() else "one"
        database.execute("BEGIN IMMEDIATE")
        known = database.execute("SELECT id FROM boot").fetchone()
        if known != (boot_id,):
            for table in ("boot", "members", "leaders"):
                database.execute(f"DELETE FROM {table}")  # noqa: S608  fixed names
            database.execute("INSERT INTO boot VALUES (?)", (boot_id,))
        database.commit()

    def _open_file(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(self._file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)

    def _members(self, database: sqlite3.Connection, role: Role) -> tuple[dict[str, Member], float]:
        rows = database.execute(
            "SELECT id, incarnation, payload, until_s FROM members WHERE cluster = ? AND role = ? AND until_s > ?",
            (self.cluster, role, time.monotonic()),
        ).fetchall()
        members = {number: Member(number, incarnation, json.loads(payload)) for number, incarnation, payload, _ in rows}
        return members, min((row[3] for row in rows), default=time.monotonic() + self.session_s)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.session_s / 4)
            leases: list[EmbeddedRegistration | EmbeddedElection] = [*self._registrations.values(), *self._elections]
            for item in leases:
                try:
                    await item.renew()
                except sqlite3.Error as error:
                    log.warning("a lease cannot be renewed", extra={"error": str(error)})


def next_number(database: sqlite3.Connection, name: str) -> int:
    """The next number of a sequence; inside a write."""
    row = database.execute(
        "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value", (name,)
    ).fetchone()
    number: int = row[0]
    return number


class EmbeddedRegistration:
    """`akela.coordination.Registration` on a file."""

    def __init__(self, service: EmbeddedCoordination, role: Role, member_id: str, payload: JsonObject) -> None:
        self._service = service
        self._role = role
        self._id = member_id
        self._payload = payload
        self.incarnation = 0

    async def enter(self) -> None:
        """Make the entry, under a new incarnation."""

        def work(database: sqlite3.Connection) -> int:
            incarnation = next_number(database, "incarnation")
            until_s = time.monotonic() + self._service.session_s
            database.execute(
                "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?)",
                (self._service.cluster, self._role, self._id, incarnation, json.dumps(self._payload), until_s),
            )
            return incarnation

        self.incarnation = await self._service.write(work)

    async def update(self, payload: JsonObject) -> None:
        """Replace the payload; while the file cannot be written it is kept for the next sign of life."""
        self._payload = payload
        try:
            await self.renew()
        except sqlite3.Error as error:
            log.warning("the entry cannot be updated", extra={"member": self._id, "error": str(error)})

    async def renew(self) -> None:
        """Show a sign of life; an entry that has lapsed, or was lost with the file, is made anew."""

        def work(database: sqlite3.Connection) -> int:
            now_s = time.monotonic()
            return database.execute(
                "UPDATE members SET payload = ?, until_s = ? WHERE cluster = ? AND role = ? AND id = ?"
                " AND incarnation = ? AND until_s > ?",
                (json.dumps(self._payload), now_s + self._service.session_s, self._service.cluster, self._role, self._id,
                 self.incarnation, now_s),
            ).rowcount  # fmt: skip

        if await self._service.write(work) == 0 and not await self._replaced():
            await self.enter()

    async def withdraw(self) -> None:
        """Take the entry away, if it is still this one."""
        self._service.forget(self)
        try:
            await self._service.write(
                lambda database: database.execute(
                    "DELETE FROM members WHERE cluster = ? AND role = ? AND id = ? AND incarnation = ?",
                    (self._service.cluster, self._role, self._id, self.incarnation),
                )
            )
        except sqlite3.Error as error:
            log.info("the entry ends with its lease", extra={"member": self._id, "error": str(error)})

    async def _replaced(self) -> bool:
        """Whether a newer process has entered under this id."""
        row = await self._service.run(
            lambda database: database.execute(
                "SELECT incarnation FROM members WHERE cluster = ? AND role = ? AND id = ? AND until_s > ?",
                (self._service.cluster, self._role, self._id, time.monotonic()),
            ).fetchone()
        )
        return row is not None and row[0] > self.incarnation


class EmbeddedElection:
    """`akela.coordination.Election` on a file."""

    def __init__(self, service: EmbeddedCoordination, role: Role, member_id: str) -> None:
        self._service = service
        self._role = role
        self._id = member_id
        self._leadership: Leadership | None = None
        self._renewing = asyncio.Lock()

    @property
    def leadership(self) -> Leadership | None:
        """The leadership, while it has not run out."""
        held = self._leadership
        return None if held is None or held.standing(time.monotonic()) is Standing.LOST else held

    async def wait_elected(self) -> Leadership:
        """Try for the lease until this candidate has it."""
        while True:
            try:
                if await self._free():
                    await self.renew(stand=True)
            except sqlite3.Error as error:
                log.warning("the election cannot be read", extra={"error": str(error)})
            if (held := self.leadership) is not None:
                return held
            await asyncio.sleep(POLL_S)

    async def wait_lost(self) -> None:
        """Return when the leadership has run out."""
        while self.leadership is not None:
            await asyncio.sleep(POLL_S)

    async def resign(self) -> None:
        """Give the lease up."""
        self._service.forget(self)
        held, self._leadership = self._leadership, None
        if held is None:
            return
        try:
            await self._service.write(
                lambda database: database.execute(
                    "DELETE FROM leaders WHERE cluster = ? AND role = ? AND epoch = ?",
                    (self._service.cluster, self._role, held.epoch),
                )
            )
        except sqlite3.Error as error:
            log.info("the leadership ends with its lease", extra={"epoch": held.epoch, "error": str(error)})

    async def renew(self, *, stand: bool = False) -> None:
        """Prolong the lease; with `stand`, take it if it is free."""
        async with self._renewing:  # a second one at once would take the lease of the first for another's
            if self._leadership is None and not stand:
                return
            sent_s = time.monotonic()
            epoch = await self._service.write(lambda database: self._take(database, sent_s))
            self._leadership = None if epoch is None else Leadership(epoch, sent_s, self._service.session_s)

    async def _free(self) -> bool:
        """Whether nobody holds the lease: looked at without writing, because a standby looks often."""
        row = await self._service.run(
            lambda database: database.execute(
                "SELECT until_s FROM leaders WHERE cluster = ? AND role = ?", (self._service.cluster, self._role)
            ).fetchone()
        )
        return row is None or row[0] <= time.monotonic()

    def _take(self, database: sqlite3.Connection, sent_s: float) -> int | None:
        place: tuple[Any, ...] = (self._service.cluster, self._role)
        row = database.execute("SELECT epoch, until_s FROM leaders WHERE cluster = ? AND role = ?", place).fetchone()
        mine = self._leadership is not None and row is not None and row[0] == self._leadership.epoch
        if row is not None and not mine and row[1] > time.monotonic():
            return None
        epoch: int = row[0] if mine else next_number(database, f"epoch/{self._service.cluster}/{self._role}")
        until_s = sent_s + self._service.session_s
        database.execute("INSERT OR REPLACE INTO leaders VALUES (?, ?, ?, ?, ?)", (*place, self._id, epoch, until_s))
        return epoch
