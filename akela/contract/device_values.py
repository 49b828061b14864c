"""What a device sets of its configuration by itself: how it is reported, and how it is kept.

Paths are JSON Pointers (RFC 6901), because a map's key may hold anything. A stored value has the form of `DeviceValue.to_stored`; a list
of them is kept, not a map by path, since not every database takes every key. Who may set what is `akela.contract.authority`'s.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from akela.contract.codes import Code
from akela.contract.errors import PayloadError

MAX_VALUES: Final = 256  # that one endpoint may have, proposals included
MAX_SIZE: Final = 16 * 1024  # bytes of them together, as JSON
MAX_LEASE: Final = timedelta(days=3650)
_ID_SIZE: Final = 16  # hex digits

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceValue:
    """A value that a device set, or proposes to set. `id` is another whenever path, value or time are."""

    id: str
    path: str
    value: Any
    at: datetime  # when it was accepted, or proposed
    until: datetime | None = None  # when it goes by itself
    below: Any = None  # what the layers said then; None: nothing

    def to_stored(self) -> dict[str, Any]:
        """The form in which it is stored; what says nothing is left out."""
        said = {"id": self.id, "path": self.path, "value": self.value, "at": self.at}
        more = {"until": self.until, "below": self.below}
        return said | {name: value for name, value in more.items() if value is not None}


def from_stored(stored: Iterable[Mapping[str, Any]] | None) -> tuple[DeviceValue, ...]:
    """The values that `DeviceValue.to_stored` wrote."""
    return tuple(
        DeviceValue(item["id"], item["path"], item["value"], item["at"], item.get("until"), item.get("below"))
        for item in stored or ()
    )


def made(path: str, value: Any, at: datetime, until: datetime | None, below: Any) -> DeviceValue:
    """A new value with its id. `at` is cut to milliseconds, as databases keep it."""
    at = _to_ms(at)
    text = json.dumps([path, value, at.isoformat()], sort_keys=True)
    number = hashlib.sha256(text.encode()).hexdigest()[:_ID_SIZE]
    return DeviceValue(number, path, value, at, until, below)


def pointer(parts: Parts) -> str:
    """The JSON Pointer of a path."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def parts_of(path: str) -> Parts:
    """The parts of a JSON Pointer. Raises: PayloadError for text that is none, or names the whole."""
    first, *rest = path.split("/")
    if first or not rest:
        raise PayloadError(f"{path[:40]!r} is no path: /field, or /field/key", key="path")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in rest)


def is_within(path: str, outer: str) -> bool:
    """Whether a path is `outer` or below it."""
    return path == outer or path.startswith(f"{outer}/")


def next_end(values: Iterable[DeviceValue]) -> datetime | None:
    """When the next of them goes by itself."""
    return min((value.until for value in values if value.until is not None), default=None)


def check_bounds(values: Iterable[DeviceValue]) -> None:
    """Raises: PayloadError (413) when these are more than one endpoint may have."""
    kept = [[value.path, value.value, value.below] for value in values]
    if len(kept) > MAX_VALUES:
        raise PayloadError(
            f"{len(kept)} values; an endpoint sets at most {MAX_VALUES}", code=Code.TOO_LARGE, key="values"
        )
    size = len(json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode())
    if size > MAX_SIZE:
        raise PayloadError(
            f"{size} bytes; an endpoint's values have at most {MAX_SIZE}", code=Code.TOO_LARGE, key="values"
        )


@dataclass(frozen=True, slots=True)
class ValuesReport:
    """Body of `u/config/report`, and what `u/config/applied` may carry besides: only the leaves that the device changed."""

    values: Mapping[str, Any]
    until: datetime | None = None

    @classmethod
    def from_json(cls, body: object, now: datetime) -> "ValuesReport":
        """`until` is seconds from `now`, or a time (ISO 8601). Raises: PayloadError naming the member."""
        if not isinstance(body, Mapping):
            raise PayloadError("expected a JSON object")
        values = body.get("values")
        if not isinstance(values, Mapping):
            raise PayloadError('"values" is an object with the leaves that the device changed', key="values")
        said = body.get("until")
        return cls(values, None if said is None else lease_end(said, now))

    @staticmethod
    def to_json(values: Mapping[str, Any], until: float | datetime | None) -> dict[str, Any]:
        """The body. `until`: seconds from when the server hears it, or a time with its zone."""
        said = until.astimezone(UTC).isoformat() if isinstance(until, datetime) else until
        return {"values": dict(values)} | ({} if said is None else {"until": said})


def lease_end(said: object, now: datetime) -> datetime:
    """The time that `until` means: seconds from `now`, or ISO 8601. Raises: PayloadError (422)."""
    end = _end(said, now)
    if end is None:
        raise PayloadError(
            f"{json.dumps(said, default=str)[:40]} is neither seconds nor a time with its zone (2030-01-31T12:00:00Z)",
            code=Code.UNPROCESSABLE,
            key="until",
        )
    if not now < end <= now + MAX_LEASE:
        raise PayloadError(
            f"{end.isoformat()} is not within the next {MAX_LEASE.days} days", code=Code.UNPROCESSABLE, key="until"
        )
    return end


def _end(said: object, now: datetime) -> datetime | None:
    try:
        match said:
            case bool():
                return None
            case int() | float():
                return _to_ms(now + timedelta(seconds=said))
            case str():
                moment = datetime.fromisoformat(said)
                return None if moment.tzinfo is None else _to_ms(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None
    return None


def _to_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
