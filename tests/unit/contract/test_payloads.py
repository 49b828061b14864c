"""Payloads: bounded, never a crash, refusals that fit 200 bytes."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from akela.contract.errors import ContractError, PayloadError
from akela.contract.payloads import AppliedReport, ConfigPush, ErrorPayload, HelloPayload, decode_json, decode_payload
from tests.unit.contract.strategies import JSON


@given(JSON)
def test_json_comes_back_as_it_was(value: Any) -> None:
    assert decode_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(payload: bytes) -> None:
    with contextlib.suppress(ContractError):
        assert decode_payload(payload) == decode_payload(payload)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "no UTF-8"),
        (b"NaN", "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[" * 100 + b"]" * 100, "nested deeper than 64"),
        (b"[" * 100_000, "nested too deep"),
        (b"9" * 5000, "number too long"),
        (b"9223372036854775808", "beyond 64 bits"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b'{"\\udfff": 1}', "lone surrogate"),
        (b"\xc3\x01\x00", "no Avro single-object encoding"),
        (b"\xc3\x01" + b"\0" * 8, "no schema with fingerprint 0000000000000000"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(PayloadError, match=reason):
        decode_payload(payload)


@given(st.text(max_size=400), st.none() | st.text(max_size=400), st.none() | st.floats(0, 1e9))
def test_a_refusal_fits_200_bytes(reason: str, key: str | None, retry: float | None) -> None:
    encoded = ErrorPayload("profile", reason, key, retry).to_bytes()
    assert len(encoded) <= 200
    assert ErrorPayload.from_json(json.loads(encoded)).plane == "profile"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"fmt": "xml"}, "fmt"),
        ({"fmt": 1}, "fmt"),
        ({"max": "1"}, "max"),
        ({"max": True}, "max"),
        ({"versions": {"config": "1"}}, "config"),
        ({"versions": []}, "versions"),
        ({"config": 7}, "config"),
    ],
)
def test_a_wrong_hello_names_its_member(body: dict[str, Any], key: str) -> None:
    with pytest.raises(PayloadError) as caught:
        HelloPayload.from_json(body)
    assert caught.value.key == key


def test_a_hello_comes_back_and_ignores_what_it_does_not_know() -> None:
    hello = HelloPayload("json", "sdk 1", 1000, {"config": 2}, "p", "c", "t")
    assert HelloPayload.from_json(hello.to_json() | {"newer": True}) == hello
    assert HelloPayload.from_json({}) == HelloPayload()


@pytest.mark.parametrize(
    ("body", "key"),
    [({}, "id"), ({"id": "x"}, "code"), ({"id": "x", "code": 99}, "code"), ({"id": 1, "code": 200}, "id")],
)
def test_a_wrong_report_names_its_member(body: dict[str, Any], key: str) -> None:
    with pytest.raises(PayloadError) as caught:
        AppliedReport.from_json(body)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"seq": 1, "full": {}}, "id"),
        ({"id": "a"}, "full"),
        ({"id": "a", "full": {}, "delta": {}}, "full"),
        ({"id": "a", "delta": {}}, "base"),
        ([], None),
    ],
)
def test_a_wrong_configuration_names_its_member(body: Any, key: str | None) -> None:
    with pytest.raises(PayloadError) as caught:
        ConfigPush.from_json(body)
    assert caught.value.key == key
