"""Public keys that may sign JSON Web Tokens: which algorithms there are, and which key each of them takes.

Control asks before it stores a key, whoever checks a token asks again. All algorithms are asymmetric: no server holds what could sign.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from akela.errors import AkelaError

PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey

MIN_RSA_BITS: Final = 2048  # RFC 7518, section 3.3
TAKES: Final[Mapping[str, str]] = {
    "ES256": "an elliptic curve key on P-256",
    "EdDSA": "an Ed25519 key",
    "RS256": f"an RSA key of {MIN_RSA_BITS} bits or more",
}


class SigningKeyError(AkelaError):
    """A text is no public key, or not one that the algorithm takes."""


def public_key(algorithm: str, pem: str) -> PublicKey:
    """The key in `pem`. Raises: SigningKeyError."""
    if algorithm not in TAKES:
        raise SigningKeyError(f"algorithm {algorithm!r}: allowed are {', '.join(TAKES)}")
    try:
        found = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningKeyError("no public key in PEM") from error
    match algorithm, found:
        case "ES256", EllipticCurvePublicKey() if isinstance(found.curve, SECP256R1):
            return found
        case "EdDSA", Ed25519PublicKey():
            return found
        case "RS256", RSAPublicKey() if found.key_size >= MIN_RSA_BITS:
            return found
    raise SigningKeyError(f"{algorithm} takes {TAKES[algorithm]}")


def fingerprint(key: PublicKeyTypes) -> str:
    """SHA-256 of a key's SubjectPublicKeyInfo, hex: the same wherever the same key is."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
