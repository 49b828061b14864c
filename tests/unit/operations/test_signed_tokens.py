"""JSON Web Tokens as passwords: what a token must say, who must have signed it, and what is said of one that opens nothing."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from operations.signed_tokens import MAX_TOKEN, Key, TokenError, check, looks_like_one

APP, EP = "demoapp", "meter-7"
PRIVATE: Mapping[str, Any] = {
    "e1": ec.generate_private_key(ec.SECP256R1()),
    "e2": ec.generate_private_key(ec.SECP256R1()),
    "d1": ed25519.Ed25519PrivateKey.generate(),
    "r1": rsa.generate_private_key(65537, 2048),
}
ALGORITHM = {"e1": "ES256", "e2": "ES256", "d1": "EdDSA", "r1": "RS256"}


def public_pem(name: str) -> str:
    return str(PRIVATE[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def key(name: str) -> Key:
    return Key.of({"id": name, "algorithm": ALGORITHM[name], "public_key": public_pem(name)})


KEYS = [key("e1"), key("d1"), key("r1")]
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


def token(by: str = "e1", *, kid: Any = None, without: str | None = None, **claims: Any) -> bytes:
    said = {"sub": EP, "aud": APP, "exp": LATER} | claims
    said.pop(without or "", None)
    return jwt.encode(said, PRIVATE[by], ALGORITHM[by], headers=None if kid is None else {"kid": kid}).encode()


def by_hand(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes = b"x") -> bytes:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def why(password: bytes, keys: list[Key] | None = None) -> str:
    with pytest.raises(TokenError) as found:
        check(password, APP, EP, KEYS if keys is None else keys)
    return str(found.value)


@pytest.mark.parametrize("by", ["e1", "d1", "r1"])
@pytest.mark.parametrize("named", [True, False])
def test_a_token_of_each_algorithm_opens_its_endpoint_until_it_expires(by: str, named: bool) -> None:
    opened = check(token(by, kid=by if named else None), APP, EP, KEYS)
    assert (opened.key, opened.until) == (key(by).mark, LATER)


def test_when_it_was_issued_matters_not__clocks_differ() -> None:
    assert check(token(iat=datetime.now(UTC) + timedelta(seconds=30)), APP, EP, KEYS)


def test_one_of_several_audiences_is_enough() -> None:
    assert check(token(aud=["other", APP]), APP, EP, KEYS)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        (token(exp=datetime.now(UTC) - timedelta(seconds=1)), "has expired"),
        (token(nbf=LATER), "not valid yet"),
        (token(aud="other"), "aud is another application"),
        (token(sub="meter-8"), "sub is another endpoint"),
        (token(without="exp"), "has no exp"),
        (token(without="sub"), "has no sub"),
        (token(without="aud"), "has no aud"),
        (token("e2"), "signed by no key"),
        (token("e2", kid="e1"), "signed by no key"),
        (token("e1", kid="e9"), "kid is no key"),
        (token("e1", kid="d1"), "signed by no key"),
        (token(exp=10**15), "exp is out of range"),
        (token(exp=1e300), "exp is out of range"),
        (token(exp=float("inf")), "is not valid"),
        (token() + b"x" * MAX_TOKEN, "longer than"),
        (b"eyJ.eyJ.x", "cannot be read"),
        (b"eyJ\xff\xfe.\x00.x", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(password: bytes, reason: str) -> None:
    assert reason in why(password)


def test_no_token_chooses_how_it_is_checked() -> None:
    claims = {"sub": EP, "aud": APP, "exp": LATER.timestamp()}
    assert "signed by no key" in why(by_hand({"alg": "none", "typ": "JWT"}, claims, b""))
    secret = public_pem("e1").encode()  # the old trick: the public key as a shared secret
    parts = by_hand({"alg": "HS256", "typ": "JWT"}, claims).rpartition(b".")[0]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(parts, secret)
    forged = parts + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
    assert "signed by no key" in why(forged)


def test_an_application_without_keys_says_so() -> None:
    assert "has no keys for JWTs" in why(token(), [])


def test_another_key_under_the_same_id_has_another_mark() -> None:
    again = Key.of({"id": "e1", "algorithm": "ES256", "public_key": public_pem("e2")})
    assert again.mark != key("e1").mark == key("e1").mark


def test_a_token_is_known_by_its_shape() -> None:
    assert looks_like_one(token())
    assert not any(looks_like_one(other) for other in (b"", b"ake_x.y.z", b"eyJ", b"akc_eyJ.a.b"))
