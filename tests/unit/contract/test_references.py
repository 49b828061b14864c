"""References: a schema with dependencies becomes one that needs nothing."""

from typing import Any

import pytest

from akela.contract.avro import parse_schema
from akela.contract.errors import SchemaError
from akela.contract.references import MAX_NEEDED, resolve

Types = dict[tuple[str, int], Any]


def record(name: str, *fields: Any, needs: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    value = {"type": "record", "name": name, "fields": list(fields), **more}
    return value if needs is None else value | {"dependencies": [{"fqn": n, "version": v} for n, v in needs.items()]}


def field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind}


TYPES: Types = {
    ("a.P", 1): record("P", field("x", "int"), namespace="a"),
    ("a.P", 2): record("P", field("x", "long"), namespace="a"),
    ("a.Pair", 1): record("Pair", field("l", "P"), field("r", "a.P"), namespace="a", needs={"a.P": 1}),
    ("Bare", 1): record("Bare", field("b", "int")),
    ("a.Unit", 1): {"type": "enum", "name": "a.Unit", "symbols": ["C", "F"]},
    ("a.Node", 1): record("Node", field("next", ["null", "Node"]), namespace="a"),
}


def resolved(schema: Any) -> tuple[Any, list[str]]:
    return resolve(schema, lambda name, version: TYPES.get((name, version)))


def test_a_schema_without_dependencies_stays_as_it_is() -> None:
    schema = record("R", field("a", "int"), field("b", {"type": "array", "items": "R"}))
    assert resolved(schema) == (schema, [])


def test_the_first_place_gets_the_definition_and_later_ones_the_name() -> None:
    body, used = resolved(
        record("R", field("a", "a.P"), field("b", {"type": "array", "items": "a.P"}), needs={"a.P": 1})
    )
    assert used == ["a.P/1"]
    assert body["fields"][0]["type"]["fields"] == [field("x", "int")]
    assert body["fields"][1]["type"] == {"type": "array", "items": "a.P"}
    assert "dependencies" not in body
    parse_schema(body)


def test_what_a_type_needs_comes_with_it() -> None:
    body, used = resolved(record("R", field("pair", "a.Pair"), field("p", "a.P"), needs={"a.Pair": 1, "a.P": 1}))
    assert used == ["a.P/1", "a.Pair/1"]
    assert parse_schema(body).default() == {"pair": {"l": {"x": 0}, "r": {"x": 0}}, "p": {"x": 0}}


def test_names_keep_their_namespace_inside_another() -> None:
    schema = record(
        "R", field("bare", "Bare"), field("unit", ["null", "a.Unit"]), namespace="z", needs={"Bare": 1, "a.Unit": 1}
    )
    body, _ = resolved(schema)
    parsed = parse_schema(body)
    assert parsed.validate({"bare": {"b": 1}, "unit": "C"}) == []
    assert body["fields"][0]["type"]["namespace"] == ""


def test_a_type_may_hold_itself() -> None:
    body, _ = resolved(record("R", field("n", "a.Node"), needs={"a.Node": 1}))
    assert parse_schema(body).validate({"n": {"next": {"next": None}}}) == []


def test_a_name_of_its_own_goes_before_a_dependency() -> None:
    own = record("P", field("mine", "int"))
    body, _ = resolved(record("R", field("a", own), field("b", "P"), namespace="z", needs={"a.P": 1}))
    assert parse_schema(body).validate({"a": {"mine": 1}, "b": {"mine": 2}}) == []


@pytest.mark.parametrize(
    ("needs", "path", "reason"),
    [
        ([{"fqn": "a.P", "version": 3}], "/dependencies/0", "no type a.P of version 3"),
        (
            [{"fqn": "a.P", "version": 2}, {"fqn": "a.Pair", "version": 1}],
            "/dependencies/1/dependencies/0",
            "two versions, 2 and 1",
        ),
        ("x", "/dependencies", "is an array"),
        ([1], "/dependencies/0", "a dependency is"),
        ([{"fqn": "", "version": 1}], "/dependencies/0/fqn", "no full name"),
        ([{"fqn": "a.P", "version": 0}], "/dependencies/0/version", "no version"),
        ([{"fqn": "a.P", "version": True}], "/dependencies/0/version", "no version"),
    ],
)
def test_a_wrong_dependency_is_named(needs: Any, path: str, reason: str) -> None:
    with pytest.raises(SchemaError) as raised:
        resolved(record("R") | {"dependencies": needs})
    assert reason in raised.value.reason
    assert raised.value.key == path or path.startswith(str(raised.value.key))


def test_a_chain_without_end_is_refused() -> None:
    def endless(name: str, version: int) -> Any:
        following = f"T{int(name[1:]) + 1}"
        return record(name, needs={following: 1})

    with pytest.raises(SchemaError, match=f"more than {MAX_NEEDED}"):
        resolve(record("R", needs={"T1": 1}), endless)
