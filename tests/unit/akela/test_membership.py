"""Group membership: which groups an endpoint is in, and which filters failed for it (K34, K35, K47)."""

from collections.abc import Mapping

import pytest

from akela.membership import Group, Groups, subject

PROFILE = {"name": "x", "nested": {"n": 123}, "texts": ["a", "b"], "records": [{"n": 456}, {"n": 789}], "none": None}
SERVER = {"values": [1, 2]}


def groups(**filters: str) -> Groups:
    return Groups(
        Group.of({"name": name, "weight": weight, "filter": text})
        for weight, (name, text) in enumerate(filters.items(), 1)
    )


def endpoint(**more: object) -> Mapping[str, object]:
    return subject({"ep": "e1", "profile": PROFILE, "server_profile": SERVER} | more)


@pytest.mark.parametrize(
    "text",
    [
        'profile.name == "x"',
        "size(profile.texts) == 2",
        "profile.nested.n == 123",
        "profile.records[1].n == 789",
        "profile.none == null",
        "server.values[1] == 2",
        'ep in ["e0", "e1"]',
        'profile.name == "x" && server.values[0] == 1 && ep == "e1"',
    ],
)
def test_k34_filters_over_both_profiles(text: str) -> None:
    assert groups(g=text).of(endpoint()).groups == ("g",)


def test_k34_an_id_that_is_not_in_the_list() -> None:
    assert groups(g='ep in ["e0", "e2"]').of(endpoint()).groups == ()


def test_k35_without_a_server_side_profile() -> None:
    assert groups(g="profile.nested.n > 1").of(endpoint(server_profile=None)).groups == ("g",)


def test_k47_one_filter_in_two_groups() -> None:
    found = groups(b='profile.name == "x"', a='profile.name == "x"').of(endpoint())
    assert found.groups == ("a", "b")


def test_a_filter_that_fails_is_no_match_and_told() -> None:
    found = groups(good="true", bad="profile.missing == 1", broken="(", typed="1").of(endpoint())
    assert found.groups == ("good",)
    assert found.errors["bad"] == "there is no 'missing'"
    assert "no CEL expression" in found.errors["broken"]
    assert "not true or false" in found.errors["typed"]


def test_endpoints_that_differ_in_what_no_filter_looks_at_share_one_evaluation() -> None:
    known = groups(a='profile.name == "x"', b="owner == 'jo'")
    assert known.of(endpoint()) is known.of(endpoint(ep="e2", profile=PROFILE | {"serial": 7}))
    assert known.of(endpoint(owner="jo")).groups == ("a", "b")
    assert known.of(endpoint(profile={})).errors == {"a": "there is no 'name'"}


def test_numbers_and_truth_are_not_mixed_up() -> None:
    """1, 1.0 and true are equal in Python and not in CEL."""
    known = groups(a="profile.v == true")
    assert [known.of(endpoint(profile={"v": value})).groups for value in (1, 1.0, True)] == [(), (), ("a",)]
