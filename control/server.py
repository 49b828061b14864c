"""Puts a Control server together: API, election, change events.

Every Control server serves reads. The elected one first finishes what its predecessor left in the change log, then writes and tells the
Operations servers; when its leadership runs out it stops writing at once, whatever coordination says later.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from prometheus_client import CollectorRegistry

from akela import __version__
from akela.admin import AdminServer
from akela.coordination import Election, Member, Registration, Role, Standing, open_coordination
from akela.documents import model
from akela.documents.base import DocumentError
from akela.documents.changelog import ChangeLog, FencedError
from akela.documents.model import DatabaseError
from akela.errors import ServerError
from akela.http_server import HttpServer
from akela.lifecycle import Stopper
from control import lease_ends
from control.api import api
from control.core import Core
from control.evaluation import Evaluator
from control.events import ChangeEvents
from control.resources import signin
from control.settings import ControlSettings
from control.upkeep import Upkeep

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 30.0
RETRY_S: Final = 0.2


class ControlServer:
    """One Control server."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._core = Core(
            cursor_key=settings.require_cluster_secret().encode(),
            rate_per_s=settings.api_rate,
            burst=settings.api_burst,
        )
        self._coordination = open_coordination(
            zookeeper=settings.zookeeper, directory=settings.data, cluster=settings.cluster
        )
        self._events = ChangeEvents(settings.member_id, settings.require_cluster_secret())
        self._http = HttpServer(api(self._core), settings.bind, settings.listen(settings.api_port), flag="--api-port")
        self._admin = AdminServer(
            settings.bind, settings.listen(settings.control_admin_port), self._ready, CollectorRegistry()
        )
        self._election: Election | None = None
        self._registration: Registration | None = None
        self._evaluator: Evaluator | None = None  # while this server is active
        self._active = False

    async def run(self, stopper: Stopper) -> None:
        """Serve until `stopper` is set."""
        tasks: list[asyncio.Task[None]] = []
        await self._admin.start()
        try:
            await self._reach_database()
            await self._coordination.connect(START_TIMEOUT_S)
            self._election = self._coordination.elect(Role.CONTROL, self._settings.member_id)
            self._wire(self._election)
            tasks = [asyncio.create_task(self._watch(role)) for role in Role]
            tasks.append(asyncio.create_task(self._lead(self._election)))
            await self._http.start()
            self._registration = await self._coordination.register(
                Role.CONTROL, self._settings.member_id, self._announcement()
            )
            await self._announce()  # it may have become active in between
            await _until_stopped(stopper, tasks)
        finally:
            await self._stop(tasks)

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        await self._http.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._events.stop()
        await self._coordination.close()
        await self._admin.stop()
        model.disconnect()

    async def _reach_database(self) -> None:
        model.connect(self._settings.mongodb_uri, self._settings.mongodb_database)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return await asyncio.to_thread(model.ensure_indexes)
            except DocumentError as error:
                raise ServerError(str(error)) from error
            except DatabaseError as error:
                if time.monotonic() > deadline_s:
                    raise ServerError(
                        f"the database does not answer ({str(error)[:120]}); see AKELA_MONGODB_URL"
                    ) from error
                await asyncio.sleep(RETRY_S)

    def _wire(self, election: Election) -> None:
        loop = asyncio.get_running_loop()

        def leading() -> bool:
            held = election.leadership
            return held is not None and held.standing(time.monotonic()) is Standing.HELD

        self._core.leading = leading
        self._core.active_api = self._active_api

        def written() -> None:
            loop.call_soon_threadsafe(self._events.ring)

        self._core.written = written

        def groups_changed(app: str) -> None:
            if self._evaluator is not None:
                loop.call_soon_threadsafe(self._evaluator.ring, app)

        self._core.groups_changed = groups_changed

    async def _lead(self, election: Election) -> None:
        while True:
            leadership = await election.wait_elected()
            try:
                changes = ChangeLog(leadership.epoch, self._core.leading)
                await asyncio.to_thread(changes.resume)
                await asyncio.to_thread(model.upgrade_stored)
                self._core.remembered.forget_all()
                self._core.log = changes
                await asyncio.to_thread(self._make_first_user)
            except (FencedError, DatabaseError) as error:
                log.warning("elected, and cannot lead yet", extra={"error": str(error)[:200]})
                await asyncio.sleep(RETRY_S)
                continue
            self._active = True
            log.info("active", extra={"epoch": leadership.epoch})
            self._follow_operations()
            await self._announce()
            work = self._background(changes)
            try:
                await election.wait_lost()
            finally:
                for task in work:
                    task.cancel()
                self._evaluator = None
            self._core.log = None
            self._active = False
            await self._announce()
            await self._events.stop()
            log.warning("no longer active", extra={"epoch": leadership.epoch})

    def _background(self, changes: ChangeLog) -> list[asyncio.Task[None]]:
        """What the active server does beside answering."""
        keep = timedelta(days=self._settings.audit_days)
        upkeep = Upkeep(changes, keep, self._operations, self._repaired, self._end_leases)
        self._evaluator = Evaluator(changes.epoch, self._core.leading)
        return [asyncio.create_task(upkeep.run()), asyncio.create_task(self._evaluator.run())]

    def _make_first_user(self) -> None:
        given = self._settings.admin_password
        password = given.get_secret_value() if given is not None else secrets.token_urlsafe(12)
        made = signin.first_user(self._core, self._settings.admin_user, password)
        if made and given is None:
            print(f"first login: user {self._settings.admin_user}, password {password}", flush=True)  # noqa: T201

    async def _watch(self, role: Role) -> None:
        async for members in self._coordination.watch(role):
            self._core.members[role] = members
            if role is Role.OPERATIONS and self._core.log is not None:
                self._follow_operations()

    def _announcement(self) -> dict[str, Any]:
        return {"api": self._settings.api_url, "version": __version__, "active": self._active}

    async def _announce(self) -> None:
        if self._registration is not None:
            await self._registration.update(self._announcement())

    def _repaired(self) -> None:
        """Writes that the database had interrupted have got their end."""
        self._core.remembered.forget_all()
        self._events.ring()

    def _end_leases(self) -> None:
        lease_ends.look(self._core)

    def _operations(self) -> Mapping[str, Member]:
        return self._core.members.get(Role.OPERATIONS, {})

    def _follow_operations(self) -> None:
        self._events.follow(self._operations())

    def _active_api(self) -> str | None:
        """Where another Control server is; with two of them, the other is the active one."""
        others = [
            str(member.payload["api"])
            for number, member in sorted(self._core.members.get(Role.CONTROL, {}).items())
            if number != self._settings.member_id and member.payload.get("active")
        ]
        return others[0] if others else None

    def _ready(self) -> Mapping[str, bool]:
        return {
            "listed": self._registration is not None,
            "active_or_standby": self._active or self._active_api() is not None,
        }


async def _until_stopped(stopper: Stopper, tasks: list[asyncio.Task[None]]) -> None:
    """Return when it is time to stop; raise what one of the tasks raised."""
    waiting = asyncio.create_task(stopper.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done:
        if task is not waiting:
            task.result()
