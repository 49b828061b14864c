"""What the endpoints of an application should have, as its layers are when they are read: computed once per distinct set of layers.

By the same rules as in Operations: `akela.membership`, `akela.layering`, `akela.contract.merge`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from akela.contract.authority import DeviceState, device_id, device_layer, standing, stored_state
from akela.contract.avro import ParsedSchema, parse_schema
from akela.contract.canonical import config_id
from akela.contract.errors import ContractError
from akela.contract.merge import Layer
from akela.documents import layers
from akela.documents.base import Content
from akela.layering import ordered_layers, places, served
from akela.membership import Membership, subject
from control.problems import Problem
from control.stored_groups import COMPILED, Filters

SCHEMA: Final = "config"


@dataclass(frozen=True, slots=True)
class Target:
    """What an endpoint should have: `id` and `value`, or the `reason` why it cannot be given it."""

    id: str | None
    value: Mapping[str, Any]
    origin: Mapping[str, str]
    reason: str | None = None


class Targets:
    """Of one application at one time."""

    def __init__(self, versions: Mapping[int, ParsedSchema], bodies: Mapping[str, Content], filters: Filters) -> None:
        self._versions = versions
        self._newest = max(versions)
        self._bodies = bodies
        self._filters = filters
        self._known: dict[tuple[object, ...], Target] = {}

    @classmethod
    def of_all(cls, app: str) -> "Targets":
        """For any endpoint of the application. Raises: Problem 409 when it has no configuration schema."""
        return cls(schema_versions(app), layers.active(app), COMPILED.of(app))

    @classmethod
    def of_one(cls, app: str, endpoint: Content) -> "Targets":
        """For one endpoint. Raises: Problem 409 when there is no configuration schema."""
        filters = COMPILED.of(app)
        keys = [place.key for place in places(filters.weights, filters.weights, endpoint.get("owner"), endpoint["ep"])]
        return cls(schema_versions(app), layers.active(app, keys), filters)

    def membership(self, endpoint: Content) -> Membership:
        """The groups of an endpoint whose whole document is known."""
        return self._filters.groups.of(subject(endpoint))

    def of(self, endpoint: Content, groups: Sequence[str]) -> Target:
        """What an endpoint should have that is in `groups`; `owner`, `ep` and `versions` of it are looked at."""
        found = self._layers(endpoint, groups)
        version = self._version(endpoint)
        own = self.state(endpoint, groups).values if endpoint.get("device") else ()
        key = (version, device_id(own), *(layer.name for layer in found))
        found = (*found, device_layer(own)) if own else found
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._computed(version, found)
        return known

    def state(self, endpoint: Content, groups: Sequence[str]) -> DeviceState:
        """What stands now of what the endpoint set and proposed; its `device`, `held_values` and `decided` are looked at, too."""
        state = stored_state(endpoint.get("device"), endpoint.get("held_values"))
        if not state:
            return state
        found = self._layers(endpoint, groups)
        key = ("below", *(layer.name for layer in found))
        below = self._known.get(key)
        if below is None:
            below = self._known[key] = self._computed(self._newest, found)
        if below.id is None:
            return state
        decided = endpoint.get("decided") or {}
        return standing(self._versions[self._newest], below.value, state, decided, datetime.now(UTC)).state

    def _layers(self, endpoint: Content, groups: Sequence[str]) -> tuple[Layer, ...]:
        return ordered_layers(self._bodies, self._filters.weights, groups, endpoint.get("owner"), endpoint["ep"])

    def _version(self, endpoint: Content) -> int:
        said = (endpoint.get("versions") or {}).get(SCHEMA)
        return said if isinstance(said, int) else self._newest

    def _computed(self, version: int, found: Sequence[Layer]) -> Target:
        runs = self._versions.get(version)
        if runs is None:
            return Target(None, {}, {}, f"the configuration schema has no version {version}")
        try:
            merged = served(self._versions[self._newest], runs, found)
        except ContractError as error:
            return Target(None, {}, {}, f"version {version} of the schema: {error.reason}")
        return Target(config_id(merged.value), merged.value, merged.origin)


def schema_versions(app: str) -> Mapping[int, ParsedSchema]:
    """The versions of the configuration schema. Raises: Problem 409 when there is none."""
    found = {int(row["version"]): parse_schema(row["body"]) for row in layers.schemas(app, SCHEMA)}
    if not found:
        raise Problem(409, "the application has no configuration schema; add one with kind config first")
    return found


def device_state_of(app: str, endpoint: Content) -> DeviceState:
    """What stands of what one endpoint set and proposed by itself. Raises: Problem 409 without a configuration schema."""
    targets = Targets.of_one(app, endpoint)
    return targets.state(endpoint, targets.membership(endpoint).groups)


def membership_of(app: str, endpoint: Content) -> Membership:
    """The groups of one endpoint, from its whole document."""
    return COMPILED.of(app).groups.of(subject(endpoint))


def target_of(app: str, endpoint: Content) -> tuple[Target, Membership]:
    """What one endpoint should have, and its groups, from its whole document. Raises: Problem 409 without a configuration schema."""
    targets = Targets.of_one(app, endpoint)
    membership = targets.membership(endpoint)
    return targets.of(endpoint, membership.groups), membership
