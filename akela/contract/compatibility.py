"""What breaks when a reader with one schema meets data written with another. Source: Avro 1.12 specification, "Schema Resolution".

Backward compatibility is `breaks(new, old)`: readers of the new schema read what was written with the old one. A field that
Akela calls optional counts as one with the default null.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from akela.contract.avro_types import Array, Enum, Fixed, MapOf, Primitive, Record, Type, Union

MAX_BREAKS: Final = 50  # that are told
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
    """What in `writer`'s data `reader` cannot read, the first ones; empty when it reads all."""
    return _Comparison().breaks(reader, writer)[:MAX_BREAKS]


class _Comparison:
    """One comparison under way. Each pair of records is compared once, however often it is met."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], list[Break]] = {}

    def breaks(self, reader: Type, writer: Type) -> list[Break]:  # noqa: PLR0911  a line per type
        """What breaks, with paths from here."""
        if isinstance(writer, Union):
            return [problem for branch in writer.branches for problem in self.breaks(reader, branch)]
        match reader, writer:
            case Union(), _:
                return self._into_union(reader, writer)
            case Primitive(wanted), Primitive(given) if wanted == given or wanted in _PROMOTIONS.get(given, ()):
                return []
            case Array(wanted_items), Array(given_items):
                return self.breaks(wanted_items, given_items)
            case MapOf(wanted_values), MapOf(given_values):
                return self.breaks(wanted_values, given_values)
            case _ if type(reader) is type(writer) and _same_name(reader, writer):
                return self._named(reader, writer)
        return [Break("", f"{writer} cannot be read as {reader}")]

    def _named(self, reader: Type, writer: Type) -> list[Break]:
        match reader, writer:
            case Record(), Record():
                pair = (id(reader), id(writer))
                if pair not in self._known:
                    self._known[pair] = []  # while it is compared: what it holds of itself is good if the rest is
                    self._known[pair] = self._fields(reader, writer)[:MAX_BREAKS]
                return self._known[pair]
            case Enum(name, symbols), Enum(_, given_symbols):
                gone = [symbol for symbol in given_symbols if symbol not in symbols]
                return [Break("", f"the symbols {', '.join(gone)} of {name} are gone")] if gone else []
            case Fixed(name, size), Fixed(_, given_size) if size != given_size:
                return [Break("", f"{name} had {given_size} bytes and has {size} now")]
        return []

    def _fields(self, reader: Record, writer: Record) -> list[Break]:
        found: list[Break] = []
        for name, field in reader.fields.items():
            given = writer.fields.get(name)
            if given is not None:
                inner = self.breaks(field.type, given.type)
                found += [Break(f"/{name}{problem.path}", problem.reason) for problem in inner]
            elif not (field.has_default or field.optional):
                found.append(Break(f"/{name}", "a new field needs a default, or is optional"))
        return found

    def _into_union(self, reader: Union, writer: Type) -> list[Break]:
        found = [self.breaks(branch, writer) for branch in reader.branches]
        if not all(found):
            return []
        deeper = [problems for problems in found if problems[0].path]
        return deeper[0] if deeper else [Break("", f"{writer} cannot be read as {reader}")]


def _same_name(left: Type, right: Type) -> bool:
    """Avro compares the last part: a namespace may change."""
    named = isinstance(left, Record | Enum | Fixed) and isinstance(right, Record | Enum | Fixed)
    return named and str(left).rpartition(".")[2] == str(right).rpartition(".")[2]
