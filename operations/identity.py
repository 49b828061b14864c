"""Who may connect, and as what: the rules of DESIGN section 4 as a plain decision on stored documents.

In the order of checking: the other servers of the cluster, operators with an API token, endpoints with a credential of
their own (a token, a JWT, without a password a certificate), endpoints with their application's claim secret. Every secret is
compared as SHA-256 in constant time. A claim secret opens nothing for an endpoint that has used a credential of its own: the
secret is in every device of the application, so it would let each of them speak for all others. A certificate or JWT that the
application's own authority or key has signed registers an unknown endpoint as a claim secret does, under open trust.
"""

import hashlib
import hmac
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from akela.contract.authority import device_id, stored_state
from akela.contract.topics import EndpointId, app_token
from akela.credentials import OTHER_KINDS, Standing, uses_other_kind
from broker import Reason, Refused
from operations import certificates, signed_tokens
from operations.catalog import Application
from operations.certificates import Authority, CertificateError, Shown
from operations.ledger import Ledger
from operations.principals import NOTHING, Endpoint, Operator
from operations.signed_tokens import TokenError

TOKEN_PREFIX: Final = "akt_"
OBSERVERS: Final = frozenset({"platform-admin", "tenant-admin", "tenant-developer", "tenant-viewer"})


@dataclass(frozen=True, slots=True)
class Admitted:
    """An endpoint that may connect; `register` when it is not stored yet and must be before it is accepted."""

    endpoint: Endpoint
    register: bool = False
    how: str = "claim"  # as which it is registered: claim, x509 or jwt
    claim: str | None = None  # id of the claim secret that it came with
    shown: Shown | None = None  # what its certificate says


def digest(secret: bytes) -> str:
    """SHA-256 in hex: the form in which secrets are stored."""
    return hashlib.sha256(secret).hexdigest()


def matching(hashes: Iterable[tuple[str, str]], secret: bytes) -> str | None:
    """Id of the (id, hash) that `secret` belongs to, or None; all are compared, so time tells nothing."""
    found = None
    wanted = digest(secret)
    for number, stored in hashes:
        if hmac.compare_digest(stored, wanted):
            found = number
    return found


def denied(text: str) -> Refused:
    """The refusal that a peer sees as "not authorized"; `text` is for operators and the log."""
    return Refused(Reason.NOT_AUTHORIZED, text)


def token_id(password: bytes) -> str | None:
    """Id inside an API token `akt_{id}_{secret}`, or None when it is none."""
    prefix, _, rest = password.decode("utf-8", "replace").partition("_")
    number, separator, _ = rest.partition("_")
    return number if f"{prefix}_" == TOKEN_PREFIX and separator and number else None


def admit_operator(user: str, password: bytes, token: Mapping[str, Any] | None, now: datetime) -> Operator | Refused:
    """Decide on an operator by its stored token. User name: the user's or the token's id."""
    if token is None or not hmac.compare_digest(token["hash"], digest(password)):
        return denied("unknown API token")
    if user not in (token["user"], token["_id"]):
        return denied("the API token belongs to another user")
    if token.get("revoked"):
        return denied("the API token is revoked")
    expires = token.get("expires")
    if expires is not None and expires <= now:
        return denied("the API token has expired")
    if not OBSERVERS.intersection(token.get("roles", ())):
        return denied("the API token has no role that may observe")
    platform = "platform-admin" in token["roles"]
    scope = token.get("applications")
    applications = None if scope is None else frozenset(scope)
    return Operator(token["user"], token["tenant"], token["_id"], expires, platform, applications)


def admit_endpoint(
    application: Application, ep: EndpointId, secret: bytes, stored: Mapping[str, Any] | None, now: datetime
) -> Admitted | Refused:
    """Decide on an endpoint by its password, its application and its stored document (None: never seen)."""
    if stored is not None and stored.get("revoked"):
        return denied("the endpoint is revoked")
    standing = Standing.of(stored or NOTHING)
    own = matching(((c.id, c.hash) for c in standing.valid if c.kind == "token"), secret)
    if own is not None:
        endpoint = _endpoint(application, ep, stored, standing, limited=False)
        endpoint.credential = own
        if endpoint.spare:
            endpoint.spare = tuple(number for number in endpoint.spare if number != own)
        return Admitted(endpoint)
    if signed_tokens.looks_like_one(secret):
        return _admit_signed(application, ep, secret, stored)
    claim = matching(application.claim_hashes.items(), secret)
    if claim is None:
        return denied("wrong password")
    reason = _claim_refused(application, claim, stored, standing, now)
    if reason is not None:
        return denied(reason)
    endpoint = _endpoint(application, ep, stored, standing, limited=application.trust != "open")
    endpoint.via = "claim"
    return Admitted(endpoint, register=stored is None, claim=claim)


