"""Who may connect, and as what: the rules of DESIGN section 4 as a plain decision on stored documents.

In the order of checking: the other servers of the cluster, operators with an API token, endpoints with a credential of
their own, endpoints with their application's claim secret. Every secret is compared as SHA-256 in constant time. A claim
secret opens nothing for an endpoint that has used a credential of its own: the secret is in every device of the
application, so it would let each of them speak for all others.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from akela.contract.topics import EndpointId, app_token
from broker import Reason, Refused
from operations.catalog import Application
from operations.ledger import Ledger
from operations.principals import NOTHING, Endpoint, Operator

TOKEN_PREFIX: Final = "akt_"
OBSERVERS: Final = frozenset({"platform-admin", "tenant-admin", "tenant-developer", "tenant-viewer"})


@dataclass(frozen=True, slots=True)
class Admitted:
    """An endpoint that may connect; `register` when it is not stored yet and must be before it is accepted."""

    endpoint: Endpoint
    register: bool = False


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


def admit_endpoint(  # noqa: PLR0911  a line per reason
    application: Application, ep: EndpointId, secret: bytes, stored: Mapping[str, Any] | None, now: datetime
) -> Admitted | Refused:
    """Decide on an endpoint by its application and its stored document (None: never seen)."""
    if stored is not None and stored.get("revoked"):
        return denied("the endpoint is revoked")
    credentials = stored.get("credentials") or () if stored is not None else ()
    own = matching(((c["id"], c["hash"]) for c in credentials if c["kind"] == "token"), secret)
    if own is not None:
        return Admitted(_endpoint(application, ep, stored, credential=own, limited=False))
    claim = matching(application.claim_hashes.items(), secret)
    if claim is None:
        return denied("wrong password")
    ends = application.claim_ends.get(claim)
    if ends is not None and ends <= now:
        return denied("the claim secret has expired")
    if application.trust == "closed":
        return denied("the application is closed: it takes no claim secret")
    if any(credential.get("used") for credential in credentials):
        return denied("the endpoint has a credential of its own; the claim secret opens it no more")
    if application.trust == "listed" and stored is None:
        return denied("the application is listed and this endpoint is not provisioned")
    limited = application.trust != "open"
    return Admitted(_endpoint(application, ep, stored, credential=None, limited=limited), register=stored is None)


def revived_endpoint(application: Application, ep: EndpointId, stored: Mapping[str, Any] | None) -> Endpoint | None:
    """Who a session belongs to that outlived its server, until the endpoint is back; None for one that may not come back."""
    if stored is None or stored.get("revoked"):
        return None
    return _endpoint(application, ep, stored, credential=None, limited=False)


def _endpoint(
    application: Application, ep: EndpointId, stored: Mapping[str, Any] | None, *, credential: str | None, limited: bool
) -> Endpoint:
    document = stored or {}
    ledger = Ledger.of(document.get("config") or NOTHING, document.get("retry") or 0)
    return Endpoint(
        app=app_token(application.token),
        ep=ep,
        tenant=application.tenant,
        credential=credential,
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
        holds=ledger.applied,
    )
