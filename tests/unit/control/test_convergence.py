"""What holds for an endpoint and the one sentence that says why: each cause, told apart."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from akela.coordination import Member
from control.convergence import Facts, State, because, facts_of, state_of

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
TARGET = "1111111111111111"
OLD = "0000000000000000"


def entry(number: str = TARGET, at: datetime = NOW, **more: Any) -> dict[str, Any]:
    return {"id": number, "at": at, **more}


def facts(target: str | None = TARGET, **more: Any) -> Facts:
    ledger = {name: more.pop(name) for name in list(more) if isinstance(more[name], dict)}
    others: dict[str, Any] = {"seen": NOW, "server": "ops-1"} | more
    return Facts(target, ledger, **others)


REFUSED = entry(code=422, key="/n", reason="too high", tries=2, next=LATER)
CASES = {
    "never connected": (facts(seen=None, server=None), State.UNKNOWN, "it has never connected"),
    "away": (
        facts(server=None, applied=entry(OLD)),
        State.WAITING_OFFLINE,
        f"it is away since 2026-11-25T12:00:00+00:00; it gets {TARGET} when it comes back",
    ),
    "no schema": (facts(None), State.UNCONFIGURED, "its application has no configuration schema"),
    "not acknowledged": (
        facts(sent=entry(), delivered=entry(OLD)),
        State.WAITING_ONLINE,
        "was sent at 2026-11-25T12:00:00+00:00 and the endpoint has not acknowledged it (PUBACK)",
    ),
    "sent again, not acknowledged": (
        facts(sent=entry(at=LATER), delivered=entry()),
        State.WAITING_ONLINE,
        "was sent at 2026-11-25T12:01:00+00:00",
    ),
    "silent": (facts(sent=entry(), delivered=entry(at=LATER)), State.WAITING_ONLINE, "has not said what became of it"),
    "refused": (
        facts(delivered=entry(), refused=REFUSED),
        State.REFUSED,
        f"it refused {TARGET} with 422 at /n: too high; it is sent again at 2026-11-25T12:01:00+00:00",
    ),
    "refused after it was applied": (facts(applied=entry(), refused=entry(code=500)), State.REFUSED, "with 500; it is"),
    "refused an older one": (facts(refused=entry(OLD), sent=entry()), State.WAITING_ONLINE, "not acknowledged"),
    "held, refused": (
        facts(refused=REFUSED, held=entry(cause="refused", tries=5)),
        State.HELD,
        f"{TARGET} was refused with 422 at /n: too high after it was sent again 5 times; it is held until",
    ),
    "held, silent": (facts(held=entry(cause="silent", tries=5)), State.HELD, "was never answered after it was sent again 5"),
    "unservable, computed": (
        facts(None, unservable="version 9 of the schema is not there"),
        State.UNSERVABLE,
        "its configuration cannot be given to it: version 9 of the schema is not there",
    ),
    "revoked": (facts(revoked=True, applied=entry()), State.REVOKED, "it is revoked"),
    "applied something else": (facts(applied=entry(OLD)), State.WAITING_ONLINE, f"it has applied {OLD} and {TARGET} is not sent"),
    "nothing known but attached": (facts(), State.WAITING_ONLINE, f"{TARGET} is not sent yet"),
    "converged": (facts(applied=entry()), State.CONVERGED, f"it runs {TARGET}, which is what it should have, since"),
}  # fmt: skip
CASES["unservable, noted"] = (
    Facts(TARGET, {"unservable": entry(reason="larger than it takes")}, seen=NOW, server="ops-1"),
    State.UNSERVABLE,
    "cannot be given to it: larger than it takes",
)


@pytest.mark.parametrize("case", CASES)
def test_each_cause_has_its_state_and_its_sentence(case: str) -> None:
    known, state, sentence = CASES[case]
    assert state_of(known) is state
    assert sentence in because(known)


def test_every_state_has_a_case() -> None:
    assert {state for _, state, _ in CASES.values()} == set(State)


def test_presence_counts_only_on_a_server_that_is_there() -> None:
    stored = {
        "presence": {"at": NOW, "server": "ops-1"},
        "revoked": 0,
        "config": {"applied": entry(), "refused": None, "seq": 3},
    }
    here = facts_of(stored, TARGET, None, {"ops-1": Member("ops-1", 1, {})})
    assert (here.server, here.seen, here.revoked, list(here.ledger)) == ("ops-1", NOW, False, ["applied"])
    assert facts_of(stored, TARGET, None, {"ops-2": Member("ops-2", 1, {})}).server is None
    assert state_of(facts_of({}, TARGET, None, {})) is State.UNKNOWN
