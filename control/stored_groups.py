"""The `groups` that are stored with endpoints, brought to what the filters say now: an index for queries, so that nobody evaluates to ask.

Operations servers write them for who is attached, at the same time and by the same rules. So whatever is written here is read again
afterwards, and written again where the endpoint, or a filter, has changed in between: the last writer has seen the newest.
"""

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from akela.contract.canonical import canonical_json
from akela.documents import members
from akela.documents.base import Content
from akela.membership import Group, Groups, Membership, subject

LIMIT: Final = 256  # applications whose compiled filters are remembered
ROUNDS: Final = 5  # readings after a write; each next one means that somebody wrote in between once more


@dataclass(frozen=True, slots=True)
class Filters:
    """The groups of an application as they were read once."""

    digest: str
    weights: Mapping[str, int]
    groups: Groups
    wanted: Mapping[str, int]  # what to read of an endpoint

    @classmethod
    def of(cls, documents: Sequence[Content]) -> "Filters":
        """Compiled."""
        groups = Groups(Group.of(document) for document in documents)
        weights = {document["name"]: int(document["weight"]) for document in documents}
        return cls(digest_of(documents), weights, groups, members.projection(groups.uses))

    def membership_of(self, endpoint: Content) -> Content:
        """`groups`, and `group_errors` if there are any, of an endpoint that is about to be stored."""
        found = self.groups.of(subject(endpoint))
        return {"groups": list(found.groups)} | ({"group_errors": dict(found.errors)} if found.errors else {})


@dataclass(slots=True)
class Counts:
    """What an evaluation has found so far."""

    done: int = 0
    written: int = 0
    matched: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def rows(self, names: Iterable[str]) -> list[Content]:
        """By group, as they are stored."""
        return [{"group": name, "matched": self.matched[name], "errors": self.errors[name]} for name in sorted(names)]


class Compiled:
    """The filters of applications, compiled once as long as nobody changes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[object, Filters]] = OrderedDict()

    def of(self, app: str) -> Filters:
        """The present filters of an application."""
        documents = members.groups_of(app)
        key = canonical_json([[d["name"], d["weight"], d["filter"]] for d in documents])
        with self._lock:
            known = self._known.get(app)
            if known is not None and known[0] == key:
                return known[1]
        fresh = Filters.of(documents)
        with self._lock:
            self._known[app] = (key, fresh)
            if len(self._known) > LIMIT:
                self._known.popitem(last=False)
        return fresh


COMPILED: Final = Compiled()


def digest_of(documents: Iterable[Content]) -> str:
    """Of the names and filters of groups: equal when nobody's membership can differ."""
    rows = sorted([document["name"], document["filter"]] for document in documents)
    return hashlib.sha256(canonical_json(rows)).hexdigest()


def settle(app: str, filters: Filters, eps: Sequence[str]) -> None:
    """Endpoints were stored with groups by `filters`: bring them, if a filter was changed meanwhile."""
    present = COMPILED.of(app)
    if present.digest != filters.digest:
        bring(app, present, members.these(app, eps, present.wanted), Counts())


def refresh(app: str, ep: str) -> None:
    """Bring the stored groups of one endpoint to what it is now."""
    for _ in range(ROUNDS):
        filters = COMPILED.of(app)
        found = members.these(app, [ep], filters.wanted)
        if not evaluate(app, filters, found, Counts()) and filters.digest == digest_of(members.groups_of(app)):
            return


def bring(app: str, filters: Filters, batch: Sequence[Content], counts: Counts) -> None:
    """Bring the stored groups of `batch`, and count."""
    written = evaluate(app, filters, batch, counts)
    for _ in range(ROUNDS):
        if not written:
            return
        written = evaluate(app, filters, members.these(app, written, filters.wanted), Counts())


def evaluate(app: str, filters: Filters, batch: Sequence[Content], counts: Counts) -> list[str]:
    """Write what differs in `batch`; returns those endpoints."""
    differing: dict[tuple[object, ...], tuple[Membership, list[str]]] = {}
    for endpoint in batch:
        found = filters.groups.of(subject(endpoint))
        counts.matched.update(found.groups)
        if found.errors:
            counts.errors.update(found.errors.keys())
        errors_differ = (endpoint.get("group_errors") or {}) != found.errors
        if errors_differ or tuple(endpoint.get("groups") or ()) != found.groups:
            value = (found.groups, *sorted(found.errors.items()), errors_differ)
            differing.setdefault(value, (found, []))[1].append(endpoint["ep"])
    for (*_, errors_differ), (found, eps) in differing.items():
        members.write(app, eps, found.groups, found.errors if errors_differ else None)
    counts.done += len(batch)
    counts.written += sum(len(eps) for _, eps in differing.values())
    return [ep for _, eps in differing.values() for ep in eps]
