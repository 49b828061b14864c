"""The effective configuration: schema defaults, then layers by ascending weight (DESIGN section 5, "Configuration").

The rules, all of them:
- records merge field by field; what a layer does not mention it does not change;
- an explicit null sets an optional field to null;
- arrays replace, or append where the field's `overrideStrategy` says so;
- maps merge by key; null removes a key;
- an optional record that is null below is taken whole: what the layer leaves out comes from the record's own defaults;
- the result fits the schema; an optional field that is null is left out of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from akela.contract.avro import ParsedSchema
from akela.contract.avro_types import Array, Field, MapOf, Record, Type, Union, default_of
from akela.contract.errors import MergeError

DEFAULTS: Final = "default"  # name of the lowest layer: the schema's defaults


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer; a higher weight wins. Weights within one merge differ."""

    name: str
    weight: int
    data: Mapping[str, Any]
    appends: bool = True  # False: its arrays replace also where the field's strategy is to append


@dataclass(frozen=True, slots=True)
class Merged:
    """The effective configuration, and for the path of each leaf the layers that made it ("a+b" where b appended)."""

    value: dict[str, Any]
    origin: dict[str, str]


def merge(schema: ParsedSchema, layers: Sequence[Layer]) -> Merged:
    """The effective configuration of `layers`, in whatever order they come.

    Raises: MergeError, whose `key` is the path of the first wrong field, when a layer or the result breaks the schema.
    """
    if not isinstance(schema.root, Record):
        raise MergeError("a configuration schema is a record")
    work = _Merge()
    value = default_of(schema.root)
    work.mark(value, "", DEFAULTS)
    for layer in sorted(layers, key=lambda layer: layer.weight):
        problems = schema.validate(layer.data, partial=True)
        if problems:
            raise MergeError(f"{problems[0].reason} (layer {layer.name})", key=problems[0].path)
        work.layer, work.appends = layer.name, layer.appends
        value = work.record(schema.root, value, layer.data, "")
    problems = schema.validate(value)
    if problems:
        raise MergeError(problems[0].reason, key=problems[0].path)
    return Merged(pruned(schema.root, value), work.origin)


class _Merge:
    """One merge under way: knows where each leaf came from."""

    def __init__(self) -> None:
        self.layer = DEFAULTS
        self.appends = True
        self.origin: dict[str, str] = {}

    def mark(self, value: Any, path: str, layer: str) -> None:
        """Note that everything at and below `path` now comes from `layer`."""
        for known in [p for p in self.origin if p == path or p.startswith(f"{path}/")]:
            del self.origin[known]
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                self.mark(item, f"{path}/{key}", layer)
        elif value is not None:
            self.origin[path] = layer

    def record(self, node: Record, base: Mapping[str, Any], over: Mapping[str, Any], path: str) -> dict[str, Any]:
        result = dict(base)
        for name, value in over.items():
            field = node.fields[name]
            result[name] = self._field(field, base.get(name), value, f"{path}/{name}")
        return result

    def _field(self, field: Field, base: Any, over: Any, path: str) -> Any:
        if field.append and self.appends and isinstance(base, list) and isinstance(over, list):
            below = self.origin.get(path)
            self.origin[path] = f"{below}+{self.layer}" if below and base and below != self.layer else self.layer
            return base + over
        return self._value(field.type, base, over, path)

    def _value(self, node: Type, base: Any, over: Any, path: str) -> Any:
        match structure(node), over:
            case Record() as record, Mapping():
                if not isinstance(base, Mapping):
                    base = default_of(record)
                    self.mark(base, path, DEFAULTS)
                return self.record(record, base, over, path)
            case MapOf(values), Mapping():
                return self._map(values, base if isinstance(base, Mapping) else {}, over, path)
        self.mark(over, path, self.layer)
        return over

    def _map(self, values: Type, base: Mapping[str, Any], over: Mapping[str, Any], path: str) -> dict[str, Any]:
        result = dict(base)
        self.origin.pop(path, None)
        for key, value in over.items():
            if value is None:
                result.pop(key, None)
                self.mark(None, f"{path}/{key}", self.layer)
            else:
                result[key] = self._value(values, base.get(key), value, f"{path}/{key}")
        if not result:
            self.origin[path] = self.layer
        return result


def structure(node: Type) -> Type:
    """The record or map inside an optional type; a union of several such has no merge, its value is replaced."""
    if isinstance(node, Union):
        inner = [branch for branch in node.branches if isinstance(branch, Record | MapOf)]
        return inner[0] if len(inner) == 1 else node
    return node


def pruned(node: Type, value: Any) -> Any:
    """`value` of type `node` without the optional fields that are null: the form of an effective configuration."""
    match structure(node), value:
        case Record() as record, Mapping():
            kept = {name: item for name, item in value.items() if item is not None or not record.fields[name].optional}
            return {name: pruned(record.fields[name].type, item) for name, item in kept.items()}
        case MapOf(values), Mapping():
            return {key: pruned(values, item) for key, item in value.items()}
        case Array(items), list():
            return [pruned(items, item) for item in value]
    return value
