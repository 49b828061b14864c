"""One contract, two services: every case runs against real ZooKeeper and against the file."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from akela.coordination import Coordination, CoordinationError, Member, Role, Standing, open_coordination
from tests.ports import free_port
from tests.zookeeper import ZooKeeper

SESSION_S = 2.0
WAIT_S = 60.0

HOLDER = """
import asyncio, sys
from pathlib import Path
from akela.coordination import Role, open_coordination
async def main(zookeeper, directory, what):
    service = open_coordination(zookeeper=zookeeper or None, directory=Path(directory), cluster="test", session_s=2.0)
    await service.connect(10)
    if what == "lead":
        await service.elect(Role.CONTROL, "other").wait_elected()
    else:
        await service.register(Role.OPERATIONS, what, {"port": 7})
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main(*sys.argv[1:]))
"""


class Place:
    """Where a service is: a ZooKeeper, or a directory."""

    def __init__(self, directory: Path, zookeeper: ZooKeeper | None) -> None:
        self.directory = directory
        self.zookeeper = zookeeper

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Coordination]:
        service = self.service()
        await service.connect(WAIT_S)
        try:
            yield service
        finally:
            await service.close()

    def service(self) -> Coordination:
        hosts = self.zookeeper.hosts if self.zookeeper else None
        return open_coordination(zookeeper=hosts, directory=self.directory, cluster="test", session_s=SESSION_S)

    def process(self, what: str) -> subprocess.Popen[str]:
        hosts = self.zookeeper.hosts if self.zookeeper else ""
        command = [sys.executable, "-c", HOLDER, hosts, str(self.directory), what]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture(params=["zookeeper", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server = request.getfixturevalue("zookeeper") if request.param == "zookeeper" else None
    return Place(tmp_path, server)


async def seen(
    service: Coordination, role: Role, condition: Callable[[Mapping[str, Member]], bool]
) -> Mapping[str, Member]:
    """The first snapshot for which `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        async for members in service.watch(role):
            if condition(members):
                return members
    raise AssertionError("the watch ended")


async def test_a_member_is_added_updated_and_removed(place: Place) -> None:  # K74
    async with place.opened() as watcher, place.opened() as server:
        assert "o1" not in await seen(watcher, Role.OPERATIONS, lambda members: True)
        entry = await server.register(Role.OPERATIONS, "o1", {"port": 1})
        members = await seen(watcher, Role.OPERATIONS, lambda members: "o1" in members)
        assert members["o1"].payload == {"port": 1}
        await entry.update({"port": 2})
        await seen(watcher, Role.OPERATIONS, lambda members: members["o1"].payload == {"port": 2})
        assert await seen(watcher, Role.BOOTSTRAP, lambda members: True) == {}
        await entry.withdraw()
        await seen(watcher, Role.OPERATIONS, lambda members: "o1" not in members)


async def test_a_killed_process_is_gone_after_its_session(place: Place) -> None:
    async with place.opened() as watcher:
        process = place.process("o2")
        await seen(watcher, Role.OPERATIONS, lambda members: "o2" in members)
        process.kill()
        process.wait()
        await seen(watcher, Role.OPERATIONS, lambda members: "o2" not in members)


async def test_a_restart_under_the_same_id_outlives_its_predecessor(place: Place) -> None:  # K76
    async with place.opened() as watcher, place.opened() as server:
        process = place.process("o3")
        first = (await seen(watcher, Role.OPERATIONS, lambda members: "o3" in members))["o3"]
        process.kill()
        process.wait()
        entry = await server.register(Role.OPERATIONS, "o3", {"port": 8})
        members = await seen(watcher, Role.OPERATIONS, lambda members: members["o3"].payload == {"port": 8})
        assert members["o3"].incarnation == entry.incarnation > first.incarnation
        deadline_s = time.monotonic() + SESSION_S * 2  # the predecessor's session ends in this time
        while time.monotonic() < deadline_s:
            assert "o3" in await seen(watcher, Role.OPERATIONS, lambda members: True)
            await asyncio.sleep(0.2)
        await entry.withdraw()
        await seen(watcher, Role.OPERATIONS, lambda members: "o3" not in members)


async def test_the_second_candidate_leads_when_the_first_resigns(place: Place) -> None:  # K73
    async with place.opened() as one, place.opened() as two:
        first, second = one.elect(Role.CONTROL, "c1"), two.elect(Role.CONTROL, "c2")
        leadership = await asyncio.wait_for(first.wait_elected(), WAIT_S)
        waiting = asyncio.create_task(second.wait_elected())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert second.leadership is None
        await first.resign()
        successor = await asyncio.wait_for(waiting, WAIT_S)
        assert successor.epoch > leadership.epoch
        await second.resign()


async def test_a_killed_leader_is_succeeded_under_a_greater_epoch(place: Place) -> None:
    async with place.opened() as one:
        earlier = one.elect(Role.CONTROL, "c1")
        before = await asyncio.wait_for(earlier.wait_elected(), WAIT_S)
        await earlier.resign()
        process = place.process("lead")
        process.kill()
        process.wait()
        election = one.elect(Role.CONTROL, "c1")
        after = await asyncio.wait_for(election.wait_elected(), WAIT_S)
        assert after.epoch >= before.epoch + 2
        await election.resign()


async def test_a_leader_that_keeps_in_touch_goes_on_leading(place: Place) -> None:
    async with place.opened() as one:
        election = one.elect(Role.CONTROL, "c1")
        leadership = await asyncio.wait_for(election.wait_elected(), WAIT_S)
        deadline_s = time.monotonic() + SESSION_S * 1.5
        while time.monotonic() < deadline_s:
            assert election.leadership is not None
            assert election.leadership.epoch == leadership.epoch
            await asyncio.sleep(0.1)
        await election.resign()


async def test_a_leader_that_cannot_reach_the_service_knows_it_has_lost(tmp_path: Path) -> None:
    with ZooKeeper(tmp_path / "zk") as server:
        place = Place(tmp_path, server)
        async with place.opened() as one:
            election = one.elect(Role.CONTROL, "c1")
            await asyncio.wait_for(election.wait_elected(), WAIT_S)
            server.signal(signal.SIGSTOP)
            await asyncio.wait_for(election.wait_lost(), WAIT_S)
            assert election.leadership is None
            server.signal(signal.SIGCONT)
            again = await asyncio.wait_for(election.wait_elected(), WAIT_S)
            assert again.standing(time.monotonic()) is Standing.HELD


async def test_members_register_anew_when_zookeeper_comes_back(tmp_path: Path) -> None:
    with ZooKeeper(tmp_path / "zk") as server:
        place = Place(tmp_path, server)
        async with place.opened() as one, place.opened() as watcher:
            await one.register(Role.OPERATIONS, "o1", {"port": 1})
            before = (await seen(watcher, Role.OPERATIONS, lambda members: "o1" in members))["o1"]
            server.stop()
            await asyncio.sleep(SESSION_S * 1.5)
            server.start()
            members = await seen(watcher, Role.OPERATIONS, lambda members: "o1" in members)
            assert members["o1"].payload == before.payload


async def test_no_zookeeper_is_a_bounded_wait_and_a_clear_message(tmp_path: Path) -> None:
    hosts = f"127.0.0.1:{free_port()}"
    service = open_coordination(zookeeper=hosts, directory=tmp_path, cluster="test")
    with pytest.raises(CoordinationError, match=f"{hosts} does not answer within 1 s; is it running"):
        await service.connect(1.0)


async def test_a_directory_that_cannot_hold_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    service = open_coordination(zookeeper=None, directory=tmp_path / "file", cluster="test")
    with pytest.raises(CoordinationError, match=r"coordination\.sqlite"):
        await service.connect(1.0)


async def test_leases_do_not_outlive_a_reboot(tmp_path: Path) -> None:
    place = Place(tmp_path, None)
    process = place.process("o1")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with sqlite3.connect(tmp_path / "coordination.sqlite") as database:
        database.execute("UPDATE boot SET id = 'another boot'")
        database.execute("UPDATE members SET until_s = until_s + 1e9")
    async with place.opened() as watcher:
        assert await seen(watcher, Role.OPERATIONS, lambda members: True) == {}


async def test_a_file_that_another_process_holds_ends_nobody(tmp_path: Path) -> None:
    """What cannot be written now is written with the next sign of life; a leader goes on, or knows that it has lost."""
    place = Place(tmp_path, None)
    async with place.opened() as one, place.opened() as watcher:
        entry = await one.register(Role.OPERATIONS, "o1", {"port": 1})
        election = one.elect(Role.CONTROL, "c1")
        await asyncio.wait_for(election.wait_elected(), WAIT_S)
        holder = sqlite3.connect(tmp_path / "coordination.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        await entry.update({"port": 2})  # waits as long as SQLite waits, and gives up
        assert (await seen(watcher, Role.OPERATIONS, lambda members: True)).get(
            "o1", Member("", 0, {"port": 1})
        ).payload["port"] == 1
        holder.rollback()
        holder.close()
        members = await seen(
            watcher, Role.OPERATIONS, lambda members: "o1" in members and members["o1"].payload["port"] == 2
        )
        assert members["o1"].payload == {"port": 2}
        again = await asyncio.wait_for(election.wait_elected(), WAIT_S)
        assert again.standing(time.monotonic()) is Standing.HELD
