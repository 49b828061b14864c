"""Compatibility: the specification's resolution rules, and the Avro project's own checker as a second opinion on random schemas."""

import json
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from hypothesis import given
from hypothesis import strategies as st

from akela.contract.avro import parse_schema
from akela.contract.avro_types import build
from akela.contract.compatibility import Break, breaks


def found(reader: Any, writer: Any) -> list[Break]:
    return breaks(parse_schema(reader).root, parse_schema(writer).root)


def record(*fields: Any, name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


@pytest.mark.parametrize(
    ("writer", "readers"),
    [
        ("int", {"int", "long", "float", "double"}), ("long", {"long", "float", "double"}), ("float", {"float", "double"}),
        ("double", {"double"}), ("string", {"string", "bytes"}), ("bytes", {"bytes", "string"}), ("boolean", {"boolean"}),
        ("null", {"null"}),
    ],
)  # fmt: skip
def test_primitives_are_promoted_as_the_specification_says(writer: str, readers: set[str]) -> None:
    every = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
    assert {reader for reader in every if not found(reader, writer)} == readers


@pytest.mark.parametrize(
    ("reader", "writer", "path", "reason"),
    [
        (record({"name": "a", "type": "int"}), record(), "/a", "needs a default, or is optional"),
        (record({"name": "a", "type": "int"}), record({"name": "a", "type": "string"}), "/a", "string cannot be read as int"),
        ({"type": "fixed", "name": "F", "size": 3}, {"type": "fixed", "name": "F", "size": 4}, "", "had 4 bytes and has 3"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, {"type": "enum", "name": "E", "symbols": ["A", "B"]}, "", "symbols B"),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "long"}, "", "long cannot be read as int"),
        ({"type": "map", "values": "int"}, {"type": "array", "items": "int"}, "", "array of int cannot be read as map of int"),
        ("int", ["null", "int"], "", "null cannot be read as int"),
        (["null", record({"name": "a", "type": "int"})], record({"name": "a", "type": "string"}), "/a", "string cannot"),
    ],
)  # fmt: skip
def test_what_breaks_is_named(reader: Any, writer: Any, path: str, reason: str) -> None:
    problem = found(reader, writer)[0]
    assert problem.path == path
    assert reason in problem.reason


def test_kaa_s_optional_is_a_default() -> None:
    assert found(record({"name": "a", "type": "int", "optional": True}), record()) == []
    assert found(record({"name": "a", "type": "int", "by_default": 1}), record()) == []


def test_a_schema_that_holds_itself_is_compared_once() -> None:
    list_of = record({"name": "next", "type": ["null", "R"]}, {"name": "v", "type": "int"})
    wider = record({"name": "next", "type": ["null", "R"]}, {"name": "v", "type": "long"})
    assert found(wider, list_of) == []
    assert [problem.path for problem in found(list_of, wider)] == ["/v"]


PRIMITIVES = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "bytes", "string"])
NAMED = st.one_of(
    st.builds(lambda name, symbols: {"type": "enum", "name": name, "symbols": sorted(symbols)},
              st.sampled_from(["E1", "E2"]), st.sets(st.sampled_from("ABC"), min_size=1)),
    st.builds(lambda name, size: {"type": "fixed", "name": name, "size": size}, st.sampled_from(["F1", "F2"]), st.integers(1, 2)),
)  # fmt: skip


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        inner.map(lambda values: {"type": "map", "values": values}),
    )


TYPES = st.recursive(PRIMITIVES, containers, max_leaves=4)
UNIONS = st.lists(PRIMITIVES, min_size=1, max_size=3, unique=True)
FIELD_TYPES = st.one_of(TYPES, UNIONS)


@st.composite
def records(draw: st.DrawFn) -> Any:
    """Records; a field that may be null has the default null, which is what Akela takes it for anyway."""
    fields: list[Any] = []
    for name in draw(st.lists(st.sampled_from("abc"), unique=True)):
        kind = draw(FIELD_TYPES)
        if kind == "null" or (isinstance(kind, list) and "null" in kind):
            rest = [branch for branch in kind if branch != "null"] if isinstance(kind, list) else []
            fields.append({"name": name, "type": ["null", *rest], "default": None})
        else:
            fields.append({"name": name, "type": kind})
    return {"type": "record", "name": "R", "fields": fields}


SCHEMAS = st.one_of(records(), NAMED, FIELD_TYPES)


def has_empty_items(schema: Any) -> bool:
    return '"items": "null"' in json.dumps(schema)  # Akela takes no array of nothing


@given(SCHEMAS, SCHEMAS)
def test_the_avro_project_s_own_checker_agrees(reader: Any, writer: Any) -> None:
    if has_empty_items(reader) or has_empty_items(writer):
        return
    theirs = ReaderWriterCompatibilityChecker().get_compatibility(  # type: ignore[no-untyped-call]
        avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer))
    )
    assert (not found(reader, writer)) == (theirs.compatibility is SchemaCompatibilityType.compatible), theirs.messages


def test_a_pair_of_records_is_compared_once_however_often_it_is_met() -> None:
    """Unions let a schema name the same records in exponentially many ways without huge values."""

    def layered(last: str) -> Any:
        schema: Any = record({"name": "x", "type": last}, name="L")
        for number in range(20):
            fields = [{"name": "a", "type": ["null", schema]}, {"name": "b", "type": ["null", schema["name"]]}]
            schema = record(*fields, name=f"R{number}")
        return schema

    reader, writer = build(layered("int"))[0], build(layered("long"))[0]
    assert len(breaks(reader, writer)) == 50
    assert breaks(reader, writer)[0].path == "/a" * 20 + "/x"
    assert breaks(writer, reader) == []
