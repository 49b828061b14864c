"""What goes around a configuration for endpoints that want Avro: both are Avro single-object encodings, one inside the other.

The inner one is in the version of the configuration schema that the endpoint runs; this one never changes within `a1` of the contract.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from akela.contract.avro import decode, parse_schema

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "record",
    "name": "ConfigPush",
    "namespace": "akela.a1",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "seq", "type": "long"},
        {"name": "full", "type": "bytes"},
    ],
}
_PARSED: Final = parse_schema(SCHEMA)
FINGERPRINT: Final = _PARSED.fingerprint


@dataclass(frozen=True, slots=True)
class AvroPush:
    """Body of a `d/config` in Avro; `full` is the single-object encoding of the configuration."""

    id: str
    seq: int
    full: bytes

    def to_bytes(self) -> bytes:
        """The payload."""
        return _PARSED.encode({"id": self.id, "seq": self.seq, "full": self.full.decode("latin-1")})

    @classmethod
    def from_bytes(cls, payload: bytes) -> "AvroPush":
        """Raises: PayloadError for what is no such payload."""
        value = decode(payload, {FINGERPRINT: _PARSED}.get)
        return cls(value["id"], value["seq"], value["full"].encode("latin-1"))
