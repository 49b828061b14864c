"""Secrets: made here, shown once, stored as hashes."""

import hashlib
import secrets as random

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("nobody")  # checked when there is no such user, so that time does not tell


def password_hash(password: str) -> str:
    """argon2 of a person's password."""
    return _HASHER.hash(password)


def password_fits(stored: str | None, password: str) -> bool:
    """Whether a password is the stored one; takes as long when there is none."""
    try:
        return _HASHER.verify(stored or _NOBODY, password) and stored is not None
    except VerificationError:
        return False


def digest(secret: str) -> str:
    """SHA-256 in hex: how random secrets are stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_id() -> str:
    """A random id of 12 characters."""
    return random.token_hex(6)


def new_token(number: str) -> str:
    """Text of an API token."""
    return f"akt_{number}_{random.token_urlsafe(32)}"


def new_claim_secret() -> str:
    """Text of an application's claim secret."""
    return f"akc_{random.token_urlsafe(24)}"


def new_credential() -> str:
    """Text of an endpoint's credential."""
    return f"ake_{random.token_urlsafe(32)}"


def new_app_token() -> str:
    """An application token: 8 of a-z2-7."""
    return "".join(random.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(8))