def admit_certificate(
    application: Application,
    ep: EndpointId,
    der: bytes,
    authorities: Sequence[Authority],
    stored: Mapping[str, Any] | None,
    now: datetime,
) -> Admitted | Refused:
    """Decide on an endpoint by its certificate."""
    if stored is not None and stored.get("revoked"):
        return denied("the endpoint is revoked")
    try:
        shown = certificates.check(der, ep, authorities, now)
    except CertificateError as error:
        return denied(str(error))
    return _admit_foreign(application, ep, stored, ("x509", shown.mark, shown.until), shown)


def _admit_signed(
    application: Application, ep: EndpointId, secret: bytes, stored: Mapping[str, Any] | None
) -> Admitted | Refused:
    try:
        opened = signed_tokens.check(secret, application.token, ep, application.keys)
    except TokenError as error:
        return denied(str(error))
    return _admit_foreign(application, ep, stored, ("jwt", opened.key, opened.until))


def _admit_foreign(
    application: Application,
    ep: EndpointId,
    stored: Mapping[str, Any] | None,
    proof: tuple[str, str, datetime],
    shown: Shown | None = None,
) -> Admitted | Refused:
    """Decide on an endpoint whose proof somebody else has signed: (kind, mark of the authority or key, until when)."""
    if stored is None and application.trust != "open":
        return denied(f"the application is {application.trust} and this endpoint is not provisioned")
    endpoint = _endpoint(application, ep, stored, Standing.of(stored or NOTHING), limited=False)
    endpoint.via, endpoint.authority, endpoint.until = proof
    return Admitted(endpoint, register=stored is None, how=endpoint.via, shown=shown)


def _claim_refused(
    application: Application, claim: str, stored: Mapping[str, Any] | None, standing: Standing, now: datetime
) -> str | None:
    """Why a claim secret that is the application's does not open the endpoint."""
    ends = application.claim_ends.get(claim)
    if ends is not None and ends <= now:
        return "the claim secret has expired"
    if application.trust == "closed":
        return "the application is closed: it takes no claim secret"
    if stored is not None and (standing.in_use is not None or uses_other_kind(stored)):
        return "the endpoint has a credential of its own; the claim secret opens it no more"
    if application.trust == "listed" and stored is None:
        return "the application is listed and this endpoint is not provisioned"
    return None


def allowed(endpoint: Endpoint, change: Mapping[str, Any]) -> bool:
    """Whether an attached endpoint may stay, by what Control says of it; what is left out did not change."""
    gone = {entry["id"] for entry in change.get("retired") or ()}
    return not (change.get("revoked") or (endpoint.credential is not None and endpoint.credential in gone))


def first_use(endpoint: Endpoint, stored: Mapping[str, Any]) -> tuple[str, Sequence[str]] | None:
    """What is to be noted: (key in `used`, those of older tokens, which count no more); None when it is known."""
    used = stored.get("used") or NOTHING
    if endpoint.via == "claim" or (endpoint.via != "token" and endpoint.via in used):
        return None
    if endpoint.credential is None:
        return endpoint.via, ()
    if endpoint.credential in used:
        return None
    older = [number for number in used if number not in OTHER_KINDS]
    return endpoint.credential, older


def revived_endpoint(application: Application, ep: EndpointId, stored: Mapping[str, Any] | None) -> Endpoint | None:
    """Who a session belongs to that outlived its server, until the endpoint is back; None for one that may not come back."""
    if stored is None or stored.get("revoked"):
        return None
    return _endpoint(application, ep, stored, Standing.of(stored), limited=False)


def _endpoint(
    application: Application, ep: EndpointId, stored: Mapping[str, Any] | None, standing: Standing, *, limited: bool
) -> Endpoint:
    document = stored or NOTHING
    presence: Mapping[str, Any] = document.get("presence") or NOTHING
    server: str | None = presence.get("server")
    issued = document.get("issued")
    in_use = None if standing.in_use is None else standing.in_use.id
    state = stored_state(document.get("device"), document.get("held_values"))
    ledger = Ledger.of(document.get("config") or NOTHING, document.get("retry") or 0)
    return Endpoint(
        app=app_token(application.token),
        ep=ep,
        tenant=application.tenant,
        credential=None,
        limited=limited,
        ledger=ledger,
        profile=document.get("profile") or NOTHING,
        profile_id=document.get("profile_id"),
        profile_at=(document.get("profile_seen") or NOTHING).get("at"),
        server_profile=document.get("server_profile") or NOTHING,
        owner=document.get("owner"),
        retry=document.get("retry") or 0,
        rev=document.get("rev") or 0,
        fmt=document.get("fmt") or "json",
        sdk=document.get("sdk"),
        versions=document.get("versions") or NOTHING,
        groups=tuple(document.get("groups") or ()),
        group_errors=document.get("group_errors") or NOTHING,
        holds=ledger.held,
        device=state,
        device_id=device_id(state.values),
        decided=document.get("decided") or NOTHING,
        generation=presence.get("generation") or "",
        server_before=None if server is None else sys.intern(server),  # thousands come from the same few
        newest=standing.newest,
        spare=tuple(number for number in issued if number != in_use) if issued else (),
    )
