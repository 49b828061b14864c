"""The signed server list: believed if and only if a trusted key signed exactly this, for this question, not long ago."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from akela.contract.bootlist import ServerEntry, ServerList, key_id, public_from_text, public_text, sign, verify
from akela.contract.errors import ContractError, SignatureError

KEY = Ed25519PrivateKey.generate()
KID = key_id(KEY.public_key())
KEYS = {KID: KEY.public_key()}
NOW = 1_800_000_000
LIST = ServerList((ServerEntry("h", 1883, tls=8883, weight=3, prio=1),), 60, 0.5, 30.0, NOW, KID)
NONCED = ServerList((), 60, 1, 2, NOW, KID, nonce="n1")


def test_what_was_signed_is_believed() -> None:
    assert verify(sign(LIST, KEY), KEYS, now_s=NOW) == LIST
    assert verify(sign(LIST, KEY), KEYS, now_s=None) == LIST
    assert verify(sign(NONCED, KEY), KEYS, now_s=NOW, nonce="n1") == NONCED


def tampered(**changes: Any) -> bytes:
    return json.dumps(json.loads(sign(LIST, KEY)) | changes).encode()


@pytest.mark.parametrize(
    "payload",
    [
        tampered(servers=[]), tampered(servers=[{"host": "evil", "port": 1}]), tampered(ttl=10**9), tampered(iat=NOW + 1),
        tampered(sig=""), tampered(sig=None), tampered(sig="A" * 86), tampered(sig="é"), tampered(kid="0" * 16), tampered(kid=1),
        tampered(extra=1), sign(LIST, Ed25519PrivateKey.generate()),
    ],
)  # fmt: skip
def test_a_changed_list_is_not_believed(payload: bytes) -> None:
    with pytest.raises(SignatureError):
        verify(payload, KEYS, now_s=NOW)


@pytest.mark.parametrize(("asked", "answered"), [("n2", NONCED), (None, NONCED), ("n1", LIST)])
def test_an_answer_to_another_question_is_not_believed(asked: str | None, answered: ServerList) -> None:
    with pytest.raises(SignatureError, match="nonce"):
        verify(sign(answered, KEY), KEYS, now_s=NOW, nonce=asked)


@pytest.mark.parametrize("now_s", [NOW + 361, NOW - 301])
def test_an_old_list_is_not_believed(now_s: int) -> None:
    with pytest.raises(SignatureError, match="issued"):
        verify(sign(LIST, KEY), KEYS, now_s=now_s)


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"\xff", b'{"kid": "x"}'])
def test_what_is_no_list_is_refused(payload: bytes) -> None:
    with pytest.raises(ContractError):
        verify(payload, KEYS, now_s=NOW)


def test_keys_are_given_to_devices_as_text() -> None:
    kid, key = public_from_text(public_text(KEY.public_key()))
    assert (kid, key.public_bytes_raw()) == (KID, KEY.public_key().public_bytes_raw())
    for text in ("", "x", f"{KID}:", f"{'0' * 16}:{public_text(KEY.public_key()).partition(':')[2]}", f"{KID}:AAAA"):
        with pytest.raises(SignatureError):
            public_from_text(text)
