"""Filters: what is one, what it looks at, how it fails, what it may cost."""

import time

import pytest

from akela.filters import Filter, FilterError, context, longest

NAMES = frozenset({"profile", "server", "ep"})


def matches(text: str, **values: object) -> bool:
    return Filter(text, NAMES).matches(context(values), longest(values))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("profile.model ==", "no CEL expression"),
        ("(" * 2000 + "true" + ")" * 2000, "no CEL expression"),
        ("city == 'x'", "'city' is unknown here; a filter speaks of ep, profile, server"),
        ("true || " * 1000 + "true", "at most 4096 characters"),
        ("profile.a.all(a, a.all(b, b.all(c, c.all(d, d))))", "macros are nested 4 deep; at most 3"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(FilterError) as caught:
        Filter(text, NAMES)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("true", {}),
        ("profile.model == 'm1' && profile.n.x > 2", {"profile": frozenset({"model", "n"})}),
        ("ep.startsWith('a')", {"ep": None}),
        ("'x' in profile || profile.a == 1", {"profile": None}),
        ("profile['a'] == 1", {"profile": None}),
        ("has(profile.a) && server.b == 'profile ( .all('", {"profile": frozenset({"a"}), "server": frozenset({"b"})}),
        ("profile.list.exists(x, x.profile == 1)", {"profile": frozenset({"list"})}),
        ("server.l.exists(profile, profile.x == 1)", {"profile": None, "server": frozenset({"l"})}),
    ],
)
def test_what_a_filter_looks_at(text: str, uses: object) -> None:
    assert Filter(text, NAMES).uses == uses


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("profile.b == 1", "there is no 'b'"),
        ("profile.a > 'x'", "No such overload"),
        ("profile.a", "gives int, not true or false"),
        ("ep == 'x'", "ep"),
    ],
)
def test_a_filter_that_fails_says_why(text: str, reason: str) -> None:
    with pytest.raises(FilterError) as caught:
        matches(text, profile={"a": 1})
    assert reason in str(caught.value)


def test_a_filter_that_would_take_for_ever_is_not_begun() -> None:
    begun_s = time.monotonic()
    with pytest.raises(FilterError, match="too costly: macros nested 2 deep over up to 50000 entries"):
        matches("profile.l.exists(x, profile.l.exists(y, x + y < 0))", profile={"l": list(range(50_000))})
    numbers = ",".join(map(str, range(900)))
    with pytest.raises(FilterError, match="too costly"):
        matches(f"[{numbers}].all(x, [1].all(y, [2].all(z, x < y)))", profile={})
    assert time.monotonic() - begun_s < 60  # either would take minutes
    assert matches("profile.l.exists(x, x == 19999)", profile={"l": list(range(20_000))})
    assert not matches(
        "profile.s.matches('^(a+)+$')", profile={"s": "a" * 60 + "b"}
    )  # its time grows with the text only
