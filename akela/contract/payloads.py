"""Payloads: bytes to plain values, bounded, and the typed bodies of the contract's own messages.

JSON or Avro single-object encoding; the first two bytes tell. What no database and no other JSON implementation could keep is
refused here, so nothing behind has to care: lone surrogates, NaN, integers beyond 64 bits, depth beyond 64.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from akela.contract.avro import MARKER, ParsedSchema, decode
from akela.contract.canonical import MAX_DEPTH
from akela.contract.errors import PayloadError

MAX_ERROR_SIZE: Final = 200  # bytes of a refusal
_INT64: Final = 2**63
_LONG_NUMBER: Final = re.compile(rb"\d{18}|[eE]\+?\d{3}")
_NO_ESCAPE: Final = b"\\u"


def decode_json(payload: bytes) -> Any:
    """The value of a JSON payload. Raises: PayloadError."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f"no UTF-8: {error.reason} at byte {error.start}") from error
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise PayloadError(f"no JSON: {error.msg} at character {error.pos}") from error
    except (RecursionError, ValueError) as error:  # nested without end; an integer of thousands of digits
        raise PayloadError("no JSON that can be taken: nested too deep, or a number too long") from error
    suspicious = payload.count(b"[") + payload.count(b"{") > MAX_DEPTH or _NO_ESCAPE in payload
    if suspicious or _LONG_NUMBER.search(payload):
        check_plain(value)
    return value


def decode_payload(payload: bytes, lookup: Callable[[int], ParsedSchema | None] | None = None) -> Any:
    """The value of a payload in either encoding; `lookup` finds Avro schemas by fingerprint. Raises: PayloadError."""
    if payload.startswith(MARKER):
        return decode(payload, lookup or (lambda fingerprint: None))
    return decode_json(payload)


def check_plain(value: object, path: str = "", depth: int = 0) -> None:
    """Refuse what cannot be stored or sent on as JSON. Raises: PayloadError naming the path."""
    if depth > MAX_DEPTH:
        raise PayloadError(f"nested deeper than {MAX_DEPTH}", key=path[:64])
    match value:
        case str():
            _check_text(value, path)
        case bool():
            pass
        case int() if not -_INT64 <= value < _INT64:
            raise PayloadError("an integer beyond 64 bits", key=path)
        case float() if not math.isfinite(value):
            raise PayloadError("a number beyond double precision", key=path)
        case Mapping():
            for key, item in value.items():
                _check_text(key, path)
                check_plain(item, f"{path}/{key}", depth + 1)
        case list():
            for index, item in enumerate(value):
                check_plain(item, f"{path}/{index}", depth + 1)


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PayloadError("text holds a lone surrogate", key=path) from error


def _refuse_constant(name: str) -> Any:
    raise PayloadError(f"{name} is no JSON number")


def _member(value: Mapping[str, Any], name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    found = value.get(name)
    if found is None:
        return default
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is int):
        names = kind.__name__ if isinstance(kind, type) else "/".join(item.__name__ for item in kind)
        raise PayloadError(f"{json.dumps(found)[:40]} is no {names}", key=name)
    return found


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PayloadError("expected a JSON object")
    return value


