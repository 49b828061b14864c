"""Which credentials open an endpoint: rotation, retirement, claims (akela.credentials)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from akela.credentials import BEFORE_ALL, KEPT_RETIRED, MAX_VALID, STEP, Standing, with_retired

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("a", "b", "c", "d", "e")


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def entry(number: str, minute: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "kind": "token", "hash": f"hash of {number}", "created": at(minute), **more}


def valid(document: dict[str, Any]) -> list[str]:
    return [credential.id for credential in Standing.of(document).valid]


def test_an_endpoint_without_credentials_has_none() -> None:
    standing = Standing.of({})
    assert (standing.valid, standing.in_use, standing.newest) == ((), None, BEFORE_ALL)
    assert valid({"credentials": None, "issued": None, "used": None, "retired": None}) == []


def test_the_old_credential_is_good_until_the_new_one_is_used() -> None:
    document: dict[str, Any] = {"credentials": [entry("a", 1)], "used": {"a": at(1)}, "issued": {"b": entry("b", 2)}}
    assert valid(document) == ["a", "b"]
    document["used"]["b"] = at(3)
    assert valid(document) == ["b"]


def test_a_later_one_replaces_one_that_was_never_used() -> None:
    document = {
        "credentials": [entry("a", 1)],
        "used": {"a": at(1)},
        "issued": {"b": entry("b", 2), "c": entry("c", 3)},
    }
    assert valid(document) == ["a", "c"]


def test_while_none_is_used_the_two_newest_are_good() -> None:
    assert valid({"credentials": [entry("a", 1), entry("b", 2)], "issued": {"c": entry("c", 3)}}) == ["b", "c"]


def test_a_retired_credential_stays_retired_whatever_says_that_it_is_there() -> None:
    document = {"issued": {"a": entry("a", 1)}, "used": {"a": at(2)}, "retired": [{"id": "a", "created": at(1)}]}
    assert valid(document) == []
    assert valid(document | {"credentials": [entry("a", 1)]}) == []


def test_retiring_the_one_in_use_does_not_bring_an_older_one_back() -> None:
    document: dict[str, Any] = {"credentials": [entry("a", 1), entry("b", 2)], "used": {"a": at(1), "b": at(2)}}
    document["retired"] = with_retired(document, "b", at(3))
    assert valid(document) == []
    standing = Standing.of(document)
    assert (standing.in_use, standing.retired_used) == (None, True)


def test_what_was_used_before_there_was_a_map_of_uses_counts() -> None:
    document = {"credentials": [entry("a", 1, used=True), entry("b", 2, used=False)]}
    assert [(c.id, c.used) for c in Standing.of(document).valid] == [("a", True), ("b", False)]
    gone = {"credentials": [entry("b", 2)], "retired": with_retired(document, "a", at(3))}
    assert Standing.of(gone).retired_used


def test_a_new_credential_is_later_than_one_from_a_clock_that_is_ahead() -> None:
    standing = Standing.of({"credentials": [entry("a", 60)]})
    assert standing.next_moment(at(1)) == at(60) + STEP
    assert standing.next_moment(at(61)) == at(61)


def test_retirements_are_forgotten_only_when_nothing_else_knows_the_credential() -> None:
    document: dict[str, Any] = {"issued": {"kept": entry("kept", 0)}}
    document["retired"] = with_retired(document, "kept", at(0))
    for minute in range(KEPT_RETIRED + 5):
        document["retired"] = with_retired(document, f"old{minute}", at(minute))
    kept = [gone["id"] for gone in document["retired"]]
    assert len(kept) == KEPT_RETIRED + 1
    assert {"kept", f"old{KEPT_RETIRED + 4}"} <= set(kept)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Any state that three writers can leave."""
    made = [entry(name, draw(st.integers(0, 4))) for name in draw(st.lists(st.sampled_from(NAMES), unique=True))]
    issued = {item["id"]: item for item in made if draw(st.booleans())}
    used = draw(st.sets(st.sampled_from(NAMES)))
    retired = draw(st.sets(st.sampled_from(NAMES)))
    return {
        "credentials": [item for item in made if item["id"] not in issued],
        "issued": issued,
        "used": dict.fromkeys(used, START),
        "retired": [{"id": name, "created": at(draw(st.integers(0, 4)))} for name in sorted(retired)],
    }


@given(documents())
def test_never_more_than_two_and_never_a_retired_one(document: dict[str, Any]) -> None:
    found = valid(document)
    assert len(found) <= MAX_VALID
    assert not set(found) & {gone["id"] for gone in document["retired"]}
    in_use = Standing.of(document).in_use
    assert in_use is None or in_use.id == found[0]


@given(documents(), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_nothing_that_happens_makes_a_credential_good_again(document: dict[str, Any], used: str, retired: str) -> None:
    before = set(valid(document))
    after_use = document | {"used": document["used"] | {used: at(9)}}
    after_retirement = document | {"retired": with_retired(document, retired, at(9))}
    assert set(valid(after_use)) <= before | ({used} if used not in before else set())
    assert set(valid(after_retirement)) <= before
