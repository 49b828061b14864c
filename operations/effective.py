"""The configuration that an endpoint should have: computed once per distinct set of layers, encoded once, shared by all.

An application without a configuration schema has none. The sequence number of a push is the place in the change log at
which it was computed, so it never runs backwards, also over restarts (shared semantics: DESIGN, "Configuration").
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from akela.contract.canonical import config_id
from akela.contract.delta import choose
from akela.contract.errors import ContractError
from akela.contract.merge import Layer, merge
from operations.catalog import Catalog, Entry

log = logging.getLogger(__name__)

MAX_VALUES: Final = 4096  # values kept as bases for deltas
MAX_DELTAS: Final = 4096

BASE_WEIGHT: Final = 0
ENDPOINT_WEIGHT: Final = 2**31  # above every group's weight


@dataclass(frozen=True, slots=True)
class Effective:
    """One effective configuration."""

    id: str
    seq: int
    value: Mapping[str, Any]
    full: bytes  # payload of a `d/config` that carries all of it


@dataclass(slots=True)
class _Current:
    """What one edition of an application's layers came out as; the key is the endpoint that has layers of its own, or None."""

    edition: int
    by_endpoint: dict[str | None, Effective | None]


class _Recent(OrderedDict[Any, Any]):
    """A bounded mapping: the entry used longest ago goes first."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def put(self, key: object, value: object) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._limit:
            self.popitem(last=False)


class Configurations:
    """Effective configurations of all applications in `catalog`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._current: dict[str, _Current] = {}
        self._values = _Recent(MAX_VALUES)
        self._deltas = _Recent(MAX_DELTAS)
        self.position = 0  # place in the change log that `catalog` stands for

    def of(self, app: str, ep: str) -> Effective | None:
        """What endpoint `ep` should have, or None when the application configures nothing."""
        entry = self._catalog.entry(app)
        if entry is None:
            return None
        current = self._current.get(app)
        if current is None or current.edition != entry.edition:
            current = self._current[app] = _Current(entry.edition, {})
        key = ep if ep in entry.endpoint_layers else None
        if key not in current.by_endpoint:
            current.by_endpoint[key] = self._compute(app, entry, key)
        return current.by_endpoint[key]

    def reloaded(self, position: int) -> None:
        """The catalog was read anew, and stands for this place in the log."""
        self._current.clear()  # editions begin again
        self.position = position

    def payload(self, app: str, target: Effective, holds: str | None) -> bytes:
        """The `d/config` that brings an endpoint from `holds` to `target`: a delta where it is smaller, else the whole."""
        base = None if holds is None else self._values.get((app, holds))
        if base is None:
            return target.full
        key = (app, holds, target.id)
        known: bytes | None = self._deltas.get(key)
        if known is None:
            known = self._delta(base, target, holds)
            self._deltas.put(key, known)
        return known

    def _compute(self, app: str, entry: Entry, ep: str | None) -> Effective | None:
        schema = entry.schema("config")
        if schema is None:
            return None
        layers = []
        if entry.base_layer is not None:
            layers.append(Layer("all", BASE_WEIGHT, entry.base_layer))
        if ep is not None:
            layers.append(Layer(f"endpoint:{ep}", ENDPOINT_WEIGHT, entry.endpoint_layers[ep]))
        try:
            value = merge(schema.parsed, layers).value
        except ContractError as error:  # Control refuses such layers; nobody is configured by half
            log.error("layers do not merge", extra={"app": app, "endpoint": ep, "error": str(error)})  # noqa: TRY400  said in full
            return None
        number = config_id(value)
        self._values.put((app, number), value)
        full = msgspec.json.encode({"id": number, "seq": self.position, "full": value})
        return Effective(number, self.position, value, full)

    def _delta(self, base: Mapping[str, Any], target: Effective, holds: str | None) -> bytes:
        kind, body = choose(base, target.value)
        if kind == "full":
            return target.full
        return msgspec.json.encode({"id": target.id, "seq": target.seq, "base": holds, "delta": body})
