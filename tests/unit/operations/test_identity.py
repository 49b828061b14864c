"""Who may connect: every credential kind, every trust, every way to be refused (DESIGN section 4)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from akela.contract.topics import endpoint_id
from broker import Reason, Refused
from operations.catalog import Application
from operations.identity import Admitted, admit_endpoint, admit_operator, digest, token_id
from operations.principals import Operator

CLAIM, OWN = b"akc_claim", b"ake_own"
EP = endpoint_id("meter-7")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def application(trust: str = "open") -> Application:
    return Application("demoapp", "default", trust, {"c1": digest(CLAIM)}, "values")


def stored(*, used: bool = True, own: bool = True, **fields: Any) -> Mapping[str, Any]:
    credentials = [{"id": "k1", "kind": "token", "hash": digest(OWN), "used": used}] if own else []
    return {"_id": "demoapp/meter-7", "credentials": credentials, "revoked": False, **fields}


def refusal(verdict: Admitted | Refused) -> str:
    assert isinstance(verdict, Refused)
    assert verdict.reason is Reason.NOT_AUTHORIZED
    return verdict.text


def test_a_claim_secret_registers_an_unknown_endpoint_under_open_trust() -> None:
    verdict = admit_endpoint(application(), EP, CLAIM, None, NOW)
    assert isinstance(verdict, Admitted)
    assert verdict.register
    assert not verdict.endpoint.limited
    assert verdict.endpoint.credential is None


def test_a_known_endpoint_is_not_registered_again() -> None:  # K50
    verdict = admit_endpoint(application(), EP, CLAIM, stored(own=False), NOW)
    assert isinstance(verdict, Admitted)
    assert not verdict.register


def test_an_endpoint_comes_with_its_own_credential_under_any_trust() -> None:
    for trust in ("open", "listed", "closed"):
        verdict = admit_endpoint(application(trust), EP, OWN, stored(), NOW)
        assert isinstance(verdict, Admitted)
        assert verdict.endpoint.credential == "k1"
        assert not verdict.endpoint.limited


def test_a_used_credential_closes_the_endpoint_to_the_claim_secret() -> None:
    assert "credential of its own" in refusal(admit_endpoint(application(), EP, CLAIM, stored(used=True), NOW))


def test_an_unused_credential_does_not_lock_a_device_out_that_lost_the_answer() -> None:
    assert isinstance(admit_endpoint(application(), EP, CLAIM, stored(used=False), NOW), Admitted)


def test_listed_trust_takes_a_claim_secret_from_provisioned_endpoints_for_registration_only() -> None:
    verdict = admit_endpoint(application("listed"), EP, CLAIM, stored(own=False), NOW)
    assert isinstance(verdict, Admitted)
    assert verdict.endpoint.limited
    assert "not provisioned" in refusal(admit_endpoint(application("listed"), EP, CLAIM, None, NOW))


def test_closed_trust_takes_no_claim_secret() -> None:
    assert "closed" in refusal(admit_endpoint(application("closed"), EP, CLAIM, stored(own=False), NOW))


@pytest.mark.parametrize("secret", [b"", b"akc_other", b"\xff\x00"])
def test_a_wrong_password_is_refused(secret: bytes) -> None:
    assert refusal(admit_endpoint(application(), EP, secret, stored(), NOW)) == "wrong password"


def claims(**fields: Any) -> Application:
    claim = {"id": "c1", "hash": digest(CLAIM), "expires": None, "revoked": False} | fields
    other = {"id": "c2", "hash": digest(b"akc_other")}
    return Application.of({"_id": "demoapp", "tenant": "default", "trust": "open", "claim_secrets": [claim, other]})


def test_a_claim_secret_is_good_until_it_expires() -> None:
    assert isinstance(admit_endpoint(claims(expires=NOW + timedelta(seconds=1)), EP, CLAIM, None, NOW), Admitted)
    assert "has expired" in refusal(admit_endpoint(claims(expires=NOW), EP, CLAIM, None, NOW))
    assert isinstance(admit_endpoint(claims(expires=NOW), EP, b"akc_other", None, NOW), Admitted)


def test_a_revoked_claim_secret_opens_nothing() -> None:
    assert refusal(admit_endpoint(claims(revoked=True), EP, CLAIM, None, NOW)) == "wrong password"
    assert isinstance(admit_endpoint(claims(revoked=True), EP, b"akc_other", None, NOW), Admitted)


@pytest.mark.parametrize("secret", [CLAIM, OWN])
def test_a_revoked_endpoint_stays_out_also_under_open_trust(secret: bytes) -> None:
    assert (
        refusal(admit_endpoint(application(), EP, secret, stored(used=False, revoked=True), NOW))
        == "the endpoint is revoked"
    )


def test_the_ledger_tells_what_an_endpoint_holds() -> None:
    config = {"assigned": {"id": "aa"}, "sent": {"id": "aa"}, "applied": {"id": "bb"}, "refused": None}
    verdict = admit_endpoint(application(), EP, OWN, stored(config=config), NOW)
    assert isinstance(verdict, Admitted)
    assert verdict.endpoint.holds == "bb"
    assert verdict.endpoint.ledger.assigned == "aa"
    assert verdict.endpoint.ledger.refused is None


TOKEN = b"akt_t1_secret"


def operator_token(**fields: Any) -> Mapping[str, Any]:
    document: dict[str, Any] = {
        "_id": "t1",
        "user": "ann",
        "tenant": "default",
        "hash": digest(TOKEN),
        "roles": ["tenant-viewer"],
    }
    return document | fields


@pytest.mark.parametrize("user", ["ann", "t1"])
def test_an_operator_comes_as_user_or_token_id(user: str) -> None:
    verdict = admit_operator(user, TOKEN, operator_token(), NOW)
    assert isinstance(verdict, Operator)
    assert (verdict.user, verdict.tenant) == ("ann", "default")


def test_a_token_s_scope_goes_with_the_operator() -> None:
    scoped = admit_operator("ann", TOKEN, operator_token(applications=["demoapp"]), NOW)
    whole = admit_operator("ann", TOKEN, operator_token(applications=None), NOW)
    assert isinstance(scoped, Operator)
    assert isinstance(whole, Operator)
    assert (scoped.applications, whole.applications) == (frozenset({"demoapp"}), None)


@pytest.mark.parametrize(
    ("user", "password", "token", "why"),
    [
        ("ann", TOKEN, None, "unknown"),
        ("ann", b"akt_t1_other", operator_token(), "unknown"),
        ("bob", TOKEN, operator_token(), "another user"),
        ("ann", TOKEN, operator_token(revoked=True), "revoked"),
        ("ann", TOKEN, operator_token(expires=NOW), "expired"),
        ("ann", TOKEN, operator_token(roles=[]), "no role"),
    ],
)
def test_a_bad_token_is_refused(user: str, password: bytes, token: Mapping[str, Any] | None, why: str) -> None:
    verdict = admit_operator(user, password, token, NOW)
    assert isinstance(verdict, Refused)
    assert why in verdict.text


def test_a_token_is_good_until_it_expires() -> None:
    assert isinstance(admit_operator("ann", TOKEN, operator_token(expires=NOW + timedelta(seconds=1)), NOW), Operator)


@pytest.mark.parametrize(
    ("password", "number"),
    [(TOKEN, "t1"), (b"akt_t1_a_b", "t1"), (b"akt_t1", None), (b"akt__x", None), (b"akc_x_y", None), (b"\xff", None)],
)
def test_the_id_inside_an_api_token(password: bytes, number: str | None) -> None:
    assert token_id(password) == number
