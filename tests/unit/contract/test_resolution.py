"""Effective configurations in Avro, and in another version of their schema."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from akela.contract.avro import decode, parse_schema
from akela.contract.envelope import FINGERPRINT, SCHEMA, AvroPush
from akela.contract.errors import PayloadError
from akela.contract.merge import Layer, merge, pruned
from tests.unit.contract.test_layers_alone import LAYERS, good_part
from tests.unit.contract.test_layers_alone import SCHEMA as RICH

TWO_FIELDS: dict[str, Any] = {"type": "record", "name": "C", "fields": [
    {"name": "n", "type": "int", "default": 3},
    {"name": "text", "type": "string", "optional": True, "default": "default"},
]}  # fmt: skip


def with_field(**field: Any) -> dict[str, Any]:
    return {**TWO_FIELDS, "fields": [*TWO_FIELDS["fields"], field]}


@given(LAYERS.map(good_part))
def test_to_avro_and_back_and_to_the_same_version_changes_nothing(layer: dict[str, Any]) -> None:
    value = merge(RICH, [Layer("one", 1, layer)]).value
    assert pruned(RICH.root, decode(RICH.encode_effective(value), {RICH.fingerprint: RICH}.get)) == value
    assert pruned(RICH.root, RICH.resolve(value, RICH)) == value


def test_a_null_stays_null_where_the_default_is_something_else() -> None:
    schema = parse_schema(TWO_FIELDS)
    assert schema.resolve({"n": 1}, schema) == {"n": 1, "text": None}


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ({"type": "long", "default": 7}, 7),
        ({"type": "string"}, ""),  # Kaa's rule: the type's zero
        ({"type": "bytes", "default": "\u00ff"}, "\u00ff"),
        ({"type": {"type": "fixed", "name": "F", "size": 2}}, "\0\0"),
        ({"type": {"type": "enum", "name": "E", "symbols": ["a", "b"]}, "default": "b"}, "b"),
        ({"type": {"type": "enum", "name": "E", "symbols": ["a", "b"]}, "optional": True, "default": "b"}, "b"),
        ({"type": {"type": "record", "name": "R", "fields": [{"name": "x", "type": "int", "default": 1}]}}, {"x": 1}),
        ({"type": {"type": "map", "values": "int"}, "default": {"k": 1}}, {"k": 1}),
    ],
)
def test_what_only_the_other_version_has_is_its_default(field: dict[str, Any], given: Any) -> None:
    older, newer = parse_schema(TWO_FIELDS), parse_schema(with_field(name="more", **field))
    assert older.resolve({"n": 1, "text": "t"}, newer) == {"n": 1, "text": "t", "more": given}
    assert newer.resolve({"n": 1, "text": "t", "more": given}, older) == {"n": 1, "text": "t"}


def test_a_number_becomes_a_wider_one_and_never_a_narrower() -> None:
    narrow, wide = parse_schema(with_field(name="m", type="int")), parse_schema(with_field(name="m", type="double"))
    assert narrow.resolve({"n": 1, "m": 2}, wide)["m"] == 2.0
    with pytest.raises(PayloadError, match="double is not int"):
        wide.resolve({"n": 1, "m": 2.0}, narrow)


def test_a_symbol_that_the_other_version_does_not_know_is_refused() -> None:
    more = parse_schema(with_field(name="e", type={"type": "enum", "name": "E", "symbols": ["a", "b"]}))
    less = parse_schema(with_field(name="e", type={"type": "enum", "name": "E", "symbols": ["a"]}))
    assert more.resolve({"n": 1, "e": "a"}, less)["e"] == "a"
    with pytest.raises(PayloadError, match="b not found"):
        more.resolve({"n": 1, "e": "b"}, less)


def test_the_envelope_comes_back_and_is_what_topics_md_says() -> None:
    push = AvroPush("0123456789abcdef", 2**40, bytes(range(256)))
    assert AvroPush.from_bytes(push.to_bytes()) == push
    assert parse_schema(SCHEMA).fingerprint == FINGERPRINT
    assert f"`{FINGERPRINT:016x}`" in Path("topics.md").read_text()
    with pytest.raises(PayloadError):
        AvroPush.from_bytes(b"\xc3\x01" + bytes(8))
    with pytest.raises(PayloadError):
        AvroPush.from_bytes(push.to_bytes()[:-1])
