"""Avro schemas as Akela reads them: plain JSON values checked field by field, defaults, single-object encoding.

Plain JSON has no union tags: `21.5` is a value of `["null", "double"]`. Bytes and fixed are strings of code points 0 to 255,
as in Avro's own default values. Kaa's field attributes are understood: `optional` (the type may be null), `by_default`,
`overrideStrategy` ("append" or "replace", for `akela.contract.merge`). Source: Avro 1.12 specification; Kaa 0.10, "Configuration schema".
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from akela.contract.avro_types import (
    Array,
    Enum,
    Field,
    Fixed,
    MapOf,
    Primitive,
    Record,
    Type,
    Union,
    build,
    check_expansion,
    default_of,
    field_default,
    with_defaults,
)
from akela.contract.errors import PayloadError, SchemaError

MARKER: Final = b"\xc3\x01"  # Avro single-object encoding, version 1
HEADER_SIZE: Final = 10  # marker and 8 bytes of fingerprint, little-endian
MAX_TOLD: Final = 50  # problems of one union
_HOLDING: Final = (Record, Array, MapOf)
_RANGES: Final[Mapping[str, tuple[int, int]]] = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a value: the path of the field ("" is the value itself), and what is allowed."""

    path: str
    reason: str


Memo = dict[tuple[int, int, bool], list[Problem]]  # by union, value, partial: what is wrong, with paths from there


class ParsedSchema:
    """One schema, checked. Made by `parse_schema`."""

    def __init__(self, raw: object, root: Type, standard: Any) -> None:
        self.raw = raw
        self.root = root
        self._standard = standard

    @cached_property
    def fingerprint(self) -> int:
        """CRC-64-AVRO of the parsing canonical form; fastavro gives its bytes in little-endian order."""
        digest = fingerprint(to_parsing_canonical_form(self._standard), "CRC-64-AVRO")
        return int.from_bytes(bytes.fromhex(digest), "little")

    def validate(self, value: object, *, partial: bool = False) -> list[Problem]:
        """Everything wrong with a plain JSON value; empty when it is good.

        `partial`: a configuration layer, in which only the fields that it mentions are checked and a null removes a map's key.
        """
        return list(_problems(self.root, value, "", partial))

    def default(self) -> Any:
        """The value that the schema's defaults give; a field without one gets its type's zero (Kaa's rule)."""
        return default_of(self.root)

    def encode(self, value: object) -> bytes:
        """Avro single-object encoding of a valid plain value."""
        body = io.BytesIO()
        fastavro.schemaless_writer(body, self._standard, _to_avro(self.root, with_defaults(self.root, value)))
        return MARKER + self.fingerprint.to_bytes(8, "little") + body.getvalue()

    def encode_effective(self, value: object) -> bytes:
        """The same for an effective configuration: an optional field that is left out is null, whatever its default."""
        return self.encode(_with_nulls(self.root, value))

    def resolve(self, value: object, reader: "ParsedSchema") -> Any:
        """An effective configuration of this schema as one of `reader`: by Avro's schema resolution; what only `reader` has is its default.

        Raises: PayloadError when there is none.
        """
        body = self.encode_effective(value)[HEADER_SIZE:]
        try:
            found = fastavro.schemaless_reader(
                io.BytesIO(body), self._standard, reader.resolving, return_record_name=True
            )
            resolved = _from_avro(reader.root, found)
        except Exception as error:
            raise PayloadError(f"it cannot be resolved: {_short(error)}") from error
        problems = reader.validate(resolved)
        if problems:
            raise PayloadError(f"it cannot be resolved: {problems[0].reason}", key=problems[0].path)
        return resolved

    @cached_property
    def resolving(self) -> Any:
        """The schema with the default of every field, as a reader of what others wrote needs it."""
        records = {node.name: node for node in _records(self.root)}
        return _spelled_out(self._standard, records)

    def decode_body(self, body: bytes) -> Any:
        """The plain value of an Avro body. Raises: PayloadError."""
        stream = io.BytesIO(body)
        try:
            value = fastavro.schemaless_reader(stream, self._standard, None, return_record_name=True)
        except Exception as error:
            raise PayloadError("the Avro body does not fit its schema") from error
        if stream.tell() != len(body):
            raise PayloadError(f"{len(body) - stream.tell()} bytes behind the Avro body")
        return _from_avro(self.root, value)


def parse_schema(raw: object) -> ParsedSchema:
    """Read a schema. Raises: SchemaError whose `key` is the place in the schema and whose reason says what is allowed there."""
    root, standard = build(raw)
    check_expansion(root)
    try:
        parsed = fastavro.parse_schema(standard)
    except Exception as error:
        raise SchemaError(f"no Avro schema: {error}") from error
    schema = ParsedSchema(raw, root, parsed)
    for place, field in _fields(root):
        if field.has_default:
            problem = next(_problems(field.type, with_defaults(field.type, field.default), "", partial=False), None)
            if problem is not None:
                raise SchemaError(f"the default does not fit: {problem.reason}", key=f"{place}/default{problem.path}")
    schema.default()
    return schema


