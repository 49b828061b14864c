"""Token buckets and waits after failures, with the time passed in."""

import pytest

from control.rates import FORGET_S, MAX_KNOWN, BackOff, Buckets


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    buckets = Buckets(rate_per_s=2, burst=3)
    assert [buckets.take("a", 10.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a", 10.0) == pytest.approx(0.5)
    assert buckets.take("b", 10.0) == 0.0  # another key
    assert buckets.take("a", 10.5) == 0.0
    assert buckets.take("a", 10.5) == pytest.approx(0.5)
    assert [buckets.take("a", 1000.0) for _ in range(4)] == [
        0.0,
        0.0,
        0.0,
        pytest.approx(0.5),
    ]  # no more than the burst


def test_a_rate_of_zero_bounds_nothing() -> None:
    buckets = Buckets(rate_per_s=0, burst=1)
    assert {buckets.take("a", 0.0) for _ in range(100)} == {0.0}


def test_waits_double_up_to_the_longest_and_end() -> None:
    backoff = BackOff(free=2, longest_s=5)
    waits = []
    now_s = 0.0
    for _ in range(7):
        backoff.failed("ann", now_s)
        waits.append(backoff.wait("ann", now_s))
        now_s += waits[-1]
        assert backoff.wait("ann", now_s) == 0.0  # never for good
    assert waits == [0.0, 0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff.wait("bob", now_s) == 0.0


def test_success_and_quiet_make_it_as_before() -> None:
    backoff = BackOff(free=0, longest_s=60)
    backoff.failed("ann", 0.0)
    backoff.succeeded("ann")
    assert backoff.wait("ann", 0.0) == 0.0
    backoff.failed("bob", 0.0)
    assert backoff.wait("bob", FORGET_S + 1) == 0.0
    backoff.failed("bob", FORGET_S + 1)
    assert backoff.wait("bob", FORGET_S + 1) == 1.0


def test_memory_is_bounded() -> None:
    backoff, buckets = BackOff(free=0, longest_s=60), Buckets(1, 1)
    for number in range(MAX_KNOWN + 10):
        backoff.failed(str(number), 0.0)
        buckets.take(str(number), 0.0)
    assert backoff.wait("0", 0.0) == 0.0
    assert backoff.wait(str(MAX_KNOWN), 0.0) == 1.0
    assert buckets.take("0", 0.0) == 0.0
    assert buckets.take(str(MAX_KNOWN), 0.0) > 0
