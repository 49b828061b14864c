"""Which credentials open an endpoint: the rules of rotation, on its stored document. Operations and Control go by the same.

Three writers, none of which overwrites another: Control keeps what it issued in `credentials` and what it took away in `retired`;
Operations keep what they issued in the map `issued` and note first uses in the map `used`. Rules:

- A credential is retired for ever by its entry in `retired`, whatever else says that it is there.
- The first use of a credential retires all older ones: there is no time at which a device that has stored its new one needs the old.
- At most two are good at a time: the one in use and the newest; while none has been used, the two newest.
- A claim secret opens an endpoint until a credential of its own has been used, and again when that one is retired.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

BEFORE_ALL: Final = datetime(1970, 1, 1, tzinfo=UTC)  # of a credential without a time
STEP: Final = timedelta(milliseconds=1)  # as exact as the database keeps times
OTHER_KINDS: Final = ("x509", "jwt")  # keys of `used` that are no token's id
MAX_VALID: Final = 2  # for rotation: the old one and the new one
KEPT_RETIRED: Final = 16  # of those that are nowhere else stored: the newest

Document = Mapping[str, Any]


@dataclass(
    slots=True
)  # not frozen: it is made for each endpoint that attaches, and freezing makes that four times as long
class Credential:
    """A credential of an endpoint. `hash`: SHA-256, hex; empty for one that is known by its retirement only."""

    id: str
    kind: str
    hash: str
    created: datetime
    used: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What an endpoint's credentials amount to. `retired_used`: the last one used is retired, so nothing of its own is in use."""

    valid: tuple[Credential, ...]  # oldest first
    in_use: Credential | None
    retired_used: bool
    newest: datetime  # when the last one was made

    @classmethod
    def of(cls, document: Document) -> "Standing":
        """The standing of a stored endpoint's credentials."""
        everything = _all(document)
        if not everything:
            return NONE
        retired = document.get("retired")
        gone = {entry["id"] for entry in retired} if retired else ()
        last_used = None
        for item in reversed(everything):
            if item.used:
                last_used = item
                break
        newest = everything[-1]
        candidates = everything[-MAX_VALID:]
        if last_used is not None:
            candidates = [newest] if last_used is newest else [last_used, newest]
        lost = last_used is not None and last_used.id in gone
        valid = tuple(item for item in candidates if item.id not in gone)
        return cls(valid, None if lost else last_used, lost, newest.created)

    def next_moment(self, now: datetime) -> datetime:
        """The time of a credential made now: later than all others, also where another server's clock made them."""
        return max(now, self.newest + STEP)


def uses_other_kind(document: Document) -> bool:
    """Whether the endpoint has come by certificate or JWT."""
    used = document.get("used") or {}
    return any(kind in used for kind in OTHER_KINDS)


def with_retired(document: Document, number: str, moment: datetime) -> Sequence[Mapping[str, Any]]:
    """The endpoint's `retired` with one more. Old entries go when nothing else knows their credential."""
    known_as = {credential.id: credential for credential in _all(document)}
    entry: dict[str, Any] = {"id": number, "created": moment, "used": False}
    if number in known_as:
        entry |= {"created": known_as[number].created, "used": known_as[number].used}
    present = [*(document.get("retired") or ()), entry]
    elsewhere = {entry["id"] for entry in document.get("credentials") or ()} | set(document.get("issued") or {})
    known = [entry for entry in present if entry["id"] in elsewhere]
    others = sorted((entry for entry in present if entry["id"] not in elsewhere), key=lambda entry: entry["created"])
    return known + others[-KEPT_RETIRED:]


def _all(document: Document) -> list[Credential]:
    """All credentials that are known, the oldest first."""
    used = document.get("used") or ()
    found: dict[str, Credential] = {}
    for entry in document.get("credentials") or ():
        _add(found, entry["id"], entry, used)
    issued = document.get("issued")
    if issued:
        for number, entry in issued.items():
            _add(found, number, entry, used)
    for entry in document.get("retired") or ():
        _add(found, entry["id"], entry, used)
    everything = list(found.values())
    if len(everything) > 1:
        everything.sort(key=_CREATED)
    return everything


_CREATED: Final = attrgetter("created")


def _add(found: dict[str, Credential], number: str, entry: Document, used: Container[str]) -> None:
    if number not in found:
        is_used = number in used or bool(entry.get("used"))
        found[number] = Credential(
            number, entry.get("kind", "token"), entry.get("hash", ""), entry.get("created") or BEFORE_ALL, is_used
        )


NONE: Final = Standing((), None, False, BEFORE_ALL)  # of an endpoint without credentials
