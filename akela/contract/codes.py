"""Result codes: HTTP's numbers, one table for MQTT, REST, command line and library."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """Outcome of a request. Below 300: done."""

    OK = 200
    CREATED = 201
    ACCEPTED = 202
    NOT_MODIFIED = 304
    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    CONFLICT = 409
    GONE = 410
    TOO_LARGE = 413
    UNPROCESSABLE = 422
    TOO_MANY = 429
    FAILED = 500
    UNAVAILABLE = 503

    @property
    def ok(self) -> bool:
        """The request was done, or there was nothing to do."""
        return self < Code.BAD_REQUEST

    @property
    def meaning(self) -> "Meaning":
        """Phrase, MQTT reason code and whether to try again."""
        return _TABLE[self]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code stands for elsewhere."""

    phrase: str
    reason: int  # MQTT 5.0 reason code, section 2.4
    retry: bool  # the same request may succeed later, unchanged


_TABLE: Final[Mapping[Code, Meaning]] = {
    Code.OK: Meaning("done", 0x00, retry=False),
    Code.CREATED: Meaning("created", 0x00, retry=False),
    Code.ACCEPTED: Meaning("accepted, not done yet", 0x00, retry=False),
    Code.NOT_MODIFIED: Meaning("nothing differs", 0x00, retry=False),
    Code.BAD_REQUEST: Meaning("cannot be read", 0x99, retry=False),
    Code.UNAUTHORIZED: Meaning("unknown or wrong credential", 0x87, retry=False),
    Code.FORBIDDEN: Meaning("not yours", 0x87, retry=False),
    Code.NOT_FOUND: Meaning("no such thing", 0x90, retry=False),
    Code.CONFLICT: Meaning("does not fit the present state", 0x83, retry=False),
    Code.GONE: Meaning("was there and is no more", 0x90, retry=False),
    Code.TOO_LARGE: Meaning("too large", 0x95, retry=False),
    Code.UNPROCESSABLE: Meaning("breaks its schema", 0x99, retry=False),
    Code.TOO_MANY: Meaning("too much at once", 0x97, retry=True),
    Code.FAILED: Meaning("the server failed", 0x80, retry=True),
    Code.UNAVAILABLE: Meaning("not available now", 0x88, retry=True),
}
