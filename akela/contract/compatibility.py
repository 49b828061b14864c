"""What breaks when a reader with one schema meets data written with another. Source: Avro 1.12 specification, "Schema Resolution".

Backward compatibility is `breaks(new, old)`: readers of the new schema read what was written with the old one. A field that
Akela calls optional counts as one with the default null.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from akela.contract.avro_types import Array, Enum, Field, Fixed, MapOf, Primitive, Record, Type, Union

_PROMOTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that a reader cannot take: the path of the field, and why."""

    path: str
    reason: str


def breaks(reader: Type, writer: Type) -> list[Break]:
    """Everything in `writer`'s data that `reader` cannot read; empty when it reads all."""
    return list(_breaks(reader, writer, "", frozenset()))


def _breaks(reader: Type, writer: Type, path: str, inside: frozenset[tuple[int, int]]) -> Iterator[Break]:
    if isinstance(writer, Union):
        for branch in writer.branches:
            yield from _breaks(reader, branch, path, inside)
        return
    match reader, writer:
        case Union(), _:
            yield from _into_union(reader, writer, path, inside)
        case Primitive(wanted), Primitive(given) if wanted == given or wanted in _PROMOTIONS.get(given, ()):
            return
        case Array(wanted_items), Array(given_items):
            yield from _breaks(wanted_items, given_items, path, inside)
        case MapOf(wanted_values), MapOf(given_values):
            yield from _breaks(wanted_values, given_values, path, inside)
        case _ if type(reader) is type(writer) and _same_name(reader, writer):
            yield from _named(reader, writer, path, inside)
        case _:
            yield Break(path, f"{writer} cannot be read as {reader}")


def _named(reader: Type, writer: Type, path: str, inside: frozenset[tuple[int, int]]) -> Iterator[Break]:
    match reader, writer:
        case Record(), Record():
            pair = (id(reader), id(writer))
            if pair not in inside:
                yield from _fields(reader, writer, path, inside | {pair})
        case Enum(name, symbols), Enum(_, given_symbols):
            gone = [symbol for symbol in given_symbols if symbol not in symbols]
            if gone:
                yield Break(path, f"the symbols {', '.join(gone)} of {name} are gone")
        case Fixed(name, size), Fixed(_, given_size) if size != given_size:
            yield Break(path, f"{name} had {given_size} bytes and has {size} now")


def _fields(reader: Record, writer: Record, path: str, inside: frozenset[tuple[int, int]]) -> Iterator[Break]:
    for name, field in reader.fields.items():
        given = writer.fields.get(name)
        if given is not None:
            yield from _breaks(field.type, given.type, f"{path}/{name}", inside)
        elif not _may_be_missing(field):
            yield Break(f"{path}/{name}", "a new field needs a default, or is optional")


def _into_union(reader: Union, writer: Type, path: str, inside: frozenset[tuple[int, int]]) -> Iterator[Break]:
    found: list[list[Break]] = []
    for branch in reader.branches:
        problems = list(_breaks(branch, writer, path, inside))
        if not problems:
            return
        found.append(problems)
    deeper = [problems for problems in found if problems[0].path != path]
    yield from deeper[0] if deeper else [Break(path, f"{writer} cannot be read as {reader}")]


def _may_be_missing(field: Field) -> bool:
    return field.has_default or field.optional


def _same_name(left: Type, right: Type) -> bool:
    """Avro compares the last part: a namespace may change."""
    named = isinstance(left, Record | Enum | Fixed) and isinstance(right, Record | Enum | Fixed)
    return named and str(left).rpartition(".")[2] == str(right).rpartition(".")[2]
