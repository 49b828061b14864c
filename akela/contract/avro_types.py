"""The types inside an Avro schema as a tree, built from its JSON with the place of every mistake.

Not here: checking values against them (`akela.contract.avro`), merging (`akela.contract.merge`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from akela.contract.canonical import MAX_DEPTH
from akela.contract.errors import SchemaError

PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
MAX_EXPANSION: Final = 10_000  # parts of one value, every field present
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_ZERO: Final[Mapping[str, Any]] = {
    "null": None, "boolean": False, "int": 0, "long": 0, "float": 0.0, "double": 0.0, "bytes": "", "string": "",
}  # fmt: skip


class Authority(StrEnum):
    """Who has the last word on a field: `"akela.authority"` in a schema. What is below a field inherits its word."""

    SERVER = "server"  # a device changes nothing
    DEVICE = "device"  # what the device says stands above every layer
    LAST = "last"  # whoever spoke last: the device's value stands until a layer changes the field afterwards
    HOLD = "hold"  # what the device says is a proposal that an operator decides


@dataclass(frozen=True, slots=True)
class Primitive:
    """One of Avro's primitive types."""

    kind: str

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class Fixed:
    """A named run of bytes."""

    name: str
    size: int

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Enum:
    """A named set of symbols."""

    name: str
    symbols: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Array:
    """A list of items of one type."""

    items: "Type"

    def __str__(self) -> str:
        return f"array of {self.items}"


@dataclass(frozen=True, slots=True)
class MapOf:
    """Values of one type by text key."""

    values: "Type"

    def __str__(self) -> str:
        return f"map of {self.values}"


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types."""

    branches: tuple["Type", ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.branches))


@dataclass(slots=True, eq=False)
class Record:
    """A named record; equal only to itself, because it may hold itself."""

    name: str
    fields: dict[str, "Field"] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


Type = Primitive | Fixed | Enum | Array | MapOf | Union | Record


@dataclass(frozen=True, slots=True)
class Field:
    """A record's field."""

    name: str
    type: Type
    optional: bool  # it may be null
    has_default: bool
    default: Any  # meaningful if has_default
    append: bool  # a higher layer's array is added to the lower one's
    authority: Authority | None = None  # None: as what it is part of; `server` where nothing is said


def build(raw: object) -> tuple[Type, Any]:
    """The tree of a schema, and the same schema in standard Avro (Kaa's `optional` spelled as a union).

    Raises: SchemaError.
    """
    builder = _Builder()
    root = builder.type(raw, "", "", 0)
    return root, builder.standard(raw, "")


def check_expansion(root: Type) -> None:
    """Refuse a schema whose values are huge though it is short: named types that hold others twice double at each step.

    Raises: SchemaError.
    """
    if _expansion(root, {}) > MAX_EXPANSION:
        raise SchemaError(f"a value of it has more than {MAX_EXPANSION} parts, counting each use of a named type")


def _expansion(node: Type, known: dict[int, int]) -> int:
    match node:
        case Record():
            if id(node) not in known:
                known[id(node)] = (
                    1  # while it is counted: a record inside itself is optional there, or has no default at all
                )
                known[id(node)] = 1 + sum(_expansion(item.type, known) for item in node.fields.values())
            return known[id(node)]
        case Array(inner) | MapOf(inner):
            return 1 + _expansion(inner, known)
        case Union(branches):
            return max(_expansion(branch, known) for branch in branches)
    return 1


def default_of(node: Type, _inside: tuple[Record, ...] = ()) -> Any:  # noqa: PLR0911  a line per type
    """The zero of a type, with the defaults of its fields. Raises: SchemaError for a record that must hold itself."""
    match node:
        case Primitive(kind):
            return _ZERO[kind]
        case Fixed(_, size):
            return "\0" * size
        case Enum(_, symbols):
            return symbols[0]
        case Array():
            return []
        case MapOf():
            return {}
        case Union(branches):
            return default_of(branches[0], _inside)
        case Record():
            if node in _inside:
                raise SchemaError(
                    f"{node.name} always holds another {node.name}: make the field optional", key=node.name
                )
            return {name: field_default(item, (*_inside, node)) for name, item in node.fields.items()}