def check(node: Type, value: object, path: str) -> list[Problem]:
    """Everything wrong with a value of a type inside a schema; `path` is where it stands."""
    return list(_problems(node, value, path, partial=False))


def decode(payload: bytes, lookup: Callable[[int], ParsedSchema | None]) -> Any:
    """The plain value of an Avro single-object payload; `lookup` finds the schema by fingerprint. Raises: PayloadError."""
    if len(payload) < HEADER_SIZE or not payload.startswith(MARKER):
        raise PayloadError("no Avro single-object encoding: C3 01 and 8 bytes of fingerprint come first")
    number = int.from_bytes(payload[2:HEADER_SIZE], "little")
    schema = lookup(number)
    if schema is None:
        raise PayloadError(f"no schema with fingerprint {number:016x}")
    return schema.decode_body(payload[HEADER_SIZE:])


def _records(root: Type) -> Iterator[Record]:
    """The records inside a type, each once."""
    seen: set[int] = set()
    stack: list[Type] = [root]
    while stack:
        match stack.pop():
            case Record() as node if id(node) not in seen:
                seen.add(id(node))
                yield node
                stack.extend(field.type for field in node.fields.values())
            case Array(inner) | MapOf(inner):
                stack.append(inner)
            case Union(branches):
                stack.extend(branches)


def _spelled_out(standard: Any, records: Mapping[str, Record]) -> Any:
    """A copy of a schema of fastavro's in which every field has its default, as a value that fastavro would read."""
    match standard:
        case list():
            return [_spelled_out(item, records) for item in standard]
        case {"fields": list(fields), "name": name}:
            own = records[name].fields
            spelled = [
                {**item, "type": _spelled_out(item["type"], records), "default": _default_read(own[item["name"]])}
                for item in fields
            ]
            return {**standard, "fields": spelled}
        case {}:
            return {
                key: _spelled_out(item, records) if key in ("type", "items", "values") else item
                for key, item in standard.items()
            }
    return standard


def _default_read(field: Field) -> Any:
    return _to_avro(field.type, field_default(field))


def _with_nulls(node: Type, value: Any) -> Any:
    """`value` with null for each optional field that is left out."""
    match node:
        case Record() if isinstance(value, Mapping):
            absent = {name: None for name, field in node.fields.items() if field.optional and name not in value}
            return absent | {name: _with_nulls(node.fields[name].type, item) for name, item in value.items()}
        case Array(items) if isinstance(value, list):
            return [_with_nulls(items, item) for item in value]
        case MapOf(values) if isinstance(value, Mapping):
            return {key: _with_nulls(values, item) for key, item in value.items()}
        case Union(branches) if value is not None:
            holding = [branch for branch in branches if isinstance(branch, _HOLDING)]
            return _with_nulls(holding[0], value) if len(holding) == 1 else value
    return value


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:120] or type(error).__name__


def _fields(root: Type) -> Iterator[tuple[str, Field]]:
    seen: set[int] = set()
    stack: list[tuple[str, Type]] = [("", root)]
    while stack:
        place, node = stack.pop()
        match node:
            case Record() if id(node) not in seen:
                seen.add(id(node))
                for field in node.fields.values():
                    yield f"{place}/{field.name}", field
                    stack.append((f"{place}/{field.name}", field.type))
            case Array(items):
                stack.append((place, items))
            case MapOf(values):
                stack.append((place, values))
            case Union(branches):
                stack.extend((place, branch) for branch in branches)


def _problems(node: Type, value: object, path: str, partial: bool, memo: Memo | None = None) -> Iterator[Problem]:
    match node:
        case Primitive(kind):
            yield from _primitive_problems(kind, value, path)
        case Record():
            yield from _record_problems(node, value, path, partial, memo)
        case Array(items):
            if not isinstance(value, list):
                yield Problem(path, f"{_shown(value)} is no array")
            else:
                for index, item in enumerate(value):
                    yield from _problems(items, item, f"{path}/{index}", False, memo)
        case MapOf(values):
            yield from _map_problems(values, value, path, partial, memo)
        case Enum(_, symbols):
            if value not in symbols:
                yield Problem(path, f"{_shown(value)} is none of {', '.join(symbols)}")
        case Fixed(_, size):
            if not _is_bytes(value) or len(str(value)) != size:
                yield Problem(path, f"{_shown(value)} is no string of {size} code points 0 to 255")
        case Union(branches):
            yield from _union_problems(branches, value, path, partial, memo)


