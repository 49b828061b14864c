"""Whether an activated layer fits together with the others of its endpoints: for each combination of groups that occurs, and each pair.

A layer that fits the schema alone fits it merged with any others (tests/unit/contract/test_layers_alone.py). What can go wrong in company
only is looked for here (docs/decisions/0066):

- the merge grows too large, because arrays are appended and maps are merged;
- an endpoint runs an older version of the schema, and the merged value has no place in it (a symbol or a type that it does not know),
  unless a heavier layer sets something else.

What was so before this layer came is not its fault, and refuses nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from akela.contract.avro import ParsedSchema
from akela.contract.canonical import canonical_json
from akela.contract.errors import ContractError
from akela.documents import layers, members, model
from akela.documents.base import Content
from akela.layering import ordered_layers, places, served
from control.bodies import MAX_BODY
from control.problems import Problem
from control.stored_groups import COMPILED, Filters
from control.targets import membership_of, schema_versions

MAX_SIZE: Final = MAX_BODY  # bytes of an effective configuration, as of a layer
MAX_COMBINATIONS: Final = 2000
BATCH: Final = 1000
SEEN: Final = dict.fromkeys(("ep", "groups", "owner", "versions", "revoked"), 1)


@dataclass(frozen=True, slots=True)
class Combination:
    """Endpoints that share layers. `ep`: the one that has a layer of its own."""

    groups: tuple[str, ...]
    owner: str | None = None
    ep: str | None = None

    def __str__(self) -> str:
        others = [f"owner:{self.owner}"] if self.owner else []
        return ", ".join(
            ["all", *(f"group:{name}" for name in self.groups), *others, *([f"endpoint:{self.ep}"] if self.ep else [])]
        )


def check_combinations(app: str, place: str, data: Mapping[str, Any]) -> None:
    """Raises: Problem 422 naming the first combination that the layer does not fit, and the path."""
    filters, versions = COMPILED.of(app), schema_versions(app)
    scope, _, target = place.partition(":")
    endpoint = (model.find("endpoint", f"{app}/{target}") if scope == "endpoint" else None) or {"ep": target}
    owner = target if scope == "owner" else endpoint.get("owner")
    keys = {found.key for found in places(filters.weights, filters.weights, owner, target)} | {place}
    bodies = layers.active(app, sorted(keys))
    check = _Check(app, versions, filters, bodies, {**bodies, place: dict(data)})
    for number, combination in enumerate(_combinations(app, place, endpoint, {*bodies, place} & keys)):
        if number == MAX_COMBINATIONS:
            break
        check.newest(combination)
        for version in versions:
            if version != max(versions):
                check.older(combination, version)


class _Check:
    """One check: the layers before and after."""

    def __init__(
        self, app: str, versions: Mapping[int, ParsedSchema], filters: Filters, before: Mapping[str, Content], after: Mapping[str, Content]
    ) -> None:  # fmt: skip
        self._app = app
        self._versions = versions
        self._filters = filters
        self._before = before
        self._after = after

    def newest(self, combination: Combination) -> None:
        """Raises: Problem 422."""
        found = self._broken(combination, max(self._versions))
        if found is not None:
            raise _refused(combination, *found, "")

    def older(self, combination: Combination, version: int) -> None:
        """The same for those who run an older version of the schema, if anybody of the combination does. Raises: Problem 422."""
        found = self._broken(combination, version)
        if found is None:
            return
        runs = self._runs(combination, version)
        if runs is not None:
            raise _refused(
                combination, *found, f" for endpoints that run version {version} of the schema, such as {runs}"
            )

    def _broken(self, combination: Combination, version: int) -> tuple[str, str] | None:
        """Path and reason, if it is broken now and was not before."""
        found = self._problem(combination, version, self._after)
        return None if found is None or self._problem(combination, version, self._before) else found

    def _problem(self, combination: Combination, version: int, bodies: Mapping[str, Content]) -> tuple[str, str] | None:
        weights = self._filters.weights
        found = ordered_layers(bodies, weights, combination.groups, combination.owner, combination.ep or "")
        try:
            value = served(self._versions[max(self._versions)], self._versions[version], found).value
        except ContractError as error:
            return error.key or "", error.reason
        size = len(canonical_json(value))
        return None if size <= MAX_SIZE else ("", f"{size} bytes; an effective configuration has at most {MAX_SIZE}")

    def _runs(self, combination: Combination, version: int) -> str | None:
        """An endpoint of the combination that runs a version of the schema."""
        for batch in members.batches(self._app, BATCH, SEEN, {"versions.config": version}):
            for endpoint in batch:
                groups = _only(endpoint.get("groups") or (), self._after.keys())
                alike = combination.ep in (None, endpoint["ep"]) and combination.owner in (None, endpoint.get("owner"))
                if alike and groups == combination.groups and not endpoint.get("revoked"):
                    return str(endpoint["ep"])
        return None


def _combinations(app: str, place: str, endpoint: Content, layered: Set[str]) -> Iterator[Combination]:
    """Those that have the layer: what occurs in the fleet first, then every pair of groups. `layered`: where layers are."""
    scope, _, target = place.partition(":")
    if scope == "endpoint":
        groups = membership_of(app, endpoint).groups
        yield Combination(_only(groups, layered), endpoint.get("owner"), target)
        return
    names = sorted(place.partition(":")[2] for place in layered if place.startswith("group:"))
    occurring = {_only(groups, layered) for groups in members.occurring(app)} if names else {()}
    pairs = {tuple(sorted({one, other})) for one in names for other in names}
    for found in [*sorted(occurring), *sorted(pairs - occurring)]:
        if scope != "group" or target in found:
            yield Combination(found, target if scope == "owner" else None)


def _only(groups: Iterable[str], layered: Set[str]) -> tuple[str, ...]:
    """Those of `groups` that have a layer."""
    return tuple(name for name in groups if f"group:{name}" in layered)


def _refused(combination: Combination, path: str, reason: str, whose: str) -> Problem:
    detail = f"the layer does not fit the combination of {combination}{whose}: {reason}"
    return Problem(422, detail, [(path, f"{reason} (in the combination of {combination})")])
