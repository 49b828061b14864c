"""What waits for another server: bounded, dropped and counted when that server cannot be reached or has gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from akela.coordination import Member
from operations import peers
from operations.peers import Peers
from tests.ports import free_offset

WAIT_S = 20.0
MAX_BYTES = 4096


class Listing:
    """Coordination's list of servers, changed by the test."""

    def __init__(self, *ids: str) -> None:
        self._port = 1883 + free_offset((1883,))  # nobody listens there
        self._changes: asyncio.Queue[Mapping[str, Member]] = asyncio.Queue()
        self.now(*ids)

    def now(self, *ids: str) -> None:
        payload = {"mqtt": {"host": "127.0.0.1", "port": self._port}}
        self._changes.put_nowait({name: Member(name, 1, payload) for name in ids})

    async def watch(self) -> AsyncIterator[Mapping[str, Member]]:
        while True:
            yield await self._changes.get()


@pytest.fixture
async def listing(monkeypatch: pytest.MonkeyPatch) -> Listing:
    monkeypatch.setattr(peers, "RETRY_S", 0.01)
    return Listing("a", "b")


@pytest.fixture
async def here(listing: Listing) -> AsyncIterator[Peers]:
    """Server a, beside a server b that is listed and does not answer."""
    made = Peers("a", "secret", MAX_BYTES)
    following = asyncio.create_task(made.follow(listing.watch()))
    await until(lambda: made.present("b"))
    yield made
    await made.stop()
    following.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_nothing_is_sent_to_oneself_or_to_whom_coordination_does_not_list(here: Peers) -> None:
    assert not here.send("a", {"kind": "x"})
    assert not here.send("c", {"kind": "x"})
    assert (here.links, here.waiting, here.counts.dropped) == (0, 0, 0)


async def test_what_a_dead_server_does_not_take_is_dropped_and_counted(here: Peers) -> None:
    for number in range(5):
        assert here.send("b", {"kind": "x", "n": number})
    assert (here.links, here.waiting) == (1, 5)
    await until(lambda: here.counts.dropped == 5)
    assert (here.waiting, here.counts.sent) == (0, 0)


async def test_all_that_waits_for_a_server_that_has_gone_is_dropped_at_once(here: Peers, listing: Listing) -> None:
    large = "x" * (MAX_BYTES // 2)  # a publish each: one after the other they would be tried three times
    for _ in range(200):
        assert here.send("b", {"kind": "x", "body": large})
    listing.now("a")
    await until(lambda: not here.present("b"))
    await until(lambda: here.counts.dropped == 200)
    assert not here.send("b", {"kind": "x"})


async def test_what_waits_is_bounded_by_count_and_by_bytes(here: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MAX_WAITING", 3)
    assert [here.send("b", {"kind": "x"}) for _ in range(5)] == [True, True, True, False, False]
    assert here.counts.dropped == 2
    monkeypatch.setattr(peers, "MAX_WAITING", 1000)
    monkeypatch.setattr(peers, "MAX_WAITING_BYTES", 3000)
    assert [here.send("b", {"kind": "x", "body": "y" * 1400}) for _ in range(3)] == [True, True, False]
    assert not here.send("b", {"kind": "x", "body": "y" * MAX_BYTES})  # the other server would not take it
    assert here.counts.dropped == 4


async def test_a_kind_has_one_handler(here: Peers) -> None:
    here.on("x", lambda sender, message: None)
    with pytest.raises(ValueError, match="'x'"):
        here.on("x", lambda sender, message: None)
