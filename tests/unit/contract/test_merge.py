"""Layers to the effective configuration: Kaa's own vectors and cases (named after their ids), and laws that hold for all layers."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from akela.contract.avro import parse_schema
from akela.contract.errors import MergeError
from akela.contract.merge import Layer, merge
from tests.unit.contract.strategies import LAYER_DATA, SCHEMA

VECTORS = Path(__file__).parents[2] / "vectors"


def field(name: str, kind: Any, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "type": kind} | attributes


def schema(*fields: dict[str, Any]) -> Any:
    return parse_schema({"type": "record", "name": "T", "fields": list(fields)})


def merged(parsed: Any, *layers: dict[str, Any]) -> dict[str, Any]:
    return merge(parsed, [Layer(f"w{weight}", weight, data) for weight, data in enumerate(layers)]).value


INTS = {"type": "array", "items": "int"}
ITEMS = {"type": "array", "items": {"type": "record", "name": "I", "fields": [field("v", "int")]}}


def test_kaas_vector() -> None:
    """K1, K2, K4, K5, K7 and K8 at once, in Kaa's own example."""
    vector = json.loads((VECTORS / "kaa-merge.json").read_text())
    parsed = parse_schema(vector["schema"])
    layers = [Layer(f"w{layer['weight']}", layer["weight"], layer["data"]) for layer in vector["layers"]]
    for order in itertools.permutations(layers):  # K13
        assert merge(parsed, order).value == vector["effective"]


def test_k1_append() -> None:
    parsed = schema(field("a", INTS, overrideStrategy="append"))
    assert merged(parsed, {"a": [1, 2, 3]}, {"a": [10, 11]}, {"a": [12]}) == {"a": [1, 2, 3, 10, 11, 12]}


def test_k2_replace() -> None:
    assert merged(schema(field("b", INTS)), {"b": [1, 2, 3]}, {}, {"b": [12, 13]}) == {"b": [12, 13]}


def test_k4_append_inside_a_record() -> None:
    inner = {
        "type": "record",
        "name": "R",
        "fields": [field("list", ITEMS, overrideStrategy="append"), field("k", "int")],
    }
    result = merged(schema(field("r", inner)), {"r": {"list": [{"v": 1}], "k": 5}}, {"r": {"list": [{"v": 4}]}})
    assert result == {"r": {"list": [{"v": 1}, {"v": 4}], "k": 5}}


def test_k5_an_explicit_null_takes_an_optional_field_out() -> None:
    assert merged(schema(field("s", "string", optional=True)), {"s": "abc"}, {}, {"s": None}) == {}


def test_k7_a_silent_layer_changes_nothing() -> None:
    assert merged(schema(field("n", "int")), {"n": 123}, {"n": 124}, {}) == {"n": 124}


def test_k8_an_optional_record_is_taken_whole() -> None:
    record = {"type": "record", "name": "R", "fields": [field("list", INTS), field("k", "int", by_default=3)]}
    parsed = schema(field("r", record, optional=True))
    assert merged(parsed, {"r": None}, {"r": {"list": [5]}}) == {"r": {"list": [5], "k": 3}}


def test_k10_no_layer_gives_the_schema_s_defaults() -> None:
    assert merge(schema(field("n", "int", by_default=4), field("s", "string", optional=True)), []).value == {"n": 4}


@pytest.mark.parametrize("strategy", ["append", "replace"])
def test_k11_the_first_items_of_an_array(strategy: str) -> None:
    assert merged(schema(field("a", INTS, overrideStrategy=strategy)), {"a": []}, {"a": [1]}) == {"a": [1]}


def test_k14_an_int_among_others() -> None:
    assert merged(schema(field("f", "int"), field("g", "int")), {"f": 123, "g": 1}, {"f": 456}) == {"f": 456, "g": 1}


def test_k19_the_default_record() -> None:
    parsed = schema(
        field("array", INTS),
        field("optional", "string", optional=True),
        field("by_default", "int", by_default=1),
        field("union", ["int", "string"]),
        field("bytes", "bytes", by_default=[1, 2, 3, 4, 5]),
        field("enum", {"type": "enum", "name": "E", "symbols": ["first", "second"]}),
        field("nested", {"type": "record", "name": "N", "fields": [field("f", "int", by_default=4)]}),
    )
    assert parsed.default() == {
        "array": [], "optional": None, "by_default": 1, "union": 0, "bytes": "\1\2\3\4\5", "enum": "first", "nested": {"f": 4},
    }  # fmt: skip


