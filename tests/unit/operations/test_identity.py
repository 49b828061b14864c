"""Who may connect: every credential kind, every trust, every way to be refused (DESIGN section 4)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from akela.contract.topics import endpoint_id
from broker import Reason, Refused
from operations.catalog import Application
from operations.identity import Admitted, admit_endpoint, admit_operator, allowed, digest, first_use, token_id
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


def issued(*numbers: str, used: tuple[str, ...] = (), **fields: Any) -> Mapping[str, Any]:
    """An endpoint with credentials that Operations issued, in this order; the password of `k` is `ake_k`."""
    made = {
        number: {"kind": "token", "hash": digest(f"ake_{number}".encode()), "created": NOW + timedelta(seconds=place)}
        for place, number in enumerate(numbers)
    }
    uses = dict.fromkeys(used, NOW)
    return {"_id": "demoapp/meter-7", "credentials": [], "revoked": False, "issued": made, "used": uses, **fields}


def admitted(verdict: Admitted | Refused) -> Admitted:
    assert isinstance(verdict, Admitted), verdict
    return verdict


def test_during_a_rotation_both_credentials_open_the_endpoint() -> None:
    document = issued("a1", "b2", used=("a1",))
    for number in ("a1", "b2"):
        verdict = admitted(admit_endpoint(application(), EP, f"ake_{number}".encode(), document, NOW))
        assert (verdict.endpoint.credential, verdict.endpoint.via) == (number, "token")


def test_the_first_use_of_the_new_credential_ends_the_old_one() -> None:
    document = issued("a1", "b2", used=("a1",))
    verdict = admitted(admit_endpoint(application(), EP, b"ake_b2", document, NOW))
    assert first_use(verdict.endpoint, document) == ("b2", ["a1"])
    after = issued("a1", "b2", used=("b2",))
    assert refusal(admit_endpoint(application(), EP, b"ake_a1", after, NOW)) == "wrong password"
    again = admitted(admit_endpoint(application(), EP, b"ake_b2", after, NOW))
    assert first_use(again.endpoint, after) is None


def test_a_new_credential_makes_superfluous_what_was_issued_and_is_not_in_use() -> None:
    claimed = admitted(admit_endpoint(application(), EP, CLAIM, issued("a1", "b2"), NOW))
    assert claimed.endpoint.spare == ("a1", "b2")
    own = admitted(admit_endpoint(application(), EP, b"ake_a1", issued("a1", "b2", used=("a1",)), NOW))
    assert own.endpoint.spare == ("b2",)
    assert own.endpoint.newest == NOW + timedelta(seconds=1)


def test_a_retired_credential_opens_nothing_and_the_claim_secret_opens_again() -> None:
    document = issued("a1", used=("a1",), retired=[{"id": "a1", "created": NOW}])
    assert refusal(admit_endpoint(application(), EP, b"ake_a1", document, NOW)) == "wrong password"
    assert admitted(admit_endpoint(application(), EP, CLAIM, document, NOW)).claim == "c1"


@pytest.mark.parametrize("kind", ["x509", "jwt"])
def test_an_endpoint_that_has_come_by_certificate_or_jwt_is_closed_to_the_claim_secret(kind: str) -> None:
    assert "credential of its own" in refusal(admit_endpoint(application(), EP, CLAIM, issued(used=(kind,)), NOW))


def test_a_session_may_stay_unless_its_credential_is_retired_or_the_endpoint_revoked() -> None:
    endpoint = admitted(admit_endpoint(application(), EP, b"ake_a1", issued("a1"), NOW)).endpoint
    assert allowed(endpoint, {"owner": "jo"})
    assert allowed(endpoint, {"credentials": [], "retired": [{"id": "b2", "created": NOW}]})
    assert not allowed(endpoint, {"retired": [{"id": "a1", "created": NOW}]})
    assert not allowed(endpoint, {"revoked": True})
