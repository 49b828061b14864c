"""Generations order the connections of an endpoint, whatever the servers' clocks say."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from operations.generations import TICK_MS, Generations, number_of

SERVERS = ("a", "operations-1", "b")
CLOCKS = st.lists(st.floats(0, 4e9), min_size=1, max_size=20)
MOVES = st.lists(st.tuples(st.sampled_from(range(3)), st.floats(0, 4e9)), min_size=1, max_size=30)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(MOVES)
def test_an_endpoint_that_wanders_gets_ever_newer_ones_whatever_the_clocks(
    moves: Sequence[tuple[int, float]],
) -> None:
    clock = Clock()
    servers = [Generations(name, clock) for name in SERVERS]
    stored = ""
    for server, now_s in moves:
        clock.now_s = now_s
        made = servers[server].next(stored)
        assert made > stored
        stored = made


@given(CLOCKS)
def test_a_server_never_goes_back_and_is_not_behind_its_clock(clocks: Sequence[float]) -> None:
    clock = Clock()
    given_out = Generations("a", clock)
    before = ""
    for clock.now_s in clocks:
        made = given_out.next("")
        assert made >= before
        assert number_of(made) >> 16 > clock.now_s * 1000 - TICK_MS - 1
        before = made


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from(SERVERS), st.sampled_from(SERVERS))
def test_as_text_they_sort_by_number_and_then_server(first: int, second: int, left: str, right: str) -> None:
    one, other = f"{first:016x}-{left}", f"{second:016x}-{right}"
    assert number_of(one) == first
    assert (one < other) == ((first, left) < (second, right))


def test_those_of_a_tick_are_equal_and_two_servers_never_give_the_same() -> None:
    clock = Clock()
    here, there = Generations("a", clock), Generations("b", clock)
    clock.now_s = 1000.0
    first = here.next("")
    clock.now_s += 0.9 * TICK_MS / 1000
    assert here.next("") == first
    assert here.next(first) > first
    assert there.next("") != first
    clock.now_s += TICK_MS / 1000
    assert here.next("") > first


def test_what_another_server_gave_moves_the_clock_on() -> None:
    clock = Clock()
    ahead, behind = Generations("a", clock), Generations("b", clock)
    clock.now_s = 2_000_000_000.0
    theirs = ahead.next("")
    clock.now_s = 1_000_000_000.0
    assert behind.next("") < theirs
    behind.heard(theirs)
    assert number_of(behind.next("")) >= number_of(theirs)


def test_what_is_no_generation_is_older_than_all() -> None:
    assert number_of("") == number_of("x") == number_of("-operations-0") == 0


def test_connections_of_a_tick_share_one_text() -> None:
    given_out = Generations("a", Clock())
    first = given_out.next("")
    assert given_out.next("") is first
    given_out.heard("00000000000000ff-b")
    assert given_out.next("") == "00000000000000ff-a"
