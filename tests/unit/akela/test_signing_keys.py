"""Which public keys an algorithm takes."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from akela.signing_keys import SigningKeyError, fingerprint, public_key

KEYS: dict[str, PublicKeyTypes] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()).public_key(),
    "P-384": ec.generate_private_key(ec.SECP384R1()).public_key(),
    "Ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
    "Ed448": ed448.Ed448PrivateKey.generate().public_key(),
    "RSA 2048": rsa.generate_private_key(65537, 2048).public_key(),
    "RSA 1024": rsa.generate_private_key(65537, 1024).public_key(),
}
FITTING = {("ES256", "P-256"), ("EdDSA", "Ed25519"), ("RS256", "RSA 2048")}


def pem(name: str) -> str:
    return KEYS[name].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
@pytest.mark.parametrize("name", KEYS)
def test_each_algorithm_takes_its_own_kind_of_key(algorithm: str, name: str) -> None:
    if (algorithm, name) in FITTING:
        assert fingerprint(public_key(algorithm, pem(name))) == fingerprint(KEYS[name])
        return
    with pytest.raises(SigningKeyError, match=f"{algorithm} takes"):
        public_key(algorithm, pem(name))


@pytest.mark.parametrize("algorithm", ["HS256", "none", ""])
def test_no_algorithm_that_a_shared_secret_would_do_for(algorithm: str) -> None:
    with pytest.raises(SigningKeyError, match="allowed are ES256, EdDSA, RS256"):
        public_key(algorithm, pem("P-256"))


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(SigningKeyError, match="no public key in PEM"):
        public_key("ES256", text)