@dataclass(frozen=True, slots=True)
class HelloPayload:
    """Body of `u/hello`; None: the endpoint does not say. Unknown members are ignored, so that newer devices may say more."""

    fmt: str = "json"
    sdk: str | None = None
    max_size: int | None = None  # largest payload that the endpoint takes, bytes
    versions: Mapping[str, int] = field(default_factory=dict)  # schema kind -> version that it runs
    profile: str | None = None  # id of the profile that it sent last
    config: str | None = None  # id of the configuration that it holds
    topics: str | None = None

    @classmethod
    def from_json(cls, value: object) -> "HelloPayload":
        """Raises: PayloadError naming the member."""
        body = _object(value)
        fmt = _member(body, "fmt", str, "json")
        if fmt not in ("json", "avro"):
            raise PayloadError(f"{fmt[:40]!r} is no format: json or avro", key="fmt")
        versions = _member(body, "versions", dict, {})
        for kind in versions:
            _member(versions, kind, int, 0)
        return cls(
            fmt=fmt,
            sdk=_member(body, "sdk", str, None),
            max_size=_member(body, "max", int, None),
            versions=versions,
            profile=_member(body, "profile", str, None),
            config=_member(body, "config", str, None),
            topics=_member(body, "topics", str, None),
        )

    def to_json(self) -> dict[str, Any]:
        """The members that say something."""
        said = {
            "fmt": self.fmt,
            "sdk": self.sdk,
            "max": self.max_size,
            "versions": dict(self.versions) or None,
            "profile": self.profile,
            "config": self.config,
            "topics": self.topics,
        }
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ConfigPush:
    """Body of `d/config`: the whole, or a merge patch against the configuration with id `base`."""

    id: str
    seq: int
    full: Mapping[str, Any] | None = None
    base: str | None = None
    delta: Mapping[str, Any] | None = None
    name: str | None = None

    @classmethod
    def from_json(cls, value: object) -> "ConfigPush":
        """Raises: PayloadError naming the member."""
        body = _object(value)
        push = cls(
            id=_member(body, "id", str, ""),
            seq=_member(body, "seq", int, 0),
            full=_member(body, "full", dict, None),
            base=_member(body, "base", str, None),
            delta=_member(body, "delta", dict, None),
            name=_member(body, "name", str, None),
        )
        if not push.id:
            raise PayloadError("missing", key="id")
        if (push.full is None) == (push.delta is None):
            raise PayloadError("either full, or base and delta", key="full")
        if push.delta is not None and push.base is None:
            raise PayloadError("missing beside delta", key="base")
        return push


@dataclass(frozen=True, slots=True)
class AppliedReport:
    """Body of `u/config/applied`."""

    id: str
    code: int
    key: str | None = None
    reason: str | None = None
    values: Mapping[str, Any] | None = None  # leaves that the device set otherwise (`akela.contract.device_values`)

    @classmethod
    def from_json(cls, value: object) -> "AppliedReport":
        """Raises: PayloadError naming the member."""
        body = _object(value)
        number, code = _member(body, "id", str, None), _member(body, "code", int, None)
        if number is None:
            raise PayloadError("missing", key="id")
        if code is None or not 200 <= code <= 599:
            raise PayloadError(f"{code} is no code: 200 to 599", key="code")
        key, reason = _member(body, "key", str, None), _member(body, "reason", str, None)
        return cls(number, code, key, reason, _member(body, "values", dict, None))

    def to_json(self) -> dict[str, Any]:
        """The members that say something."""
        said = {"id": self.id, "code": self.code, "key": self.key, "reason": self.reason, "values": self.values}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ErrorPayload:
    """Body of a refusal."""

    plane: str
    reason: str
    key: str | None = None
    retry: float | None = None  # seconds to wait before trying again

    @classmethod
    def from_json(cls, value: object) -> "ErrorPayload":
        """Raises: PayloadError naming the member."""
        body = _object(value)
        return cls(
            plane=_member(body, "plane", str, ""),
            reason=_member(body, "reason", str, ""),
            key=_member(body, "key", str, None),
            retry=_member(body, "retry", (int, float), None),
        )

    def to_bytes(self) -> bytes:
        """JSON of at most 200 bytes: reason, then key, are shortened to fit."""
        reason, key = self.reason, self.key
        while len(encoded := self._encoded(reason, key)) > MAX_ERROR_SIZE:
            over = len(encoded) - MAX_ERROR_SIZE
            if len(reason) > 24:
                reason = (
                    reason[: max(24, len(reason) - over // 2 - 4)].rstrip("…") + "…"
                    if len(reason) > 25
                    else reason[:24]
                )
            elif key:
                key = key[: max(0, len(key) - over // 2 - 4)]
            else:
                reason = reason[: len(reason) // 2]
        return encoded

    def _encoded(self, reason: str, key: str | None) -> bytes:
        said = {"plane": self.plane, "reason": reason, "key": key, "retry": self.retry}
        kept = {name: value for name, value in said.items() if value is not None}
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