def with_defaults(node: Type, value: Any) -> Any:
    """`value` with what its records leave out filled in by their defaults."""
    match node:
        case Record() if isinstance(value, Mapping):
            filled = {
                name: with_defaults(item.type, value[name]) if name in value else field_default(item, (node,))
                for name, item in node.fields.items()
            }
            return filled | {key: value[key] for key in value if key not in node.fields}
        case Array(items) if isinstance(value, list):
            return [with_defaults(items, item) for item in value]
        case MapOf(values) if isinstance(value, Mapping):
            return {key: with_defaults(values, item) for key, item in value.items()}
        case Union(branches):
            structured = [b for b in branches if not isinstance(b, Primitive | Enum | Fixed)]
            return with_defaults(structured[0], value) if len(structured) == 1 and value is not None else value
    return value


def field_default(item: Field, inside: tuple[Record, ...] = ()) -> Any:
    """A field's default: its own, else null where that is allowed, else its type's zero."""
    if item.has_default:
        return with_defaults(item.type, item.default)
    return None if item.optional else default_of(item.type, inside)


class _Builder:
    def __init__(self) -> None:
        self._named: dict[str, Type] = {}

    def type(self, raw: object, place: str, namespace: str, depth: int) -> Type:
        if depth > MAX_DEPTH:
            raise SchemaError(f"nested deeper than {MAX_DEPTH}", key=place)
        match raw:
            case str():
                return self._reference(raw, place, namespace)
            case list():
                return self._union(raw, place, namespace, depth)
            case Mapping() if isinstance(raw.get("type"), str):
                return self._complex(raw["type"], raw, place, namespace, depth)
            case Mapping() if "type" in raw:
                return self.type(raw["type"], f"{place}/type", namespace, depth + 1)
        raise SchemaError('a type is a name, an array of types, or an object with "type"', key=place)

    def standard(self, raw: Any, place: str) -> Any:
        """Standard Avro: `optional` becomes a union with null; a default of Kaa's is left to Akela."""
        match raw:
            case list():
                return [self.standard(item, place) for item in raw]
            case Mapping():
                copy = {
                    key: self.standard(item, place) if key in ("type", "items", "values") else item
                    for key, item in raw.items()
                }
                if raw.get("type") == "record":
                    copy["fields"] = [self._standard_field(item) for item in raw["fields"]]
                return copy
        return raw

    def _standard_field(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        kind = self.standard(raw["type"], "")
        if raw.get("optional") is True:
            branches = kind if isinstance(kind, list) else [kind]
            kind = branches if "null" in branches else ["null", *branches]
        return {"name": raw["name"], "type": kind}

    def _reference(self, name: str, place: str, namespace: str) -> Type:
        if name in PRIMITIVES:
            return Primitive(name)
        for full in (f"{namespace}.{name}", name) if namespace and "." not in name else (name,):
            if full in self._named:
                return self._named[full]
        raise SchemaError(f"unknown type {name!r}; primitives are {', '.join(PRIMITIVES)}", key=place)

    def _union(self, raw: list[Any], place: str, namespace: str, depth: int) -> Type:
        branches = tuple(self.type(item, f"{place}/{index}", namespace, depth + 1) for index, item in enumerate(raw))
        if not branches:
            raise SchemaError("a union has at least one type", key=place)
        if any(isinstance(branch, Union) for branch in branches):
            raise SchemaError("a union holds no union", key=place)
        kinds = [(type(b), getattr(b, "kind", None) or getattr(b, "name", None)) for b in branches]
        if len(set(kinds)) < len(kinds):  # Avro specification, "Unions": only named types may come more than once
            raise SchemaError(f"a union holds each type once: {', '.join(map(str, branches))}", key=place)
        return Union(branches)

    def _complex(self, kind: str, raw: Mapping[str, Any], place: str, namespace: str, depth: int) -> Type:
        match kind:
            case "record" | "error":
                return self._record(raw, place, namespace, depth)
            case "enum":
                return self._enum(raw, place, namespace)
            case "fixed":
                size = raw.get("size")
                if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= 2**16:
                    raise SchemaError("a fixed has a size of 1 to 65536", key=f"{place}/size")
                full = self._full_name(raw, place, namespace)
                return self._name(full, Fixed(full, size), place)
            case "array":
                items = self.type(raw.get("items"), f"{place}/items", namespace, depth + 1)
                if _is_empty(items, {}):
                    raise SchemaError("an array of nothing: its items need bytes", key=f"{place}/items")
                return Array(items)
            case "map":
                return MapOf(self.type(raw.get("values"), f"{place}/values", namespace, depth + 1))
        return self._reference(kind, f"{place}/type", namespace)

    def _record(self, raw: Mapping[str, Any], place: str, namespace: str, depth: int) -> Type:
        full = self._full_name(raw, place, namespace)
        record = Record(full)
        self._name(full, record, place)
        fields = raw.get("fields")
        if not isinstance(fields, list):
            raise SchemaError('a record has "fields", an array', key=f"{place}/fields")
        inner = full.rpartition(".")[0]
        for index, item in enumerate(fields):
            made = self._field(item, f"{place}/fields/{index}", inner, depth)
            if made.name in record.fields:
                raise SchemaError(f"field {made.name!r} is there twice", key=f"{place}/fields/{index}/name")
            record.fields[made.name] = made
        return record

    def _field(self, raw: object, place: str, namespace: str, depth: int) -> Field:
        if not isinstance(raw, Mapping):
            raise SchemaError('a field is an object with "name" and "type"', key=place)
        name = raw.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or "." in name:
            raise SchemaError(f"{name!r} is no field name: letters, digits and _, no digit first", key=f"{place}/name")
        if "type" not in raw:
            raise SchemaError(f"field {name!r} has no type", key=f"{place}/type")
        kind = self.type(raw["type"], f"{place}/type", namespace, depth + 1)
        null = Primitive("null")
        if raw.get("optional") is True and not (isinstance(kind, Union) and null in kind.branches):
            kind = Union((null, *(kind.branches if isinstance(kind, Union) else (kind,))))
        strategy = raw.get("overrideStrategy", "replace")
        if strategy not in ("replace", "append"):
            raise SchemaError(
                f"{strategy!r} is no override strategy: replace or append", key=f"{place}/overrideStrategy"
            )
        optional = kind == null or (isinstance(kind, Union) and null in kind.branches)
        has_default = "default" in raw or "by_default" in raw
        default = _as_text(raw.get("default", raw.get("by_default")), kind)
        return Field(name, kind, optional, has_default, default, strategy == "append", _authority(raw, place))

    def _enum(self, raw: Mapping[str, Any], place: str, namespace: str) -> Type:
        symbols = raw.get("symbols")
        if (
            not isinstance(symbols, list)
            or not symbols
            or not all(isinstance(s, str) and _NAME.fullmatch(s) for s in symbols)
        ):
            raise SchemaError('an enum has "symbols", a non-empty array of names', key=f"{place}/symbols")
        if len(set(symbols)) != len(symbols):
            raise SchemaError("an enum's symbols differ from each other", key=f"{place}/symbols")
        full = self._full_name(raw, place, namespace)
        return self._name(full, Enum(full, tuple(symbols)), place)

    def _full_name(self, raw: Mapping[str, Any], place: str, namespace: str) -> str:
        name = raw.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SchemaError(f"{name!r} is no name: letters, digits and _, no digit first", key=f"{place}/name")
        own = raw.get("namespace", namespace)
        return name if "." in name or not own else f"{own}.{name}"

    def _name(self, full: str, made: Type, place: str) -> Type:
        if full in self._named:
            raise SchemaError(f"{full} is defined twice", key=place)
        self._named[full] = made
        return made


def _authority(raw: Mapping[str, Any], place: str) -> Authority | None:
    if "akela.authority" not in raw:
        return None
    said = raw["akela.authority"]
    if said not in list(Authority):
        allowed = ", ".join(Authority)
        raise SchemaError(f"{said!r} is no authority: {allowed}", key=f"{place}/akela.authority")
    return Authority(said)


def _as_text(default: object, kind: Type) -> object:
    """Kaa writes the default of bytes as an array of numbers; the plain value is a string."""
    plain = kind.branches[0] if isinstance(kind, Union) else kind
    is_bytes = plain == Primitive("bytes") or isinstance(plain, Fixed)
    if is_bytes and isinstance(default, list) and all(isinstance(n, int) and 0 <= n < 256 for n in default):
        return bytes(default).decode("latin-1")
    return default


def _is_empty(node: Type, known: dict[int, bool]) -> bool:
    """Whether a value of this type takes no bytes: an array of such could claim any length in a few bytes."""
    if isinstance(node, Record):
        if id(node) not in known:
            known[id(node)] = False  # a record that holds itself is not empty for that
            known[id(node)] = all(_is_empty(item.type, known) for item in node.fields.values())
        return known[id(node)]
    return node == Primitive("null")
