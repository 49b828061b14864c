"""Canonical JSON against the RFC's vectors and an independent implementation."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given

from akela.contract.canonical import MAX_DEPTH, canonical_json, config_id
from akela.contract.errors import PayloadError
from tests.unit.contract.strategies import JSON

NUMBERS = [  # RFC 8785, appendix B
    (0.0, "0"), (-0.0, "0"), (5e-324, "5e-324"), (-5e-324, "-5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
    (9007199254740992.0, "9007199254740992"), (295147905179352830000.0, "295147905179352830000"),
    (9.999999999999997e22, "9.999999999999997e+22"), (1e23, "1e+23"), (1.0000000000000001e23, "1.0000000000000001e+23"),
    (999999999999999700000.0, "999999999999999700000"), (1e21, "1e+21"), (9.999999999999997e-7, "9.999999999999997e-7"),
    (0.000001, "0.000001"), (333333333.3333332, "333333333.3333332"), (333333333.33333325, "333333333.33333325"),
    (-0.0000033333333333333333, "-0.0000033333333333333333"), (1424953923781206.2, "1424953923781206.2"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers_are_written_as_ecmascript_writes_them(value: float, text: str) -> None:
    assert canonical_json(value).decode() == text


def test_keys_are_sorted_by_utf_16() -> None:
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert list(json.loads(canonical_json(value)).values()) == [2, 4, 6, 7, 1, 5, 3]


@given(JSON)
def test_it_is_the_text_of_another_implementation(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


def test_equal_content_has_one_id() -> None:
    assert config_id({"a": 1, "b": [1.0]}) == config_id({"b": [1], "a": 1.0})
    assert len(config_id({})) == 16


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", {"\udfff": 1}, {1: 2}, {"a": object()}])
def test_what_has_no_canonical_text_is_refused(value: Any) -> None:
    with pytest.raises(PayloadError):
        canonical_json(value)


def test_endless_nesting_is_refused() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(PayloadError, match="nested deeper"):
        canonical_json(value)
