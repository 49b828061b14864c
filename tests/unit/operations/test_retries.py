"""When a configuration is sent again, and what of it is remembered over connections and restarts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from operations.ledger import Attempts, Ledger
from operations.retries import Agenda, RetryPolicy, may_send

NOW = datetime(2026, 11, 24, tzinfo=UTC)
POLICY = RetryPolicy()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_waits_double_up_to_the_longest() -> None:
    assert [POLICY.wait_s("refused", tries) for tries in (0, 1, 2, 6, 7, 10**6)] == [30, 60, 120, 1920, 3600, 3600]
    assert [POLICY.wait_s("silent", tries) for tries in (0, 1, 6)] == [60, 120, 3600]


def test_a_refusal_waits_and_the_last_one_holds() -> None:
    first = POLICY.refused(None, "x", NOW)
    assert first == Attempts("x", "refused", 0, due=later(30))
    assert not may_send(first, later(29.9))
    assert may_send(first, later(30))
    sent_again = Attempts("x", "refused", 4)
    assert POLICY.refused(sent_again, "x", NOW) == Attempts("x", "refused", 4, due=later(480))
    held = POLICY.refused(Attempts("x", "refused", 5), "x", NOW)
    assert held == Attempts("x", "refused", 5, held=True)
    assert not may_send(held, later(10**6))
    assert POLICY.refused(held, "x", later(99)) == held


def test_a_refusal_said_twice_counts_once() -> None:
    waiting = POLICY.refused(None, "x", NOW)
    assert POLICY.refused(waiting, "x", later(1)) is waiting


def test_another_configuration_begins_anew() -> None:
    held = Attempts("x", "refused", 5, held=True)
    assert POLICY.refused(held, "y", NOW) == Attempts("y", "refused", 0, due=later(30))
    assert POLICY.silent(held, "y") == Attempts("y", "silent", 1)


def test_silence_is_counted_and_held_but_a_returning_endpoint_is_sent_what_it_lacks() -> None:
    known = None
    for tries in range(1, 6):
        known = POLICY.silent(known, "x")
        assert known == Attempts("x", "silent", tries)
    held = POLICY.silent(known, "x")
    assert held == Attempts("x", "silent", 5, held=True)
    assert may_send(held, NOW)


def test_what_is_stored_is_known_again() -> None:
    at: dict[str, Any] = {"id": "x", "at": NOW}
    config: dict[str, Any] = {
        "assigned": at,
        "sent": {**at, "tries": 2},
        "applied": {"id": "w", "at": NOW},
        "refused": None,
    }
    known = Ledger.of(config)
    assert (known.assigned, known.sent, known.applied, known.refused) == ("x", "x", "w", None)
    assert known.attempts == Attempts("x", "silent", 2)
    config["refused"] = {**at, "code": 422, "tries": 2, "next": later(120)}
    assert Ledger.of(config).attempts == Attempts("x", "refused", 2, due=later(120))
    assert Ledger.of(config).sent is None  # it does not hold what it refused
    assert (Ledger.of(config).held, Ledger.of({**config, "unsure": True}).held) == ("w", None)
    config["held"] = {**at, "tries": 5, "cause": "refused"}
    assert Ledger.of(config).attempts == Attempts("x", "refused", 5, held=True)
    assert Ledger.of({**config, "unservable": {**at, "reason": "too large"}}).unservable == "too large"


def test_an_operator_s_request_makes_void_what_stood_before_it() -> None:
    held = {"id": "x", "at": NOW, "tries": 5, "cause": "refused"}
    assert Ledger.of({"held": held}, retry=1).attempts is None
    assert Ledger.of({"held": {**held, "retry": 1}}, retry=1).attempts is not None


@given(st.lists(st.floats(0, 100)))
def test_the_agenda_gives_what_is_due_in_order(times: list[float]) -> None:
    agenda: Agenda[float] = Agenda()
    for at_s in times:
        agenda.put(at_s, at_s)
    taken = []
    while (item := agenda.take(50.0)) is not None:
        taken.append(item)
    assert taken == sorted(at_s for at_s in times if at_s <= 50)
    assert agenda.next_s == min((at_s for at_s in times if at_s > 50), default=None)