def test_k20_zeros_of_types_without_a_default() -> None:
    record = {"type": "record", "name": "R", "fields": [field("f", "int", by_default=1)]}
    parsed = schema(
        field("fixed", {"type": "fixed", "name": "F", "size": 3}),
        field("int", "int"),
        field("one", record),
        field("two", "R"),
        field("three", "R"),
    )
    assert parsed.default() == {"fixed": "\0\0\0", "int": 0, "one": {"f": 1}, "two": {"f": 1}, "three": {"f": 1}}


def test_a_map_merges_by_key_and_null_removes_one() -> None:
    parsed = schema(field("m", {"type": "map", "values": "int"}))
    assert merged(parsed, {"m": {"a": 1, "b": 2}}, {"m": {"b": None, "c": 3}}) == {"m": {"a": 1, "c": 3}}


@pytest.mark.parametrize(
    ("layer", "key", "reason"),
    [
        ({"n": "seven"}, "/n", "'seven' is no int (layer w0)"),
        ({"r": {"x": None}}, "/r/x", "null is no double (layer w0)"),
        ({"unknown": 1}, "/unknown", "unknown field; C has: n, s, rep, app, m, r, o (layer w0)"),
        ({"app": [1, "2"]}, "/app/1", "'2' is no int (layer w0)"),
        ({"n": 2**31}, "/n", "2147483648 is no int (layer w0)"),
    ],
)
def test_a_wrong_layer_is_named_with_its_field(layer: dict[str, Any], key: str, reason: str) -> None:
    with pytest.raises(MergeError) as caught:
        merge(SCHEMA, [Layer("w0", 0, layer)])
    assert (caught.value.key, caught.value.reason) == (key, reason)


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for name, item in value.items() for k, v in leaves(item, f"{path}/{name}").items()}
    return {path: value}


@given(st.lists(LAYER_DATA, max_size=4), st.randoms())
def test_the_order_of_layers_is_their_weight(data: list[dict[str, Any]], random: Any) -> None:
    layers = [Layer(f"w{weight}", weight, layer) for weight, layer in enumerate(data)]
    result = merge(SCHEMA, layers)
    random.shuffle(layers)
    assert merge(SCHEMA, layers) == result


@given(st.lists(LAYER_DATA, max_size=4), st.integers(0, 4))
def test_an_empty_layer_changes_nothing(data: list[dict[str, Any]], at: int) -> None:
    assert merged(SCHEMA, *data) == merged(SCHEMA, *data[:at], {}, *data[at:])


@given(st.lists(LAYER_DATA, max_size=4))
def test_the_result_fits_the_schema_and_holds_no_optional_null(data: list[dict[str, Any]]) -> None:
    result = merged(SCHEMA, *data)
    assert SCHEMA.validate(result) == []
    assert None not in leaves(result).values()


@given(st.lists(LAYER_DATA, max_size=4), LAYER_DATA)
def test_the_highest_layer_wins_every_leaf_that_it_names(data: list[dict[str, Any]], top: dict[str, Any]) -> None:
    top = {name: value for name, value in top.items() if name != "app"}
    result = leaves(merged(SCHEMA, *data, top))
    for path, value in leaves(top).items():
        if value is None:
            assert path not in result
        elif value != {}:
            assert result[path] == value


@given(st.lists(LAYER_DATA, max_size=4))
def test_every_leaf_has_an_origin_that_names_a_layer(data: list[dict[str, Any]]) -> None:
    result = merge(SCHEMA, [Layer(f"w{weight}", weight, layer) for weight, layer in enumerate(data)])
    names = {"default", *(f"w{weight}" for weight in range(len(data)))}
    for path in leaves(result.value):
        assert set(result.origin[path].split("+")) <= names


@given(st.lists(LAYER_DATA, max_size=3))
def test_merging_changes_no_layer(data: list[dict[str, Any]]) -> None:
    before = json.dumps(data)
    merged(SCHEMA, *data)
    assert json.dumps(data) == before
