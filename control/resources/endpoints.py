"""Endpoints: provisioned, shown with their ledger, given credentials, revoked."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from akela.contract.avro import parse_schema
from akela.coordination import Role
from akela.documents import model
from akela.documents.members import members_of
from akela.documents.model import Content
from control import credentials
from control.core import DEVELOPERS, ENDPOINT_ID, Body, Caller, Calling, Core, Paging, Server, now
from control.definitions import DEFINED_NAME
from control.etags import IfMatch, check_match, reply
from control.paging import Prefix, Sort, given, paged, problems_of, sorting
from control.presence import server_of
from control.problems import Problem, not_found
from control.registry import newest
from control.resources.owners import check_owner
from control.route import Route
from control.secrets import new_credential
from control.shapes import Revised, page_model
from control.stored_groups import COMPILED, refresh, settle
from control.targets import target_of
from control.writing import fields_of, patched, takes_patch

router = APIRouter(prefix="/api/v1/applications/{app}/endpoints", tags=["endpoints"], route_class=Route)

Ep = Annotated[str, Path(pattern=ENDPOINT_ID, examples=["meter-7"])]
STATES = ("assigned", "sent", "delivered", "applied", "refused")


class EndpointSettings(Body):
    """What operators say of an endpoint."""

    revoked: bool = Field(default=False, description="shut out: disconnected at once, stays out")
    server_profile: dict[str, Any] | None = Field(
        default=None, description="the server-side profile, by the application's schema of kind server-profile"
    )
    owner: str | None = Field(
        default=None, pattern=DEFINED_NAME, description="name of one of the application's owners", examples=["jo"]
    )


class NewEndpoint(EndpointSettings):
    """An endpoint that is provisioned before it first connects."""

    id: str = Field(pattern=ENDPOINT_ID, examples=["meter-7"])


class Credential(Body):
    """A credential, without its text."""

    id: str
    kind: str
    used: bool


class Certificate(Body):
    """A certificate that an endpoint came with."""

    authority: str
    subject: str
    serial: str
    not_after: datetime


class Endpoint(Revised):
    """An endpoint as it is shown."""

    id: str
    app: str
    tenant: str
    registered_at: datetime
    how: str = Field(description="provisioned; or, of one that registered itself, what it came with: claim, x509, jwt")
    claim: str | None = Field(description="id of the claim secret that it registered with")
    revoked: bool
    server_profile: dict[str, Any] | None
    owner: str | None
    groups: list[str] = Field(description="its groups by name, without all")
    group_errors: dict[str, str] = Field(description="by group the reason why its filter fails for it")
    profile: Any
    profile_id: str | None
    sdk: str | None
    versions: dict[str, int] | None = Field(description="schema versions that it runs, by its own word")
    last_seen: datetime | None
    server: str | None = Field(
        description="where it is attached; null as well when that server is gone or was started anew since"
    )
    credentials: list[Credential]
    certificate: Certificate | None = Field(description="the one that it came with last")


class EndpointWithLedger(Endpoint):
    """An endpoint, and whether it has the configuration that it should have."""

    config: dict[str, Any]


class EndpointWithText(Endpoint):
    """A new endpoint; `credential` is its password, shown this once."""

    credential: str


class NewCredential(Revised):
    """A new credential; `credential` is shown this once."""

    id: str
    credential: str


class Effective(Body):
    """The configuration that an endpoint should have."""

    id: str
    value: dict[str, Any]
    origin: dict[str, str] = Field(description="for the path of each leaf the layer that set it")


@router.post("", status_code=201, response_model=EndpointWithText)
def add(app: str, body: NewEndpoint, caller: Calling, core: Server) -> Response:
    """Provision an endpoint; `credential` is its password, shown once."""
    core.application(caller, app, DEVELOPERS)
    _check_profile(app, body.server_profile)
    check_owner(app, body.owner)
    secret, moment = new_credential(), now()
    content = {
        "_id": f"{app}/{body.id}", "app": app, "ep": body.id, "tenant": caller.tenant, "registered_at": moment,
        "how": "provisioned", "credentials": [credentials.fresh(secret, moment)],
        "revoked": body.revoked, "server_profile": body.server_profile, "owner": body.owner,
    }  # fmt: skip
    filters = COMPILED.of(app)
    made = core.put(caller, "endpoint", content | filters.membership_of(content), None, app)
    settle(app, filters, [body.id])
    location = f"{router.prefix.replace('{app}', app)}/{body.id}"
    return reply(_shown(core, made) | {"credential": secret}, made, status=201, location=location)


@router.get("", response_model=page_model(Endpoint))
def index(
    app: str,
    caller: Calling,
    core: Server,
    page: Paging,
    sort: Annotated[Sort, sorting("id")],
    prefix: Prefix = None,
    revoked: Annotated[bool | None, Query(description="only those that are, or are not")] = None,
    owner: Annotated[str | None, Query(pattern=DEFINED_NAME, description="only this owner's")] = None,
    group: Annotated[str | None, Query(pattern=DEFINED_NAME, description="only members of this group")] = None,
) -> Response:
    """The application's endpoints by id."""
    core.application(caller, app)
    where = {"app": app} | given(revoked=revoked, owner=owner) | members_of(group)
    show = partial(_shown, core)
    return reply(paged("endpoint", where, page, show, key="ep", descending=sort.descending, prefix=prefix))


