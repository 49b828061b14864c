"""Coordination through ZooKeeper: `/akela/{cluster}/{role}/{id}`, ephemeral, JSON. The only file that knows kazoo.

kazoo works in threads of its own. Here every request runs in one thread of ours, and what kazoo tells is carried into the loop.
The incarnation of an entry is its creation's zxid; the epoch of a leader is the version of `/akela/{cluster}/epoch/{role}`, raised by
each leader before it acts.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from akela.coordination.interface import CoordinationError, JsonObject, Leadership, Member, Role, Standing

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S: Final = 0.1
CONFIRM_PARTS: Final = 6  # a leader confirms its session this many times per time-out
FAILURES: Final = (KazooException, KazooTimeoutError)


class ZooKeeperCoordination:
    """`akela.coordination.Coordination` on ZooKeeper."""

    def __init__(self, hosts: str, cluster: str, session_s: float) -> None:
        self._hosts = hosts
        self.root = f"/akela/{cluster}"
        retry = KazooRetry(max_tries=-1, delay=RETRY_S, backoff=2, max_delay=1.0)
        self.client = KazooClient(hosts=hosts, timeout=session_s, connection_retry=retry)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="zookeeper")
        self._registrations: list[ZooKeeperRegistration] = []
        self._elections: list[ZooKeeperElection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def session_s(self) -> float:
        """The time-out that the service has granted."""
        granted: float = self.client._session_timeout / 1000.0  # noqa: SLF001  kazoo has no other way to tell
        return granted

    async def connect(self, timeout_s: float) -> None:
        """Raises: CoordinationError when ZooKeeper does not answer in time."""
        self._loop = asyncio.get_running_loop()
        self.client.add_listener(self._on_state)
        try:
            await self.run(lambda: self.client.start(timeout=timeout_s))
        except FAILURES as error:
            await self.run(self._stop)
            raise CoordinationError(
                f"ZooKeeper at {self._hosts} does not answer within {timeout_s:.0f} s; is it running? See --zookeeper and AKELA_ZOOKEEPER"
            ) from error

    async def close(self) -> None:
        """End the session: everything of this process goes with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for election in list(self._elections):
            await election.resign()
        self._registrations.clear()
        await self.run(self._stop)
        self._threads.shutdown(wait=False)

    async def register(self, role: Role, member_id: str, payload: JsonObject) -> "ZooKeeperRegistration":
        """Enter this process."""
        registration = ZooKeeperRegistration(self, role, member_id, payload)
        self._registrations.append(registration)
        await registration.enter()
        return registration

    async def watch(self, role: Role) -> AsyncIterator[Mapping[str, Member]]:
        """The members of a role, at once and after each change."""
        changed = asyncio.Event()
        seen: Mapping[str, Member] | None = None

        def on_event(event: object) -> None:
            self._loop.call_soon_threadsafe(changed.set)

        while True:
            changed.clear()
            try:
                members = await self.run(lambda: self._members(role, on_event))
            except FAILURES as error:
                log.warning("members cannot be read", extra={"role": role.value, "error": str(error)})
                await asyncio.sleep(RETRY_S)
                continue
            if members != seen:
                seen = members
                yield members
            await changed.wait()

    def elect(self, role: Role, member_id: str) -> "ZooKeeperElection":
        """Stand for election."""
        election = ZooKeeperElection(self, role, member_id)
        self._elections.append(election)
        return election

    def forget(self, item: "ZooKeeperRegistration | ZooKeeperElection") -> None:
        """Keep this registration or candidacy up no more."""
        self._registrations = [known for known in self._registrations if known is not item]
        self._elections = [known for known in self._elections if known is not item]

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking `work` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def spawn(self, work: Any) -> None:
        """Run a coroutine for as long as this service is open."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self) -> None:
        self.client.remove_listener(self._on_state)
        self.client.stop()
        self.client.close()

    def _on_state(self, state: str) -> None:
        """kazoo's thread: carry into the loop."""
        if state == KazooState.CONNECTED:
            self._loop.call_soon_threadsafe(self._on_connected)

    def _on_connected(self) -> None:
        for registration in self._registrations:
            self.spawn(registration.ensure())

    def _members(self, role: Role, on_event: Callable[[object], None]) -> dict[str, Member]:
        path = f"{self.root}/{role}"
        self.client.ensure_path(path)
        members: dict[str, Member] = {}
        for member_id in self.client.get_children(path, watch=on_event):
            try:
                raw, stat = self.client.get(f"{path}/{member_id}", watch=on_event)
            except NoNodeError:
                continue  # gone meanwhile: the watch has fired already
            members[member_id] = Member(member_id, stat.czxid, json.loads(raw))
        return members


