"""Endpoints that come with a JSON Web Token (RFC 7519) as their password. Over PyJWT; the only file that knows it.

A token needs `exp`, `sub` (the endpoint id) and `aud` (the application's token), signed by one of the application's keys. A key says
its one algorithm, and all of them are asymmetric: no token chooses how it is checked. `kid` picks the key; without one all are tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import jwt
from jwt.types import Options

from akela.signing_keys import PublicKey, fingerprint, public_key

# When it was issued decides nothing: the clock of whoever signs may be a little ahead.
OPTIONS: Final[Options] = {"require": ["exp", "sub", "aud"], "verify_iat": False}
MAX_TOKEN: Final = 8192  # bytes


class TokenError(Exception):
    """A token does not open the endpoint: why."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that may sign tokens of an application's endpoints."""

    id: str
    algorithm: str
    public_key: PublicKey
    mark: str  # tells it from another that takes its id later

    @classmethod
    def of(cls, entry: Mapping[str, str]) -> "Key":
        """The key of an application's document. Raises: SigningKeyError."""
        found = public_key(entry["algorithm"], entry["public_key"])
        return cls(entry["id"], entry["algorithm"], found, f"{entry['id']} {fingerprint(found)}")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a good token says: by which key (its mark), and until when."""

    key: str
    until: datetime


def looks_like_one(password: bytes) -> bool:
    """Whether a password is a token by its shape: three parts, the first one JSON in base64url."""
    return password.startswith(b"eyJ") and password.count(b".") == 2


def check(password: bytes, app: str, ep: str, keys: Sequence[Key]) -> Opened:
    """What the token says of endpoint `ep`. Raises: TokenError."""
    if len(password) > MAX_TOKEN:
        raise TokenError(f"the JWT is longer than {MAX_TOKEN} bytes")
    try:
        kid = jwt.get_unverified_header(password).get("kid")
    except jwt.InvalidTokenError as error:
        raise TokenError("the JWT cannot be read") from error
    fitting = keys if kid is None else [key for key in keys if key.id == kid]
    if not fitting:
        raise TokenError(
            "the application has no keys for JWTs" if kid is None else "the JWT's kid is no key of the application"
        )
    for key in fitting:
        try:
            claims = jwt.decode(password, key.public_key, algorithms=[key.algorithm], audience=app, options=OPTIONS)
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError, TypeError):
            continue  # another key may have signed it
        except jwt.InvalidTokenError as error:
            raise TokenError(_why(error)) from error
        if claims["sub"] != ep:
            raise TokenError("the JWT's sub is another endpoint")
        try:
            return Opened(key.mark, datetime.fromtimestamp(claims["exp"], UTC))
        except (OverflowError, ValueError, OSError) as error:
            raise TokenError("the JWT's exp is out of range") from error
    raise TokenError("the JWT is signed by no key of the application")


def _why(error: jwt.InvalidTokenError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "the JWT has expired"
        case jwt.ImmatureSignatureError():
            return "the JWT is not valid yet"
        case jwt.InvalidAudienceError():
            return "the JWT's aud is another application"
        case jwt.MissingRequiredClaimError():
            return f"the JWT has no {error.claim}"
    return "the JWT is not valid"
