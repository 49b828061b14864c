"""References to named types that live elsewhere: a schema says what it needs, the result needs nothing (Kaa's Common Type Library).

`"dependencies": [{"fqn": "acme.Position", "version": 1}]` at the top of a schema makes `acme.Position` a type inside it. The first
place that names it gets its definition, later ones keep the name; what the definition itself depends on is resolved likewise.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from akela.contract.avro_types import PRIMITIVES
from akela.contract.errors import SchemaError

MAX_NEEDED: Final = 64  # types that one schema may need, all told
NAMED: Final = ("record", "error", "enum", "fixed")

Lookup = Callable[[str, int], Any]  # the schema of a named type's version as it was given, or None


def resolve(raw: object, lookup: Lookup) -> tuple[Any, list[str]]:
    """The self-contained schema, and `{name}/{version}` of every type that went into it, sorted.

    Raises: SchemaError whose `key` is the place of the first wrong dependency.
    """
    work = _Resolver(lookup)
    work.need(raw, "")
    value = work.type(raw, "")
    return value, sorted(f"{name}/{version}" for name, (version, _) in work.needed.items())


class _Resolver:
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._defined: set[str] = set()
        self.needed: dict[str, tuple[int, Any]] = {}  # full name -> version, schema as given

    def need(self, raw: object, place: str) -> None:
        """Look up what a schema depends on, and what that depends on."""
        dependencies = raw.get("dependencies", []) if isinstance(raw, Mapping) else []
        if not isinstance(dependencies, list):
            raise SchemaError('"dependencies" is an array of {"fqn", "version"}', key=f"{place}/dependencies")
        for index, item in enumerate(dependencies):
            here = f"{place}/dependencies/{index}"
            name, version = _dependency(item, here)
            known = self.needed.get(name)
            if known is not None and known[0] != version:
                raise SchemaError(f"{name} is needed in two versions, {known[0]} and {version}", key=here)
            if known is None:
                self._add(name, version, here)

    def _add(self, name: str, version: int, place: str) -> None:
        found = self._lookup(name, version)
        if found is None:
            raise SchemaError(f"no type {name} of version {version}", key=place)
        if len(self.needed) >= MAX_NEEDED:
            raise SchemaError(f"more than {MAX_NEEDED} types are needed", key=place)
        self.needed[name] = (version, found)
        self.need(found, place)

    def type(self, raw: Any, namespace: str) -> Any:
        """A type with every reference in it resolved."""
        match raw:
            case str():
                return self._name(raw, namespace)
            case list():
                return [self.type(item, namespace) for item in raw]
            case Mapping():
                return self._object(raw, namespace)
        return raw

    def _name(self, name: str, namespace: str) -> Any:
        if name in PRIMITIVES:
            return name
        inside = f"{namespace}.{name}"
        full = inside if namespace and "." not in name and (inside in self._defined or inside in self.needed) else name
        if full in self._defined or full not in self.needed:
            return full if full in self._defined else name
        definition = dict(self.needed[full][1])
        space, _, last = full.rpartition(".")
        return self._object(definition | {"name": last, "namespace": space}, "")

    def _object(self, raw: Mapping[str, Any], namespace: str) -> Any:
        made = {key: value for key, value in raw.items() if key != "dependencies"}
        kind = raw.get("type")
        if not isinstance(kind, str):
            return made | {"type": self.type(kind, namespace)} if kind is not None else made
        if kind in NAMED and isinstance(raw.get("name"), str):
            full = full_name(raw, namespace)
            self._defined.add(full)
            fields = raw.get("fields")
            if isinstance(fields, list):
                inner = full.rpartition(".")[0]
                made["fields"] = [self._field(field, inner) for field in fields]
        elif kind in ("array", "map"):
            part = "items" if kind == "array" else "values"
            made[part] = self.type(raw.get(part), namespace)
        elif kind not in NAMED:
            made["type"] = self._name(kind, namespace)
        return made

    def _field(self, raw: Any, namespace: str) -> Any:
        return {**raw, "type": self.type(raw["type"], namespace)} if isinstance(raw, Mapping) and "type" in raw else raw


def full_name(raw: Mapping[str, Any], namespace: str = "") -> str:
    """The full name of a named type's schema."""
    name, own = str(raw.get("name")), raw.get("namespace", namespace)
    return name if "." in name or not own else f"{own}.{name}"


def _dependency(item: object, place: str) -> tuple[str, int]:
    if not isinstance(item, Mapping) or not item.keys() <= {"fqn", "version"}:
        raise SchemaError('a dependency is {"fqn", "version"}', key=place)
    name, version = item.get("fqn"), item.get("version")
    if not isinstance(name, str) or not name:
        raise SchemaError(f"{name!r} is no full name of a type", key=f"{place}/fqn")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version < 2**31:
        raise SchemaError(f"{version!r} is no version: 1 or more", key=f"{place}/version")
    return name, version