class ZooKeeperRegistration:
    """`akela.coordination.Registration` on ZooKeeper."""

    def __init__(self, service: ZooKeeperCoordination, role: Role, member_id: str, payload: JsonObject) -> None:
        self._service = service
        self._path = f"{service.root}/{role}/{member_id}"
        self._payload = payload
        self._withdrawn = False
        self.incarnation = 0

    async def enter(self) -> None:
        """Make the entry; one that a former process of this id has left is taken away first."""
        self.incarnation = await self._service.run(self._create)

    async def ensure(self) -> None:
        """After a reconnect: make the entry anew if the session was lost."""
        while not self._withdrawn:
            try:
                await self._service.run(self._keep)
            except FAILURES as error:
                log.warning("the entry cannot be made anew", extra={"path": self._path, "error": str(error)})
                await asyncio.sleep(RETRY_S)
                continue
            return

    async def update(self, payload: JsonObject) -> None:
        """Replace the payload; while ZooKeeper is away it is kept for the entry's next making."""
        self._payload = payload
        try:
            await self._service.run(lambda: self._service.client.set(self._path, self._encoded()))
        except FAILURES as error:
            log.warning("the entry cannot be updated", extra={"path": self._path, "error": str(error)})

    async def withdraw(self) -> None:
        """Take the entry away, if it is still this one."""
        self._withdrawn = True
        self._service.forget(self)
        try:
            await self._service.run(self._delete)
        except FAILURES:
            log.info("the entry ends with its session", extra={"path": self._path})

    def _encoded(self) -> bytes:
        return json.dumps(self._payload).encode()

    def _create(self) -> int:
        client = self._service.client
        while True:
            try:
                _, stat = client.create(self._path, self._encoded(), ephemeral=True, makepath=True, include_data=True)
            except NodeExistsError:
                found = client.exists(self._path)
                if found is not None and found.ephemeralOwner == client.client_id[0]:
                    client.set(self._path, self._encoded())
                    return int(found.czxid)
                self._remove_stale()
            else:
                return int(stat.czxid)

    def _remove_stale(self) -> None:
        try:
            self._service.client.delete(self._path)
        except NoNodeError:
            return

    def _keep(self) -> None:
        found = self._service.client.exists(self._path)
        if found is None:
            self.incarnation = self._create()
        elif found.czxid > self.incarnation and found.ephemeralOwner != self._service.client.client_id[0]:
            self._withdrawn = True  # a newer process has entered under this id
        elif found.ephemeralOwner != self._service.client.client_id[0]:
            self._remove_stale()
            self.incarnation = self._create()

    def _delete(self) -> None:
        client = self._service.client
        found = client.exists(self._path)
        if found is not None and found.czxid == self.incarnation:
            self._remove_stale()


class ZooKeeperElection:
    """`akela.coordination.Election` on ZooKeeper: the oldest of the sequential nodes leads (recipe "leader election")."""

    def __init__(self, service: ZooKeeperCoordination, role: Role, member_id: str) -> None:
        self._service = service
        self._role = role
        self._id = member_id
        self._folder = f"{service.root}/election/{role}"
        self._node: str | None = None
        self._leadership: Leadership | None = None
        self._ended = False
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def leadership(self) -> Leadership | None:
        """The leadership, while it has not run out."""
        held = self._leadership
        return None if held is None or held.standing(time.monotonic()) is Standing.LOST else held

    async def wait_elected(self) -> Leadership:
        """Stand until this candidate leads."""
        while True:
            self._changed.clear()
            try:
                if await self._service.run(self._first):
                    return await self._lead()
                async with asyncio.timeout(self._service.session_s):
                    await self._changed.wait()
            except TimeoutError:
                continue  # look again: a watch may be lost with its session
            except FAILURES as error:
                log.warning("the election cannot be read", extra={"error": str(error)})
                await asyncio.sleep(RETRY_S)

    async def wait_lost(self) -> None:
        """Return when the leadership has run out."""
        while self.leadership is not None:
            await asyncio.sleep(RETRY_S)

    async def resign(self) -> None:
        """Take the candidacy away."""
        self._ended = True
        self._leadership = None
        self._service.forget(self)
        if self._node is not None:
            node, self._node = self._node, None
            try:
                await self._service.run(lambda: self._service.client.delete(node))
            except FAILURES:
                log.info("the candidacy ends with its session", extra={"node": node})

    async def _lead(self) -> Leadership:
        sent_s = time.monotonic()
        epoch = await self._service.run(self._raise_epoch)
        self._leadership = Leadership(epoch, sent_s, self._service.session_s)
        self._service.spawn(self._confirm(epoch))
        return self._leadership

    async def _confirm(self, epoch: int) -> None:
        """Keep the leadership confirmed as long as the candidacy's node is there."""
        while not self._ended and self.leadership is not None:
            await asyncio.sleep(self._service.session_s / CONFIRM_PARTS)
            sent_s = time.monotonic()
            try:
                found = await self._service.run(lambda: self._node and self._service.client.exists(self._node))
            except FAILURES:
                continue  # not confirmed: it runs out by itself
            if not found:
                self._leadership = None
            elif self.leadership is not None:
                self._leadership = Leadership(epoch, sent_s, self._service.session_s)

    def _on_event(self, event: object) -> None:
        """kazoo's thread: carry into the loop."""
        self._loop.call_soon_threadsafe(self._changed.set)

    def _first(self) -> bool:
        """Whether this candidate's node is the oldest; if not, the one before it is watched."""
        client = self._service.client
        if self._node is None or client.exists(self._node) is None:
            self._node = client.create(
                f"{self._folder}/n-", self._id.encode(), ephemeral=True, sequence=True, makepath=True
            )
        own = self._node.rpartition("/")[2]
        nodes = sorted(client.get_children(self._folder))
        place = nodes.index(own) if own in nodes else -1
        if place > 0 and client.exists(f"{self._folder}/{nodes[place - 1]}", watch=self._on_event) is None:
            return False  # it went just now: the caller looks again
        return place == 0

    def _raise_epoch(self) -> int:
        client = self._service.client
        path = f"{self._service.root}/epoch/{self._role}"
        client.ensure_path(path)
        stat = client.set(path, self._id.encode())
        return int(stat.version)
