"""Merge patches: RFC 7386's own examples, Kaa's cases, and the law that a delta makes the target out of the base."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from akela.contract.delta import apply, choose, diff, same
from akela.contract.merge import Layer, merge
from tests.unit.contract.strategies import JSON, LAYER_DATA, NO_NULL_OBJECTS, SCHEMA

RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("base", "patch", "result"), RFC_7386)
def test_the_rfc_s_examples(base: Any, patch: Any, result: Any) -> None:
    assert apply(base, patch) == result


def test_k14_one_change() -> None:
    assert diff({"f": 123, "g": "x"}, {"f": 456, "g": "x"}) == {"f": 456}


def test_k16_an_array_of_records_is_replaced_and_a_null_removes() -> None:
    base = {"list": [{"id": 1, "v": 1}, {"id": 3, "v": 3}], "f": 123}
    target = {"list": [{"id": 3, "v": 36}, {"id": 4, "v": 4}]}
    assert diff(base, target) == {"list": target["list"], "f": None}


def test_k17_an_array_of_numbers_is_sent_whole() -> None:
    assert diff({"a": [123, 321, 456]}, {"a": [321, 456, 654]}) == {"a": [321, 456, 654]}


def test_the_whole_is_sent_when_the_delta_is_not_smaller() -> None:
    assert choose({"a": 1}, {"a": 2}) == ("full", {"a": 2})
    assert choose({"a": 1, "b": "x"}, {"a": 2, "b": "x"}) == ("delta", {"a": 2})


def test_true_is_not_one() -> None:
    assert diff({"a": True}, {"a": 1}) == {"a": 1}
    assert not same([1], [True])
    assert same(1, 1.0)


@given(NO_NULL_OBJECTS, NO_NULL_OBJECTS)
def test_a_delta_makes_the_target_out_of_the_base(base: dict[str, Any], target: dict[str, Any]) -> None:
    assert same(apply(base, diff(base, target)), target)


@given(NO_NULL_OBJECTS)
def test_equal_values_have_no_delta(value: dict[str, Any]) -> None:
    assert diff(value, value) == {}


@given(JSON, JSON)
def test_what_is_chosen_always_gives_the_target(base: Any, target: Any) -> None:
    kind, body = choose({"v": base}, {"v": target})
    assert same(apply({"v": base}, body) if kind == "delta" else body, {"v": target})


@given(st.lists(LAYER_DATA, max_size=3), st.lists(LAYER_DATA, max_size=3))
def test_effective_configurations_follow_by_delta(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    base, target = (
        merge(SCHEMA, [Layer(str(weight), weight, data) for weight, data in enumerate(layers)]).value
        for layers in (old, new)
    )
    assert same(apply(base, diff(base, target)), target)
