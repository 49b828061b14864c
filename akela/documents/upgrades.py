"""From a stored format to the present one: per kind, a pure step per number. A document's number says which steps it needs.

A step takes the document as it was stored and returns a new one; it reads no clock and no database. `tests/unit/documents` keeps an
old document of every kind that has a step.
"""

from collections.abc import Callable, Mapping
from typing import Final

from akela.documents.base import Content, DocumentError

Upgrade = Callable[[Content], Content]
PAD: Final = 6  # digits of a version inside a sort key


def upgraded(raw: Content, kind: str) -> Content:
    """A stored document in the present format. Raises: DocumentError for a format that this build does not read."""
    found = raw.get("format")
    steps, present = STEPS.get(kind, {}), format_of(kind)
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= present:
        raise DocumentError(f"{kind} {raw.get('_id')}: format {found!r}; this build reads 1 to {present}")
    for number in range(found, present):
        raw = steps[number](raw) | {"format": number + 1}
    return raw


def format_of(kind: str) -> int:
    """The present format of a kind."""
    return 1 + len(STEPS.get(kind, {}))


def sort_key(*parts: str | int) -> str:
    """Parts joined so that text order is theirs: numbers are padded."""
    return "/".join(f"{part:0{PAD}}" if isinstance(part, int) else part for part in parts)


def _tenant(raw: Content) -> Content:
    return raw | {"tenant": raw["_id"]}


def _user(raw: Content) -> Content:
    return raw | {"name": raw["_id"]}


def _token(raw: Content) -> Content:
    kind = "login" if raw["name"] == "login" else "api"
    return raw | {"number": raw["_id"], "kind": kind, "applications": None, "read_only": False}


def _application(raw: Content) -> Content:
    added = {"created": raw["created"], "expires": None, "quota": None, "revoked": False}
    return raw | {"claim_secrets": [added | secret for secret in raw.get("claim_secrets", ())], "keys": []}


def _schema(raw: Content) -> Content:
    """The fingerprint was written with its bytes turned round."""
    key = sort_key(raw["kind"], raw["name"], raw["version"])
    fingerprint = bytes.fromhex(raw["fingerprint"])[::-1].hex()
    return raw | {"key": key, "source": raw["body"], "references": [], "fingerprint": fingerprint}


def _configuration(raw: Content) -> Content:
    """Version 0 is what was there before versions were kept."""
    place = f"{raw['scope']}:{raw['target']}"
    return raw | {"key": place, "active": 0, "draft": None, "last": 0, "by": "?"}


STEPS: Final[Mapping[str, Mapping[int, Upgrade]]] = {
    "tenant": {1: _tenant},
    "user": {1: _user},
    "token": {1: _token},
    "application": {1: _application},
    "schema": {1: _schema},
    "configuration": {1: _configuration},
}
