"""Batches form by themselves, keep order, repeat what may be repeated, and let a bad item hurt only itself."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from operations.batching import BatchLoader, GroupCommit


class DatabaseAwayError(Exception):
    """The retriable failure of these tests."""


class Reader:
    """A database that answers when told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.go = asyncio.Event()
        self.failure: Exception | None = None

    async def fetch(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(keys))
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return {key: key.upper() for key in keys if key != "absent"}


async def until(condition: object) -> None:
    """Let the loop turn until `condition()` holds; the test's own time-out bounds it."""
    assert callable(condition)
    while not condition():
        await asyncio.sleep(0)


async def test_what_is_asked_while_a_query_runs_shares_the_next_one() -> None:
    reader = Reader()
    loader = BatchLoader(reader.fetch)
    first = asyncio.create_task(loader.load("a"))
    await until(lambda: reader.asked)
    others = [asyncio.create_task(loader.load(key)) for key in ("b", "c", "b", "absent")]
    await asyncio.sleep(0)
    reader.go.set()
    assert await first == "A"
    assert await asyncio.gather(*others) == ["B", "C", "B", None]
    assert reader.asked == [["a"], ["b", "c", "absent"]]


@pytest.mark.parametrize("failure", [None, DatabaseAwayError("gone")])
async def test_an_asker_that_has_gone_changes_nothing_for_the_others(failure: Exception | None) -> None:
    reader = Reader()
    reader.failure = failure
    loader = BatchLoader(reader.fetch)
    gone, stays = (asyncio.create_task(loader.load("a")) for _ in range(2))
    await until(lambda: reader.asked)
    gone.cancel()
    later = asyncio.create_task(loader.load("b"))
    await asyncio.sleep(0)
    reader.go.set()
    answers = await asyncio.gather(gone, stays, later, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert list(answers[1:]) == ([failure, failure] if failure else ["A", "B"])
    assert reader.asked == [["a"], ["b"]]


async def test_a_failing_query_fails_its_askers_only() -> None:
    reader = Reader()
    reader.go.set()
    loader = BatchLoader(reader.fetch)
    reader.failure = DatabaseAwayError("gone")
    with pytest.raises(DatabaseAwayError):
        await loader.load("a")
    reader.failure = None
    assert await loader.load("a") == "A"


async def test_an_asker_that_gives_up_does_not_spoil_the_others() -> None:
    reader = Reader()
    loader = BatchLoader(reader.fetch)
    quitter, stayer = asyncio.create_task(loader.load("a")), asyncio.create_task(loader.load("a"))
    await until(lambda: reader.asked)
    quitter.cancel()
    reader.go.set()
    assert await stayer == "A"


async def test_who_asks_by_a_call_shares_the_query_and_its_failure() -> None:
    reader = Reader()
    loader = BatchLoader(reader.fetch)
    told: list[tuple[str | None, Exception | None]] = []
    for key in ("a", "absent"):
        loader.ask(key, lambda value, error: told.append((value, error)))
    reader.go.set()
    assert await loader.load("a") == "A"
    assert told == [("A", None), (None, None)]
    reader.failure = DatabaseAwayError("gone")
    loader.ask("a", lambda value, error: told.append((value, error)))
    await until(lambda: len(told) == 3)
    assert told[2] == (None, reader.failure)


class Writer:
    """A table that may be away, and that refuses the item `bad`."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.calls = 0
        self.away = 0  # calls that still fail

    async def write(self, batch: Sequence[str]) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise DatabaseAwayError("gone")
        if "bad" in batch:
            raise ValueError("cannot be encoded")
        self.rows += batch


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts."""
    monkeypatch.setattr("operations.batching.RETRY_FIRST_S", 0.0)


async def test_items_of_one_turn_go_out_in_one_call_in_order() -> None:
    writer, told = Writer(), list[bool]()
    commit = GroupCommit[str]("rows", writer.write, retriable=DatabaseAwayError)
    for item in ("a", "b", "c"):
        commit.add(item, told.append)
    await commit.drain()
    assert (writer.rows, writer.calls, told) == (["a", "b", "c"], 1, [True] * 3)


@pytest.mark.usefixtures("quick")
async def test_nobody_is_told_before_a_repeated_write_holds() -> None:
    writer, told = Writer(), list[bool]()
    writer.away = 3
    commit = GroupCommit[str]("rows", writer.write, retriable=DatabaseAwayError)
    commit.add("a", told.append)
    await until(lambda: commit.failing)
    assert (told, len(commit)) == ([], 1)
    await commit.drain()
    assert (writer.rows, told, commit.failing, len(commit)) == (["a"], [True], False, 0)


async def test_a_bad_item_is_refused_and_its_neighbours_are_written() -> None:
    writer, told = Writer(), dict[str, bool]()
    commit = GroupCommit[str]("rows", writer.write, retriable=DatabaseAwayError)
    for item in ("a", "b", "bad", "c", "d"):
        commit.add(item, lambda written, item=item: told.__setitem__(item, written))  # type: ignore[misc]
    await commit.drain()
    assert sorted(writer.rows) == ["a", "b", "c", "d"]
    assert told == {"a": True, "b": True, "bad": False, "c": True, "d": True}


async def test_a_writer_that_fails_on_being_told_stops_nobody() -> None:
    writer, told = Writer(), list[bool]()
    commit = GroupCommit[str]("rows", writer.write, retriable=DatabaseAwayError)

    def fail(written: bool) -> None:
        raise RuntimeError("its own mistake")

    commit.add("a", fail)
    commit.add("b", told.append)
    await commit.drain()
    assert (writer.rows, told) == (["a", "b"], [True])


async def test_closing_says_what_was_left() -> None:
    writer = Writer()
    writer.away = 1_000_000
    commit = GroupCommit[str]("rows", writer.write, retriable=DatabaseAwayError)
    commit.add("a")
    assert await commit.close(within_s=0.05) == 1