@router.get("/{ep}", response_model=EndpointWithLedger)
def show(app: str, ep: Ep, caller: Calling, core: Server) -> Response:
    """One endpoint: who it is, and whether it has the configuration that it should have."""
    core.application(caller, app)
    found = _found(app, ep)
    return reply(_shown(core, found) | {"config": _ledger(app, found)}, found)


@router.get("/{ep}/configuration", response_model=Effective)
def effective(app: str, ep: Ep, caller: Calling, core: Server) -> Response:
    """The configuration that an endpoint should have, and for each leaf the layer that set it."""
    core.application(caller, app)
    target, _ = target_of(app, model.find("endpoint", f"{app}/{ep}") or {"ep": ep})
    if target.id is None:
        raise Problem(409, str(target.reason))
    return reply({"id": target.id, "value": target.value, "origin": target.origin})


@router.put("/{ep}", response_model=Endpoint)
def replace(
    app: str, ep: Ep, body: EndpointSettings, caller: Calling, core: Server, if_match: IfMatch = None
) -> Response:
    """Set what operators say of an endpoint."""
    core.application(caller, app, DEVELOPERS)
    found = _found(app, ep)
    check_match(found, if_match)
    return _write(core, caller, app, found, body)


@router.patch("/{ep}", response_model=Endpoint)
@takes_patch(EndpointSettings)
def patch(app: str, ep: Ep, body: BaseModel, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Change some of what operators say of an endpoint."""
    core.application(caller, app, DEVELOPERS)
    found = _found(app, ep)
    check_match(found, if_match)
    found["revoked"] = bool(found.get("revoked"))  # the embedded database gives 0 and 1 for what `$set` wrote
    return _write(core, caller, app, found, patched(EndpointSettings, fields_of(EndpointSettings, found), body))


@router.post("/{ep}/revoke", response_model=Endpoint)
def revoke(app: str, ep: Ep, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Shut an endpoint out: it is disconnected at once and stays out."""
    return _set_revoked(core, caller, (app, ep), if_match, revoked=True)


@router.post("/{ep}/restore", response_model=Endpoint)
def restore(app: str, ep: Ep, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Lift a revocation."""
    return _set_revoked(core, caller, (app, ep), if_match, revoked=False)


@router.post("/{ep}/retry", response_model=Endpoint)
def retry(app: str, ep: Ep, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Send a configuration that is held back (refused, or never answered) to the endpoint again."""
    core.application(caller, app, DEVELOPERS)
    found = _found(app, ep)
    check_match(found, if_match)
    made = core.put(caller, "endpoint", _own(found) | {"retry": (found.get("retry") or 0) + 1}, found, app)
    return reply(_shown(core, found | made), made)


@router.post("/{ep}/credentials", status_code=201, response_model=NewCredential)
def add_credential(app: str, ep: Ep, caller: Calling, core: Server) -> Response:
    """Give an endpoint a further credential, shown once. The old one is good until the new one is used; more than two never are."""
    core.application(caller, app, DEVELOPERS)
    found = _found(app, ep)
    secret = new_credential()
    number, changes = credentials.rotated(found, secret)
    made = core.put(caller, "endpoint", _own(found) | changes, found, app)
    return reply({"id": number, "credential": secret}, made, status=201)


@router.delete("/{ep}/credentials/{number}", status_code=204)
def delete_credential(
    app: str,
    ep: Ep,
    number: Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$", examples=["0123456789ab"])],
    caller: Calling,
    core: Server,
    if_match: IfMatch = None,
) -> None:
    """Take a credential away for ever; a session that came with it ends. If-Match: the endpoint's ETag."""
    core.application(caller, app, DEVELOPERS)
    found = _found(app, ep)
    changes = credentials.without(found, number)
    check_match(found, if_match)
    core.put(caller, "endpoint", _own(found) | changes, found, app)


@router.delete("/{ep}", status_code=204)
def delete(app: str, ep: Ep, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Delete an endpoint; it is disconnected and stays out: it registers again only when it is added, or its departure is lifted."""
    core.application(caller, app, DEVELOPERS)
    found = _found(app, ep)
    check_match(found, if_match)
    core.delete(caller, "endpoint", found, app)


def _write(core: Core, caller: Caller, app: str, found: Content, settings: EndpointSettings) -> Response:
    if settings.server_profile != found.get("server_profile"):
        _check_profile(app, settings.server_profile)
    if settings.owner != found.get("owner"):
        check_owner(app, settings.owner)
    made = core.put(caller, "endpoint", _own(found) | settings.model_dump(), found, app)
    refresh(app, found["ep"])
    return reply(_shown(core, _found(app, found["ep"]) | {"rev": made["rev"]}), made)


def _set_revoked(core: Core, caller: Caller, key: tuple[str, str], if_match: str | None, *, revoked: bool) -> Response:
    app, ep = key
    core.application(caller, app, DEVELOPERS)
    found = _found(app, ep)
    check_match(found, if_match)
    if bool(found.get("revoked")) == revoked:
        return reply(_shown(core, found), found)
    made = core.put(caller, "endpoint", _own(found) | {"revoked": revoked}, found, app)
    return reply(_shown(core, found | made), made)


def _check_profile(app: str, profile: Content | None) -> None:
    """Raises: Problem 409 without a schema, 422 with the path of each wrong field."""
    if profile is None:
        return
    found = newest(app, "server-profile")
    if found is None:
        raise Problem(409, "the application has no schema of kind server-profile; add one first")
    problems = parse_schema(found["body"]).validate(profile)
    if problems:
        raise problems_of((f"/server_profile{problem.path}", problem.reason) for problem in problems)


def _own(document: Content) -> Content:
    """What makes it this endpoint. Whoever changes one thing leaves the others out: an Operations server may just be writing them."""
    return {name: document.get(name) for name in ("_id", "app", "ep", "tenant", "registered_at", "how")}


def _found(app: str, ep: str) -> Content:
    found = model.find("endpoint", f"{app}/{ep}")
    if found is None:
        raise not_found("endpoint", ep)
    return found


def _ledger(app: str, document: Content) -> Content:
    """The endpoint's ledger against what it should have now."""
    ledger = document.get("config") or {}
    try:
        found, _ = target_of(app, document)
    except Problem:
        return {"target": None, "state": "unconfigured", "converged": True}
    states = {name: ledger[name] for name in STATES if ledger.get(name)}
    target = found.id
    if target is None:
        return {"target": None, "state": "unservable", "converged": False, **states}
    for state in ("applied", "refused", "delivered", "sent", "assigned"):
        if states.get(state, {}).get("id") == target:
            return {"target": target, "state": state, "converged": state == "applied", **states}
    return {"target": target, "state": "waiting", "converged": False, **states}


def _shown(core: Core, document: Content) -> Content:
    names = (
        "app", "tenant", "registered_at", "how", "claim", "server_profile", "owner", "profile", "profile_id", "sdk", "versions",
    )  # fmt: skip
    shown = {name: document.get(name) for name in names}
    presence = document.get("presence") or {"at": None, "server": None}
    shown |= {"groups": document.get("groups") or [], "group_errors": document.get("group_errors") or {}}
    server = server_of(document, core.members.get(Role.OPERATIONS, {}))
    seen = {"last_seen": presence["at"], "server": server, "revoked": bool(document.get("revoked"))}
    own = {"credentials": credentials.shown(document), "certificate": document.get("certificate")}
    return {"id": document["ep"]} | shown | seen | own | {"rev": document.get("rev", 0)}


def need_endpoint(app: str, ep: str) -> Content:
    """A stored endpoint. Raises: Problem 404."""
    return _found(app, ep)
