"""A short run of what `make fuzz` does for long; a seed of its own each day would hide a failure, so it is fixed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.rates import Duels, Flapping, TokenBucket
from tests.fuzz import configuration, edges
from tests.fuzz.session import run


@pytest.mark.parametrize("seed", range(4))
def test_no_input_gets_past_the_session(seed: int) -> None:
    assert run(5_000, seed) > 1


@pytest.mark.parametrize("seed", range(2))
def test_no_input_gets_past_the_other_readers(seed: int) -> None:
    for reader, inputs in (
        (edges.run_websocket, 2_000),
        (edges.run_proxy, 2_000),
        (edges.run_trace, 2_000),
        (configuration.run, 200),
    ):
        assert reader(inputs, seed) > 0


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 30)), min_size=1, max_size=40))
def test_a_client_that_waits_as_told_stays_within_its_rate(steps: list[tuple[float, int]]) -> None:
    bucket, now_s, sent = TokenBucket(10, 10, 0.0), 0.0, 0
    for idle_s, amount in steps:
        now_s += idle_s
        sent += amount
        now_s += bucket.charge(amount, now_s)
        assert sent <= 10 + 10 * now_s + 1e-6


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_window_holds_more_attaches_than_allowed(gaps: list[float]) -> None:
    flapping, now_s, allowed = Flapping(3, 5.0), 0.0, []
    for gap_s in gaps:
        now_s += gap_s
        if flapping.allows(("", "c"), now_s):
            allowed.append(now_s)
    for first in allowed:
        assert sum(first <= at < first + 5.0 for at in allowed) <= 3


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_window_holds_more_take_overs_than_allowed(gaps: list[float]) -> None:
    duels, now_s, refused_until_s = Duels(3, 5.0, 10.0), 0.0, 0.0
    taken: list[float] = []
    for gap_s in gaps:
        now_s += gap_s
        allowed, found = duels.takes_over(("", "c"), now_s)
        if allowed:
            assert now_s >= refused_until_s
            taken.append(now_s)
        if found:
            refused_until_s = now_s + 10.0
    for first in taken:
        assert sum(first <= at < first + 5.0 for at in taken) <= 3
