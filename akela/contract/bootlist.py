"""The signed list of Operations servers that a Bootstrap server answers with.

Ed25519 (RFC 8032) over the canonical JSON (RFC 8785) of everything but `sig`. A device holds the public keys that it
trusts, in the text form `{kid}:{base64url}`; `kid` is the first 16 hex digits of the SHA-256 of the raw public key.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from akela.contract.canonical import canonical_json
from akela.contract.errors import PayloadError, SignatureError
from akela.contract.payloads import decode_json

CLOCK_SKEW_S: Final = 300  # how far the clocks of server and device may differ


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """One Operations server as endpoints reach it."""

    host: str
    port: int
    tls: int | None = None  # MQTTS port
    ws: int | None = None  # MQTT over WebSocket port
    weight: int = 1  # share of the endpoints among servers of one priority
    prio: int = 0  # lower first


@dataclass(frozen=True, slots=True)
class ServerList:
    """Where to connect, in what order, and for how long to believe it."""

    servers: tuple[ServerEntry, ...]
    ttl_s: int
    backoff_min_s: float
    backoff_max_s: float
    issued_s: int  # seconds since 1970
    kid: str
    nonce: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What is signed."""
        body: dict[str, Any] = {
            "servers": [
                {"host": s.host, "port": s.port, "tls": s.tls, "ws": s.ws, "weight": s.weight, "prio": s.prio}
                for s in self.servers
            ],
            "ttl": self.ttl_s,
            "backoff": {"min": self.backoff_min_s, "max": self.backoff_max_s},
            "iat": self.issued_s,
            "kid": self.kid,
        }
        return body if self.nonce is None else body | {"nonce": self.nonce}


def sign(servers: ServerList, key: Ed25519PrivateKey) -> bytes:
    """The payload of an answer at `a1/boot`."""
    body = servers.to_json()
    signature = base64.urlsafe_b64encode(key.sign(canonical_json(body))).decode().rstrip("=")
    return json.dumps(body | {"sig": signature}, separators=(",", ":")).encode()


def verify(
    payload: bytes, keys: Mapping[str, Ed25519PublicKey], *, now_s: float | None, nonce: str | None = None
) -> ServerList:
    """The list in `payload`, if one of `keys` signed it, it is not out of date and carries `nonce`.

    `now_s`: seconds since 1970, or None on a device without a clock, which should ask with a nonce instead.
    Raises: SignatureError; PayloadError when it is no server list.
    """
    body = decode_json(payload)
    if not isinstance(body, dict):
        raise PayloadError("a server list is a JSON object")
    signature = body.pop("sig", None)
    kid = body.get("kid")
    if not isinstance(kid, str) or kid not in keys:
        raise SignatureError(f"signed by {kid!r}; trusted: {', '.join(keys) or 'no key'}", key="kid")
    try:
        keys[kid].verify(_unpadded(str(signature)), canonical_json(body))
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise SignatureError("the signature does not hold", key="sig") from error
    servers = _parsed(body)
    if nonce != servers.nonce:
        raise SignatureError(f"nonce {servers.nonce!r}, asked with {nonce!r}", key="nonce")
    if now_s is not None and not -CLOCK_SKEW_S <= now_s - servers.issued_s <= servers.ttl_s + CLOCK_SKEW_S:
        raise SignatureError(f"issued {now_s - servers.issued_s:.0f} s ago, good for {servers.ttl_s} s", key="iat")
    return servers


def key_id(key: Ed25519PublicKey) -> str:
    """The `kid` of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def public_text(key: Ed25519PublicKey) -> str:
    """The text form of a public key, as devices are given it."""
    return f"{key_id(key)}:{base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip('=')}"


def public_from_text(text: str) -> tuple[str, Ed25519PublicKey]:
    """`kid` and key of a text form. Raises: SignatureError when it is none, or the kid is another key's."""
    kid, _, encoded = text.strip().partition(":")
    try:
        key = Ed25519PublicKey.from_public_bytes(_unpadded(encoded))
    except (binascii.Error, ValueError) as error:
        raise SignatureError(f"{text[:80]!r} is no key: expected KID:BASE64URL of 32 bytes", key="key") from error
    if key_id(key) != kid:
        raise SignatureError(f"{kid!r} is not the id of this key, which is {key_id(key)}", key="kid")
    return kid, key


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _parsed(body: Mapping[str, Any]) -> ServerList:
    try:
        entries = tuple(
            ServerEntry(s["host"], s["port"], s.get("tls"), s.get("ws"), s.get("weight", 1), s.get("prio", 0))
            for s in body["servers"]
        )
        backoff = body["backoff"]
        return ServerList(
            entries, body["ttl"], backoff["min"], backoff["max"], body["iat"], body["kid"], body.get("nonce")
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise PayloadError(f"no server list: {error}") from error