def _primitive_problems(kind: str, value: object, path: str) -> Iterator[Problem]:
    good = False
    match kind:
        case "null":
            good = value is None
        case "boolean":
            good = isinstance(value, bool)
        case "int" | "long":
            low, high = _RANGES[kind]
            good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        case "float" | "double":
            good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "string":
            good = isinstance(value, str)
        case "bytes":
            good = _is_bytes(value)
    if not good:
        yield Problem(path, f"{_shown(value)} is no {kind}")


def _record_problems(node: Record, value: object, path: str, partial: bool, memo: Memo | None) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, f"{_shown(value)} is no object ({node.name})")
        return
    for key in value:
        if key not in node.fields:
            allowed = ", ".join(node.fields) or "none"
            yield Problem(f"{path}/{key}", f"unknown field; {node.name} has: {allowed}")
    for name, field in node.fields.items():
        if name in value:
            yield from _problems(field.type, value[name], f"{path}/{name}", partial, memo)
        elif not partial and not field.has_default and not field.optional:
            yield Problem(f"{path}/{name}", "missing")


def _map_problems(values: Type, value: object, path: str, partial: bool, memo: Memo | None) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, f"{_shown(value)} is no object (a map)")
        return
    for key, item in value.items():
        if "\0" in key:
            yield Problem(f"{path}/{key!r}", "a key holds no NUL")
        if not (partial and item is None):
            yield from _problems(values, item, f"{path}/{key}", partial, memo)


def _union_problems(
    branches: tuple[Type, ...], value: object, path: str, partial: bool, memo: Memo | None
) -> Iterator[Problem]:
    """Where several branches hold others, each part of the value is tried once per union: else every level would double the work."""
    if sum(isinstance(branch, _HOLDING) for branch in branches) < 2:
        yield from _branch_problems(branches, value, path, partial, memo)
        return
    memo = {} if memo is None else memo
    key = (id(branches), id(value), partial)
    if key not in memo:
        memo[key] = list(islice(_branch_problems(branches, value, "", partial, memo), MAX_TOLD))
    yield from (Problem(path + problem.path, problem.reason) for problem in memo[key])


def _branch_problems(
    branches: tuple[Type, ...], value: object, path: str, partial: bool, memo: Memo | None
) -> Iterator[Problem]:
    found: list[list[Problem]] = []
    for branch in branches:
        problems = list(_problems(branch, value, path, partial, memo))
        if not problems:
            return
        if branch != Primitive("null"):
            found.append(problems)
    if len(found) == 1:
        yield from found[0]
    else:
        deepest = max(found, key=lambda problems: max(len(problem.path) for problem in problems), default=[])
        if deepest and deepest[0].path != path:
            yield from deepest
        else:
            yield Problem(path, f"{_shown(value)} fits no branch: {', '.join(map(str, branches))}")


def _to_avro(node: Type, value: Any) -> Any:
    match node:
        case Primitive("bytes") | Fixed():
            return value.encode("latin-1")
        case Record():
            return {name: _to_avro(field.type, value.get(name)) for name, field in node.fields.items()}
        case Array(items):
            return [_to_avro(items, item) for item in value]
        case MapOf(values):
            return {key: _to_avro(values, item) for key, item in value.items()}
        case Union(branches):
            branch = next(b for b in branches if not any(_problems(b, value, "", partial=False)))
            converted = _to_avro(branch, value)
            return (branch.name, converted) if isinstance(branch, Record | Enum | Fixed) else converted
    return value


def _from_avro(node: Type, value: Any) -> Any:
    match node:
        case Primitive("bytes") | Fixed():
            return value.decode("latin-1")
        case Record():
            return {name: _from_avro(field.type, value[name]) for name, field in node.fields.items()}
        case Array(items):
            return [_from_avro(items, item) for item in value]
        case MapOf(values):
            return {key: _from_avro(values, item) for key, item in value.items()}
        case Union(branches):
            return _from_branch(branches, value)
    return value


def _from_branch(branches: tuple[Type, ...], value: Any) -> Any:
    """The plain value of a union's; fastavro gives what has a name with its name, which leaves nothing to try."""
    if isinstance(value, tuple):
        name, inner = value
        named = {branch.name: branch for branch in branches if isinstance(branch, Record | Enum | Fixed)}
        return _from_avro(named[name], inner)
    for branch in branches:
        try:
            plain = _from_avro(branch, value)
        except (AttributeError, KeyError, TypeError, IndexError):
            continue
        if not any(_problems(branch, plain, "", partial=False)):
            return plain
    raise PayloadError("the Avro body fits no branch of its union")


def _is_bytes(value: object) -> bool:
    return isinstance(value, str) and all(ord(character) < 256 for character in value)


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, bool | None) else {None: "null", True: "true", False: "false"}[value]
    return text if len(text) <= 40 else text[:37] + "..."
