"""Schemas and the two encodings of one value."""

from typing import Any

import pytest
from hypothesis import given

from akela.contract.avro import MARKER, decode, parse_schema
from akela.contract.errors import PayloadError, SchemaError
from akela.contract.merge import Layer, merge
from tests.unit.contract.strategies import LAYER_DATA, SCHEMA

EVERY_TYPE = parse_schema(
    {"type": "record", "name": "E", "namespace": "n", "fields": [
        {"name": "b", "type": "boolean"}, {"name": "l", "type": "long"}, {"name": "f", "type": "float"},
        {"name": "raw", "type": "bytes"}, {"name": "fix", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "e", "type": {"type": "enum", "name": "En", "symbols": ["A", "B"]}},
        {"name": "u", "type": ["null", "long", "string", {"type": "array", "items": "En"}]},
        {"name": "m", "type": {"type": "map", "values": ["null", "n.F"]}},
        {"name": "next", "type": ["null", "E"], "default": None}]}
)  # fmt: skip
VALUE: dict[str, Any] = {
    "b": True, "l": 2**62, "f": 1.5, "raw": "\0\xff", "fix": "ab", "e": "B", "u": ["A"], "m": {"x": None, "y": "zz"}, "next": None,
}  # fmt: skip


@pytest.mark.parametrize("u", [None, 5, "text", ["A", "B"], []])
def test_single_object_encoding_comes_back(u: Any) -> None:
    value = VALUE | {"u": u, "next": VALUE | {"u": u}}
    assert EVERY_TYPE.validate(value) == []
    encoded = EVERY_TYPE.encode(value)
    assert encoded[:2] == MARKER
    assert decode(encoded, lambda fingerprint: EVERY_TYPE if fingerprint == EVERY_TYPE.fingerprint else None) == value


@given(LAYER_DATA)
def test_configurations_come_back(data: dict[str, Any]) -> None:
    value = merge(SCHEMA, [Layer("l", 1, data)]).value
    decoded = decode(SCHEMA.encode(value), lambda _: SCHEMA)
    assert merge(SCHEMA, [Layer("l", 1, decoded)]).value == value


def crc_64_avro(text: bytes) -> int:
    """The Avro specification's own program ("Schema Fingerprints"), in Python."""
    empty = 0xC15D213AA4D7A795
    table = list(range(256))
    for index in table:
        for _ in range(8):
            table[index] = (table[index] >> 1) ^ (empty & -(table[index] & 1))
    result = empty
    for byte in text:
        result = (result >> 8) ^ table[(result ^ byte) & 0xFF]
    return result


@pytest.mark.parametrize(
    ("schema", "canonical"),
    [
        ("null", b'"null"'),
        ({"type": "int", "doc": "x"}, b'"int"'),
        (
            {"type": "record", "name": "R", "namespace": "a", "fields": [{"name": "f", "type": "long", "default": 1}]},
            b'{"name":"a.R","type":"record","fields":[{"name":"f","type":"long"}]}',
        ),
    ],
)
def test_the_fingerprint_is_the_specification_s(schema: Any, canonical: bytes) -> None:
    parsed = parse_schema(schema)
    assert parsed.fingerprint == crc_64_avro(canonical)


def test_the_header_holds_the_fingerprint_in_little_endian_order() -> None:
    """The specification: C3 01, then the fingerprint of 8 bytes, little-endian. Of "int" it is 7275d51a3f395c8f."""
    assert parse_schema("int").encode(1) == bytes.fromhex("c301 8f5c393f1ad57572 02")


