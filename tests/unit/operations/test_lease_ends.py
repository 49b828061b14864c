"""When leases end: what is due, against a plain dictionary, and how much is kept."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from operations.lease_ends import SPARE, LeaseEnds

START = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 50).map(lambda s: START + timedelta(seconds=s))
SETS = st.tuples(st.sampled_from("abc"), st.one_of(st.none(), MOMENTS))


@given(st.lists(st.one_of(SETS, MOMENTS)))
def test_due_is_what_a_plain_look_finds(steps: list[tuple[str, datetime | None] | datetime]) -> None:
    ends, plain = LeaseEnds(), dict[str, datetime]()
    for step in steps:
        if isinstance(step, datetime):
            due = {key for key, until in plain.items() if until <= step}
            assert {key for _ in range(3) for key in ends.due(step, 1)} == due
            plain = {key: until for key, until in plain.items() if key not in due}
        else:
            ends.set(*step)
            key, until = step
            plain = {other: end for other, end in plain.items() if other != key} | (
                {} if until is None else {key: until}
            )
        assert len(ends) == len(plain)
        assert ends.next == min(plain.values(), default=None)


def test_a_lease_that_is_renewed_all_the_time_takes_no_more_room() -> None:
    ends = LeaseEnds()
    ends.set("first", START)
    for second in range(10 * SPARE):
        ends.set("a", START + timedelta(seconds=1 + second))
    assert len(ends._heap) <= SPARE + 4
