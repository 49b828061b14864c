"""What every endpoint should hold, computed slowly from DESIGN section 5 alone: no code of Akela's is used here.

One fixed schema with a field of each kind that merges in a way of its own, filters that Python can evaluate, and the fleet as plain
values. Whoever drives a real fleet keeps one of these beside it and compares.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import rfc8785

Json = Mapping[str, Any]
Verdict = bool | None  # None: the filter fails to evaluate, which is no match

FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "n", "type": "int", "default": 1},
    {"name": "on", "type": "boolean", "default": True},
    {"name": "s", "type": ["null", "string"], "default": None},
    {"name": "list", "type": {"type": "array", "items": "int"}, "default": [7]},
    {
        "name": "tags",
        "type": {"type": "array", "items": "string"},
        "default": ["t0"],
        "overrideStrategy": "append",
    },
    {"name": "m", "type": {"type": "map", "values": "int"}, "default": {"base": 0}},
    {
        "name": "r",
        "type": {
            "type": "record",
            "name": "R",
            "fields": [
                {"name": "a", "type": "int", "default": 0},
                {"name": "b", "type": "string", "default": "x"},
            ],
        },
        "default": {"a": 3, "b": "y"},
    },
    {
        "name": "o",
        "type": [
            "null",
            {
                "type": "record",
                "name": "O",
                "fields": [
                    {"name": "p", "type": "int", "default": 5},
                    {"name": "q", "type": ["null", "string"], "default": None},
                ],
            },
        ],
        "default": None,
    },
]
CONFIG_SCHEMA: Final = {"type": "record", "name": "Config", "fields": FIELDS}
LATER: Final = {"name": "w", "type": "int", "default": 2}  # a field that version 2 of the schema adds
CONFIG_SCHEMA_2: Final = {**CONFIG_SCHEMA, "fields": [*FIELDS, LATER]}
PROFILE_SCHEMA: Final = {
    "type": "record",
    "name": "Profile",
    "fields": [
        {"name": "model", "type": "string"},
        {"name": "zone", "type": "int"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}
SERVER_SCHEMA: Final = {
    "type": "record",
    "name": "Server",
    "fields": [{"name": "site", "type": "string"}, {"name": "level", "type": "int"}],
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A group's filter: its text, and what it says of an endpoint."""

    text: str
    holds: Callable[["Endpoint"], Verdict] = field(compare=False)

    def __repr__(self) -> str:
        return self.text


@dataclass(slots=True)
class Endpoint:
    """What is known of an endpoint."""

    name: str
    profile: Json | None = None
    server: Json | None = None
    owner: str | None = None
    versions: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Layer:
    """A layer: its versions by number, of which one may be active and one a draft."""

    versions: dict[int, Json] = field(default_factory=dict)
    active: int | None = None
    draft: int | None = None

    def superseded(self) -> list[int]:
        """Versions that a roll-back may activate."""
        return [number for number in self.versions if number not in (self.active, self.draft)]


@dataclass(slots=True)
class Fleet:
    """One application. Keys of `layers`: ("all", "-"), ("group", name), ("owner", name), ("endpoint", id)."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    groups: dict[str, tuple[int, Filter]] = field(default_factory=dict)
    layers: dict[tuple[str, str], Layer] = field(default_factory=dict)

    def groups_of(self, ep: str) -> list[str]:
        """The groups that an endpoint is in, by ascending weight."""
        endpoint = self.endpoints[ep]
        found = [(weight, name) for name, (weight, filter_) in self.groups.items() if filter_.holds(endpoint)]
        return [name for _, name in sorted(found)]

    def failing(self, ep: str) -> list[str]:
        """The groups whose filter cannot be evaluated for an endpoint, by name."""
        endpoint = self.endpoints[ep]
        return sorted(name for name, (_, filter_) in self.groups.items() if filter_.holds(endpoint) is None)

    def effective(self, ep: str) -> dict[str, Any]:
        """The configuration that an endpoint should have."""
        value = _defaults()
        for data in self._active_layers(ep):
            _lay(value, data)
        if self.endpoints[ep].versions.get("config") == 1:
            del value["w"]  # it runs a version that has not this field
        return _without_nulls(value)

    def _active_layers(self, ep: str) -> Iterator[Json]:
        places = [("all", "-"), *(("group", name) for name in self.groups_of(ep))]
        owner = self.endpoints[ep].owner
        if owner is not None:
            places.append(("owner", owner))
        for place in [*places, ("endpoint", ep)]:
            layer = self.layers.get(place)
            if layer is not None and layer.active is not None:
                yield layer.versions[layer.active]


def id_of(value: object) -> str:
    """The id of a configuration or profile: the first 16 hex digits of the SHA-256 of its canonical JSON (RFC 8785)."""
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()[:16]  # type: ignore[arg-type]


def _defaults() -> dict[str, Any]:
    return {
        "n": 1, "on": True, "s": None, "list": [7], "tags": ["t0"], "m": {"base": 0}, "r": {"a": 3, "b": "y"}, "o": None, "w": 2,
    }  # fmt: skip


def _lay(value: dict[str, Any], data: Json) -> None:
    """Lay one layer over `value`."""
    for name, said in data.items():
        if name == "tags":
            value["tags"] = value["tags"] + said
        elif name == "m":
            for key, item in said.items():
                if item is None:
                    value["m"].pop(key, None)
                else:
                    value["m"][key] = item
        elif name == "r" or (name == "o" and said is not None):
            below = value[name] if value[name] is not None else {"p": 5, "q": None}
            value[name] = {**below, **said}
        else:
            value[name] = said


def _without_nulls(value: Json) -> dict[str, Any]:
    return {
        name: _without_nulls(item) if isinstance(item, dict) else item
        for name, item in value.items()
        if item is not None
    }
