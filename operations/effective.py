"""The configuration that endpoints should have: computed once per distinct set of layers, encoded once, shared by all.

An application without a configuration schema has none. The sequence number of a push is the place in the change log that this
server has reached, so it never runs backwards, also over restarts (shared semantics: DESIGN, "Configuration").
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from akela.contract.canonical import config_id
from akela.contract.delta import choose
from akela.contract.errors import ContractError
from akela.contract.merge import Layer, merge
from akela.layering import DEVICE_WEIGHT, ordered_layers
from operations.catalog import ActiveLayer, Catalog, Entry, Schema
from operations.cohorts import EVERYBODY, Cohort

log = logging.getLogger(__name__)

MAX_VALUES: Final = 4096  # values kept as bases for deltas
MAX_DELTAS: Final = 4096
MAX_RESULTS: Final = 1024  # by set of layers

K = TypeVar("K")
V = TypeVar("V")


class Effective:
    """One effective configuration."""

    __slots__ = ("_payload", "_seq", "body", "id", "value")

    def __init__(self, value: Mapping[str, Any]) -> None:
        self.id = config_id(value)
        self.value = value
        self.body = msgspec.json.encode(value)
        self._payload = b""
        self._seq = -1

    def full(self, seq: int) -> bytes:
        """Payload of a `d/config` that carries all of it; the same bytes for all who get it at one time."""
        if seq != self._seq:
            self._payload = msgspec.json.encode({"id": self.id, "seq": seq, "full": msgspec.Raw(self.body)})
            self._seq = seq
        return self._payload


class Recent(Generic[K, V]):
    """A bounded mapping: what was put longest ago goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value of `key`, or None."""
        return self._items.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep `value`."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._limit:
            self._items.popitem(last=False)

    def forget(self, key: K) -> None:
        """Keep nothing under `key`."""
        self._items.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()


class Configurations:
    """Effective configurations of all applications in `catalog`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._results: Recent[tuple[object, ...], Effective | None] = Recent(MAX_RESULTS)
        self._values: Recent[tuple[str, str], Mapping[str, Any]] = Recent(MAX_VALUES)
        self._deltas: Recent[tuple[str, str, str], tuple[int, bytes]] = Recent(MAX_DELTAS)
        self._loaded = 0  # how often the catalog was read
        self.position = 0  # place in the change log that `catalog` stands for
        self.computed = 0  # merges made since start

    def of(self, cohort: Cohort) -> Effective | None:
        """What the cohort's endpoints should have now, or None when the application configures nothing."""
        entry = self._catalog.entry(cohort.app)
        if entry is None:
            return None
        edition = (self._loaded, entry.edition)
        if cohort.edition != edition:
            cohort.target = self._result(entry, cohort)
            cohort.edition = edition
        return cohort.target

    def reloaded(self, position: int) -> None:
        """The catalog was read anew, and stands for this place in the log."""
        self._results.clear()
        self._loaded += 1  # editions begin again
        self.position = position

    def payload(self, app: str, target: Effective, holds: str | None) -> bytes:
        """The `d/config` that brings an endpoint from `holds` to `target`: a delta where it is smaller, else the whole."""
        base = None if holds is None else self._values.get((app, holds))
        if base is None or holds is None:
            return target.full(self.position)
        key = (app, holds, target.id)
        known = self._deltas.get(key)
        if known is None or known[0] != self.position:
            known = (self.position, self._delta(base, target, holds))
            self._deltas.put(key, known)
        return known[1]

    def _result(self, entry: Entry, cohort: Cohort) -> Effective | None:
        schema = entry.schema("config")
        if schema is None:
            return None
        key = cohort.key
        found_layers = _layers_of(entry, cohort)
        bodies = {place: layer.body for place, layer in found_layers.items()}
        weights = {name: group.weight for name in key.groups if (group := entry.by_name.get(name)) is not None}
        layers = list(ordered_layers(bodies, weights, key.groups, key.owner, key.ep or ""))
        if cohort.device is not None:
            layers.append(Layer("device", DEVICE_WEIGHT, cohort.device))
        stamps = tuple(layer.stamp for layer in found_layers.values())
        order = tuple((layer.name, layer.weight) for layer in layers)
        known_as = (cohort.app, schema.version, key.device, order, stamps)
        found = self._results.get(known_as)
        if found is None:
            found = self._compute(cohort.app, schema, layers)
            self._results.put(known_as, found)
        return found

    def _compute(self, app: str, schema: Schema, layers: Sequence[Layer]) -> Effective | None:
        self.computed += 1
        try:
            found = Effective(merge(schema.parsed, layers).value)
        except ContractError as error:  # Control refuses such layers; nobody is configured by half
            names = [layer.name for layer in layers]
            log.error("layers do not merge", extra={"app": app, "layers": names, "error": str(error)})  # noqa: TRY400  said in full
            return None
        self._values.put((app, found.id), found.value)
        return found

    def _delta(self, base: Mapping[str, Any], target: Effective, holds: str) -> bytes:
        kind, body = choose(base, target.value)
        if kind == "full":
            return target.full(self.position)
        return msgspec.json.encode({"id": target.id, "seq": self.position, "base": holds, "delta": body})


def _layers_of(entry: Entry, cohort: Cohort) -> dict[str, ActiveLayer]:
    """The active layers that these endpoints have."""
    places = (EVERYBODY, *cohort.places())
    return {place: layer for place in places if (layer := entry.layers.get(place)) is not None}
