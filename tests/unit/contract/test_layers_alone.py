"""A layer that fits the schema on its own fits it merged with any others that do: so Control checks one layer, not every combination."""

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from akela.contract.avro import parse_schema
from akela.contract.errors import MergeError
from akela.contract.merge import Layer, merge


def record(name: str, *fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


INTS = {"type": "array", "items": "int"}
# Everything that could make a part that is good by itself bad in company: unions of records, records without defaults, maps of either.
SCHEMA: Final = parse_schema(
    record(
        "C",
        field("two", [record("A", field("x", "int")), record("B", field("y", "int"), field("x", "string"))]),
        field("maybe", ["null", record("D", field("x", "int"), field("y", "string"))]),
        field("text", ["string", record("E", field("x", "int"), field("list", INTS, overrideStrategy="append"))]),
        field("map", {"type": "map", "values": record("F", field("x", "int"), field("y", "string", optional=True))}),
        field("either", {"type": "map", "values": ["int", record("G", field("x", "int"), field("y", "int"))]}),
        field("mixed", ["null", {"type": "map", "values": "int"}, record("H", field("x", "int"))]),
        field(
            "deep",
            record(
                "I",
                field("in", record("J", field("list", INTS, optional=True, overrideStrategy="append"))),
                field("n", "int"),
            ),
        ),
    )
)
SCALARS = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["a", "b"]))
KEYS = st.sampled_from(["x", "y", "k", "list", "in", "n"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.dictionaries(KEYS, inner, max_size=3), st.lists(st.integers(0, 3), max_size=2)),
    max_leaves=6,
)
TWO = st.one_of(
    st.fixed_dictionaries({"x": st.integers(0, 3)}), st.fixed_dictionaries({"y": st.integers(0, 3), "x": st.just("a")})
)
LAYERS = st.fixed_dictionaries(
    {},
    optional={
        "two": st.one_of(TWO, VALUES), "maybe": VALUES, "text": VALUES, "map": st.dictionaries(KEYS, VALUES, max_size=2),
        "either": st.dictionaries(KEYS, VALUES, max_size=2), "mixed": VALUES, "deep": VALUES,
    },
)  # fmt: skip


def fits_alone(data: dict[str, Any]) -> bool:
    if SCHEMA.validate(data, partial=True):
        return False
    try:
        merge(SCHEMA, [Layer("alone", 1, data)])
    except MergeError:
        return False
    return True


def good_part(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a layer that are good by themselves."""
    return {name: value for name, value in data.items() if fits_alone({name: value})}


@settings(max_examples=300)
@given(st.lists(LAYERS.map(good_part), min_size=2, max_size=4))
def test_layers_that_fit_alone_fit_together(layers: list[dict[str, Any]]) -> None:
    merge(SCHEMA, [Layer(str(weight), weight, data) for weight, data in enumerate(layers)])


def test_the_generated_layers_say_something() -> None:
    assert fits_alone(
        {"two": {"y": 1, "x": "a"}, "text": {"list": [1]}, "either": {"k": {"x": 1, "y": 2}}, "mixed": {"x": 1}}
    )
    assert not fits_alone({"two": {"y": 1}})
    assert not fits_alone({"maybe": {"x": "a"}})
