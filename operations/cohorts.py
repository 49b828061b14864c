"""Attached endpoints by what decides their configuration: a change finds those whom it may concern without a look at the others.

A cohort is the endpoints of one application that run the same version of the configuration schema, are in the same groups, have
the same owner, and (those with a layer of their own, or with values that they set) the same endpoint. Which layers there are does
not matter here, so a layer that comes or goes moves nobody but the endpoint whose own it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from akela.contract.device_values import DeviceValue
from operations.catalog import Catalog

if TYPE_CHECKING:
    from operations.effective import Effective, Unservable
    from operations.principals import Endpoint

EVERYBODY: Final = "all:-"  # the place of the layer of all


class Key(NamedTuple):
    """What endpoints of a cohort have in common."""

    version: int | None  # of the configuration schema; None: they take the newest
    groups: tuple[str, ...]
    owner: str | None
    ep: str | None  # None: no layer of its own
    device: str | None = None  # id of the values that the endpoint itself set; None: none


class Cohort:
    """Endpoints that have the same configuration at any time."""

    __slots__ = ("app", "brought", "device", "edition", "key", "members", "target")

    def __init__(self, app: str, key: Key, device: tuple[DeviceValue, ...]) -> None:
        self.app = app
        self.key = key
        self.device = device  # the values that the endpoint itself set
        self.members: set[Endpoint] = set()
        self.edition = (-1, -1)  # of catalog and application, for which `target` was computed
        self.target: Effective | Unservable | None = None
        self.brought: str | None = None  # id of the configuration that all members were last brought to

    def places(self) -> Iterator[str]:
        """Where layers of these endpoints may stand, but for that of all."""
        yield from (f"group:{name}" for name in self.key.groups)
        if self.key.owner is not None:
            yield f"owner:{self.key.owner}"
        if self.key.ep is not None:
            yield f"endpoint:{self.key.ep}"


class Cohorts:
    """The cohorts of all attached endpoints."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._by_key: dict[tuple[str, Key], Cohort] = {}
        self._by_place: dict[tuple[str, str], set[Cohort]] = {}  # (app, place) -> cohorts

    def __len__(self) -> int:
        return len(self._by_key)

    def concerned(self, app: str, place: str = EVERYBODY) -> Iterable[Cohort]:
        """The cohorts that a layer at `place` is for; the answer stands still."""
        return tuple(self._by_place.get((app, place), ()))

    def put(self, endpoint: Endpoint) -> bool:
        """Put an endpoint where it belongs now; False when it is there already."""
        key = self._key(endpoint)
        present = endpoint.cohort
        if present is not None and present.key == key:
            return False
        cohort = self._by_key.get((endpoint.app, key)) or self._make(endpoint.app, key, endpoint.device.values)
        self.remove(endpoint)
        cohort.members.add(endpoint)
        endpoint.cohort = cohort
        return True

    def remove(self, endpoint: Endpoint) -> None:
        """The endpoint is in none any more; a cohort without members is forgotten."""
        cohort, endpoint.cohort = endpoint.cohort, None
        if cohort is None:
            return
        cohort.members.discard(endpoint)
        if cohort.members:
            return
        del self._by_key[cohort.app, cohort.key]
        for place in (EVERYBODY, *cohort.places()):
            there = self._by_place[cohort.app, place]
            there.discard(cohort)
            if not there:
                del self._by_place[cohort.app, place]

    def _key(self, endpoint: Endpoint) -> Key:
        entry = self._catalog.entry(endpoint.app)
        own = entry is not None and f"endpoint:{endpoint.ep}" in entry.layers
        version = endpoint.versions.get("config")
        return Key(version, endpoint.groups, endpoint.owner, endpoint.ep if own else None, endpoint.device_id)

    def _make(self, app: str, key: Key, device: tuple[DeviceValue, ...]) -> Cohort:
        cohort = self._by_key[app, key] = Cohort(app, key, device)
        for place in (EVERYBODY, *cohort.places()):
            self._by_place.setdefault((app, place), set()).add(cohort)
        return cohort
