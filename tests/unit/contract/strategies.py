"""Values for property tests: JSON as Akela takes it, a schema with every rule of merging, and layers of it."""

from typing import Any, Final

from hypothesis import strategies as st

from akela.contract.avro import parse_schema

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NUMBERS = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3)
)
SCALARS = st.one_of(st.booleans(), NUMBERS, TEXT)
JSON = st.recursive(
    st.one_of(st.none(), SCALARS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)
NO_NULL_OBJECTS = st.recursive(
    st.dictionaries(TEXT, SCALARS, max_size=4),
    lambda inner: st.dictionaries(TEXT, st.one_of(SCALARS, inner, st.lists(SCALARS, max_size=3)), max_size=4),
    max_leaves=12,
)

SCHEMA_JSON: Final[dict[str, Any]] = {
    "type": "record",
    "name": "C",
    "fields": [
        {"name": "n", "type": "int", "by_default": 7},
        {"name": "s", "type": "string", "optional": True},
        {"name": "rep", "type": {"type": "array", "items": "int"}},
        {"name": "app", "type": {"type": "array", "items": "int"}, "overrideStrategy": "append"},
        {"name": "m", "type": {"type": "map", "values": "int"}},
        {"name": "r", "type": {"type": "record", "name": "R", "fields": [
            {"name": "x", "type": "double"}, {"name": "y", "type": ["null", "string"], "default": None}]}},
        {"name": "o", "type": "R", "optional": True},
    ],
}  # fmt: skip
SCHEMA = parse_schema(SCHEMA_JSON)

SMALL = st.integers(-9, 9)
RECORD = st.fixed_dictionaries({}, optional={"x": st.floats(-9, 9), "y": st.one_of(st.none(), TEXT)})
LAYER_DATA = st.fixed_dictionaries(
    {},
    optional={
        "n": SMALL,
        "s": st.one_of(st.none(), TEXT),
        "rep": st.lists(SMALL, max_size=3),
        "app": st.lists(SMALL, max_size=3),
        "m": st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), SMALL)),
        "r": RECORD,
        "o": st.one_of(st.none(), RECORD),
    },
)