@pytest.mark.parametrize("body", [b"", b"\x01", b"\xff" * 40, b"\x00" * 60])
def test_a_broken_body_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError):
        EVERY_TYPE.decode_body(body)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"b": 1}, "/b"),
        ({"l": 2**63}, "/l"),
        ({"l": True}, "/l"),
        ({"l": 1.0}, "/l"),
        ({"f": float("nan")}, "/f"),
        ({"raw": "€"}, "/raw"),
        ({"fix": "abc"}, "/fix"),
        ({"e": "C"}, "/e"),
        ({"u": ["C"]}, "/u/0"),
        ({"u": {}}, "/u"),
        ({"m": {"x": 1}}, "/m/x"),
        ({"next": {"b": True}}, "/next/l"),
        ({"extra": 1}, "/extra"),
    ],
)
def test_a_wrong_value_names_its_field(change: dict[str, Any], path: str) -> None:
    assert EVERY_TYPE.validate(VALUE | change)[0].path == path


@pytest.mark.parametrize(
    "raw",
    [
        None, 1, "nothing", {}, {"type": "record"}, {"type": "record", "name": "R"}, {"type": "record", "name": "1", "fields": []},
        {"type": "record", "name": "R", "fields": [{"name": "a"}]},
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]},
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "default": "x"}]},
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "by_default": "x"}]},
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "overrideStrategy": "sometimes"}]},
        {"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]},
        {"type": "enum", "name": "E", "symbols": []}, {"type": "fixed", "name": "F", "size": -1}, [], ["int", "int"],
        {"type": "array"}, {"type": "map"},
    ],
)  # fmt: skip
def test_what_is_no_schema_is_refused_with_the_reason(raw: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        parse_schema(raw)
    assert caught.value.reason


def doubling(depth: int, last: Any) -> Any:
    """Records each of which holds the one before twice: a value of it has 2 to the power of `depth` parts."""
    schema: Any = {"type": "record", "name": "L", "fields": last}
    for number in range(depth):
        fields = [{"name": "a", "type": schema}, {"name": "b", "type": schema["name"]}]
        schema = {"type": "record", "name": f"R{number}", "fields": fields}
    return schema


@pytest.mark.parametrize("last", [[], [{"name": "x", "type": "int"}]])
def test_a_short_schema_of_huge_values_is_refused(last: Any) -> None:
    parse_schema(doubling(10, last))
    with pytest.raises(SchemaError, match="more than 10000 parts"):
        parse_schema(doubling(30, last))


def test_an_array_of_nothing_is_found_at_once_however_often_nothing_is_named() -> None:
    with pytest.raises(SchemaError, match="an array of nothing"):
        parse_schema({"type": "array", "items": doubling(30, [])})


def test_a_value_that_fits_no_branch_is_refused_at_once_however_deep() -> None:
    """Each level could be either record; tried anew at each level that is 2 to the power of 60 ways."""
    branches = ["null", "A", "B"]
    inner = {
        "type": "record",
        "name": "B",
        "fields": [{"name": "n", "type": branches}, {"name": "y", "type": "int", "default": 0}],
    }
    schema = parse_schema(
        {
            "type": "record",
            "name": "A",
            "fields": [{"name": "n", "type": ["null", "A", inner]}, {"name": "x", "type": "int", "default": 0}],
        }
    )
    value: Any = {"n": "wrong"}
    for _ in range(60):
        value = {"n": value}
    assert [problem.path for problem in schema.validate(value)] == ["/n" * 61]
    good: Any = {"n": None}
    for _ in range(60):
        good = {"n": good}
    assert schema.validate(good) == []
    assert decode(schema.encode({"n": {"n": None, "y": 1}}), lambda _: schema) == {"n": {"n": None, "y": 1}, "x": 0}


def test_a_deep_avro_body_is_read_at_once_though_two_records_look_alike() -> None:
    inner = {
        "type": "record",
        "name": "b.B",
        "fields": [{"name": "n", "type": ["null", "a.A", "b.B"]}, {"name": "x", "type": "string"}],
    }
    fields = [{"name": "n", "type": ["null", "a.A", inner]}, {"name": "x", "type": "int", "default": 0}]
    schema = parse_schema({"type": "record", "name": "a.A", "fields": fields})
    deep: Any = {"n": None, "x": "end"}
    for _ in range(40):
        deep = {"n": deep, "x": "b"}  # the record that is tried last
    value = {"n": deep, "x": 7}
    assert decode(schema.encode(value), lambda _: schema) == value
