"""The configuration that endpoints should have: computed once per distinct set of layers, encoded once, shared by all.

An application without a configuration schema has none. Layers are merged in the newest version of the schema; for endpoints that run an
older one the result is resolved to that (Avro's schema resolution), and has an id of its own where it differs. The sequence number of a
push is the place in the change log that this server has reached, so it never runs backwards, also over restarts (shared semantics:
DESIGN, "Configuration").
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from akela.contract.authority import own_layer
from akela.contract.avro import ParsedSchema
from akela.contract.canonical import config_id
from akela.contract.delta import choose
from akela.contract.envelope import AvroPush
from akela.contract.errors import ContractError
from akela.contract.merge import Layer, merge, pruned
from akela.layering import ordered_layers
from operations.catalog import Catalog, Entry, Schema
from operations.cohorts import EVERYBODY, Cohort

log = logging.getLogger(__name__)

MAX_VALUES: Final = 4096  # values kept as bases for deltas
MAX_DELTAS: Final = 4096
MAX_RESULTS: Final = 1024  # by set of layers

K = TypeVar("K")
V = TypeVar("V")


class Effective:
    """One effective configuration, in one version of its schema."""

    __slots__ = ("_avro", "_full", "body", "id", "schema", "value")

    def __init__(self, value: Mapping[str, Any], schema: ParsedSchema) -> None:
        self.id = config_id(value)
        self.value = value
        self.schema = schema
        self.body = msgspec.json.encode(value)
        self._full = (-1, b"")  # sequence number, payload
        self._avro = (-1, b"")

    def full(self, seq: int) -> bytes:
        """Payload of a `d/config` that carries all of it; the same bytes for all who get it at one time."""
        if seq != self._full[0]:
            body = {"id": self.id, "seq": seq, "full": msgspec.Raw(self.body)}
            self._full = (seq, msgspec.json.encode(body))
        return self._full[1]

    def avro(self, seq: int) -> bytes:
        """The same in Avro."""
        if seq != self._avro[0]:
            push = AvroPush(self.id, seq, self.schema.encode_effective(self.value))
            self._avro = (seq, push.to_bytes())
        return self._avro[1]


@dataclass(frozen=True, slots=True)
class Unservable:
    """There is no configuration for these endpoints, and why."""

    reason: str
    key: str | None = None


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
        self._results: Recent[tuple[object, ...], Effective | Unservable] = Recent(MAX_RESULTS)
        self._below: Recent[tuple[object, ...], Mapping[str, Any] | None] = Recent(MAX_RESULTS)
        self._values: Recent[tuple[str, str], Mapping[str, Any]] = Recent(MAX_VALUES)
        self._deltas: Recent[tuple[str, str, str], tuple[int, bytes]] = Recent(MAX_DELTAS)
        self._loaded = 0  # how often the catalog was read
        self.position = 0  # place in the change log that `catalog` stands for
        self.computed = 0  # merges made since start

    def of(self, cohort: Cohort) -> Effective | Unservable | None:
        """What the cohort's endpoints should have now; None when the application configures nothing."""
        entry = self._catalog.entry(cohort.app)
        if entry is None:
            return None
        edition = (self._loaded, entry.edition)
        if cohort.edition != edition:
            cohort.target = self._result(entry, cohort)
            cohort.edition = edition
        return cohort.target

    def below(self, cohort: Cohort) -> Mapping[str, Any] | None:
        """What the layers make of the newest schema, without what the cohort's endpoints set; None where that is nothing."""
        entry = self._catalog.entry(cohort.app)
        newest = None if entry is None else entry.schema("config")
        if entry is None or newest is None:
            return None
        layers, stamps = self._layers(entry, cohort)
        order = tuple((layer.name, layer.weight) for layer in layers)
        known_as = (cohort.app, newest.version, order, stamps)
        found = self._below.get(known_as)
        if found is None:
            with suppress(ContractError):  # told where it is computed for an endpoint
                found = merge(newest.parsed, layers).value
            self._below.put(known_as, found)
        return found

    def reloaded(self, position: int) -> None:
        """The catalog was read anew, and stands for this place in the log."""
        self._results.clear()
        self._below.clear()
        self._loaded += 1  # editions begin again
        self.position = position

    def payload(self, app: str, target: Effective, holds: str | None, *, avro: bool = False) -> bytes:
        """The `d/config` that brings an endpoint from `holds` to `target`: a delta where it is smaller, else (and in Avro) the whole."""
        if avro:
            return target.avro(self.position)
        base = None if holds is None else self._values.get((app, holds))
        if base is None or holds is None:
            return target.full(self.position)
        key = (app, holds, target.id)
        known = self._deltas.get(key)
        if known is None or known[0] != self.position:
            known = (self.position, self._delta(base, target, holds))
            self._deltas.put(key, known)
        return known[1]

    def _result(self, entry: Entry, cohort: Cohort) -> Effective | Unservable | None:
        newest = entry.schema("config")
        if newest is None:
            return None
        runs = newest if cohort.key.version is None else entry.schema("config", version=cohort.key.version)
        if runs is None:
            return Unservable(f"the configuration schema has no version {cohort.key.version}", "versions/config")
        layers, stamps = self._layers(entry, cohort)
        below = self.below(cohort) if cohort.device else None
        if below is not None:
            layers = (*layers, *own_layer(newest.parsed, below, cohort.device))
        order = tuple((layer.name, layer.weight) for layer in layers)
        known_as = (cohort.app, newest.version, runs.version, cohort.key.device, order, stamps)
        found = self._results.get(known_as)
        if found is None:
            found = self._compute(cohort.app, newest, runs, layers)
            self._results.put(known_as, found)
        return found

    def _layers(self, entry: Entry, cohort: Cohort) -> tuple[Sequence[Layer], tuple[int, ...]]:
        """The layers of these endpoints, lowest first, and what tells their contents from earlier ones."""
        key = cohort.key
        active = {p: layer for p in (EVERYBODY, *cohort.places()) if (layer := entry.layers.get(p)) is not None}
        bodies = {place: layer.body for place, layer in active.items()}
        weights = {name: group.weight for name in key.groups if (group := entry.by_name.get(name)) is not None}
        layers = ordered_layers(bodies, weights, key.groups, key.owner, key.ep or "")
        return layers, tuple(layer.stamp for layer in active.values())

    def _compute(self, app: str, newest: Schema, runs: Schema, layers: Sequence[Layer]) -> Effective | Unservable:
        self.computed += 1
        try:
            value = merge(newest.parsed, layers).value
            if runs is not newest:
                value = pruned(runs.parsed.root, newest.parsed.resolve(value, runs.parsed))
        except ContractError as error:
            names = [layer.name for layer in layers]
            log.warning(
                "no configuration", extra={"app": app, "version": runs.version, "layers": names, "why": error.reason}
            )
            return Unservable(error.reason, error.key)
        found = Effective(value, runs.parsed)
        self._values.put((app, found.id), found.value)
        return found

    def _delta(self, base: Mapping[str, Any], target: Effective, holds: str) -> bytes:
        kind, body = choose(base, target.value)
        if kind == "full":
            return target.full(self.position)
        return msgspec.json.encode({"id": target.id, "seq": self.position, "base": holds, "delta": body})
