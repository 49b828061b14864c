"""The private key of a Bootstrap server: a PEM file that only its owner reads, made on first start."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from akela.errors import ServerError
from akela.paths import write_private


def load_or_make(file: Path) -> Ed25519PrivateKey:
    """The key in `file`. Raises: ServerError when there is something else in it."""
    if not file.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(file, pem.decode())
        except OSError as error:
            raise ServerError(f"{file}: {error.strerror}; see --boot-key") from error
        return key
    try:
        found = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ServerError(f"{file}: no private key in PEM: {error}; see --boot-key") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise ServerError(f"{file}: not an Ed25519 key; see --boot-key")
    return found
