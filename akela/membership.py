"""Which groups an endpoint is in: a pure function of the application's groups and of what is known of the endpoint.

Everybody who must know it, Operations for attached endpoints and Control for all others, computes it here. A filter that fails for an
endpoint counts as no match and is told with its reason (DESIGN section 5, "Groups").
"""

import marshal
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from akela.filters import Filter, FilterError, context, longest

NAMES: Final = frozenset({"profile", "server", "ep", "owner", "versions"})  # what a group's filter may speak of
MAX_REMEMBERED: Final = 4096  # memberships by what the filters look at: endpoints that are alike are evaluated once

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Membership:
    """The groups that an endpoint is in, by name and without `all`, and the filters that failed for it."""

    groups: tuple[str, ...]
    errors: Mapping[str, str]


NOBODY: Final = Membership((), {})


@dataclass(frozen=True, slots=True)
class Group:
    """One group; `filter` is None when its stored text is no filter, which `error` explains."""

    name: str
    weight: int
    filter: Filter | None
    error: str = ""

    @classmethod
    def of(cls, document: Document) -> "Group":
        """The group that a stored document describes."""
        try:
            return cls(document["name"], document["weight"], Filter(document["filter"], NAMES))
        except FilterError as error:
            return cls(document["name"], document["weight"], None, str(error))


def subject(endpoint: Document) -> Mapping[str, Any]:
    """What filters speak of, from a stored endpoint; what is not known is empty, an owner that is not there null."""
    return {
        "profile": endpoint.get("profile") or {},
        "server": endpoint.get("server_profile") or {},
        "ep": endpoint["ep"],
        "owner": endpoint.get("owner"),
        "versions": endpoint.get("versions") or {},
    }


class Groups:
    """The groups of one application at one time; a changed group makes a new one of these."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.by_name: Mapping[str, Group] = {group.name: group for group in groups}
        self._uses = _uses(self.by_name.values())
        self._known: OrderedDict[bytes, Membership] = OrderedDict()

    @property
    def uses(self) -> Mapping[str, tuple[str, ...] | None]:
        """The variables that some filter looks at, each with the fields of it; None: perhaps all of them."""
        return self._uses

    def of(self, values: Mapping[str, Any]) -> Membership:
        """The membership of an endpoint of which `values` are known: see `subject`."""
        if not self.by_name:
            return NOBODY
        seen = self._looked_at(values)
        key = marshal.dumps(seen, 2)  # version 2 writes equal values alike, whoever else holds them
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._evaluate(seen)
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _looked_at(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The part of `values` that some filter looks at."""
        seen: dict[str, Any] = {}
        for name, fields in self._uses.items():
            value = values[name]
            if fields is not None and isinstance(value, Mapping):
                value = {field: value[field] for field in fields if field in value}
            seen[name] = value
        return seen

    def _evaluate(self, seen: Mapping[str, Any]) -> Membership:
        matching: list[str] = []
        errors: dict[str, str] = {}
        try:
            ready, length = context(seen), longest(seen)
        except FilterError as error:
            return Membership((), dict.fromkeys(sorted(self.by_name), str(error)))
        for name, group in sorted(self.by_name.items()):
            try:
                if group.filter is None:
                    raise FilterError(group.error)
                if group.filter.matches(ready, length):
                    matching.append(name)
            except FilterError as error:
                errors[name] = str(error)
        return Membership(tuple(matching), errors)


def _uses(groups: Iterable[Group]) -> Mapping[str, tuple[str, ...] | None]:
    """For each variable that some filter names the fields that are looked at, in one order; None: all of them."""
    found: dict[str, frozenset[str] | None] = {}
    for group in groups:
        for name, fields in group.filter.uses.items() if group.filter is not None else ():
            known = found.get(name, frozenset())
            found[name] = None if known is None or fields is None else known | fields
    return {name: None if fields is None else tuple(sorted(fields)) for name, fields in sorted(found.items())}
