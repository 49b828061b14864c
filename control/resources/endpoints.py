"""Endpoints: provisioned, shown with their ledger, revoked."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import Field

from akela.contract.canonical import config_id
from akela.documents import model
from akela.documents.model import Content
from control.core import DEVELOPERS, Body, Calling, Core, IfMatch, Paging, Server, check_match, now, paged, tagged
from control.problems import Problem, not_found
from control.resources import configurations
from control.secrets import digest, new_credential, new_id

router = APIRouter(prefix="/api/v1/applications/{app}/endpoints", tags=["endpoints"])

ENDPOINT_ID = r"^[A-Za-z0-9._-]{1,64}$"
Ep = Annotated[str, Path(pattern=ENDPOINT_ID)]
STATES = ("assigned", "sent", "delivered", "applied", "refused")


class NewEndpoint(Body):
    """An endpoint that is provisioned before it first connects."""

    id: str = Field(pattern=ENDPOINT_ID, examples=["meter-7"])


@router.post("", status_code=201)
def add(app: str, body: NewEndpoint, caller: Calling, core: Server, response: Response) -> Content:
    """Provision an endpoint; `credential` is its password, shown once."""
    caller.need(DEVELOPERS)
    core.application(caller, app)
    secret = new_credential()
    moment = now()
    credential = {"id": new_id(), "kind": "token", "hash": digest(secret), "created": moment, "used": False}
    content = {
        "_id": f"{app}/{body.id}", "app": app, "ep": body.id, "tenant": caller.tenant, "registered_at": moment,
        "how": "provisioned", "credentials": [credential], "revoked": False,
    }  # fmt: skip
    made = core.put(caller, "endpoint", content, None, app)
    return tagged(response, _shown(made), made) | {"credential": secret}


@router.get("")
def index(app: str, caller: Calling, core: Server, page: Paging) -> Content:
    """The application's endpoints by id."""
    core.application(caller, app)
    return paged("endpoint", {"app": app}, page, _shown, key="ep")


@router.get("/{ep}")
def show(app: str, ep: Ep, caller: Calling, core: Server, response: Response) -> Content:
    """One endpoint: who it is, and whether it has the configuration that it should have."""
    core.application(caller, app)
    found = _found(app, ep)
    return tagged(response, _shown(found) | {"config": _ledger(app, found)}, found)


@router.get("/{ep}/configuration")
def effective(app: str, ep: Ep, caller: Calling, core: Server) -> Content:
    """The configuration that an endpoint should have, and for each leaf the layer that set it."""
    core.application(caller, app)
    merged = configurations.effective(app, ep)
    return {"id": config_id(merged.value), "value": merged.value, "origin": merged.origin}


@router.post("/{ep}/revoke")
def revoke(app: str, ep: Ep, caller: Calling, core: Server, response: Response, if_match: IfMatch = None) -> Content:
    """Shut an endpoint out: it is disconnected at once and stays out."""
    caller.need(DEVELOPERS)
    return _set_revoked(core, caller, (app, ep), response, if_match, revoked=True)


@router.post("/{ep}/restore")
def restore(app: str, ep: Ep, caller: Calling, core: Server, response: Response, if_match: IfMatch = None) -> Content:
    """Lift a revocation."""
    caller.need(DEVELOPERS)
    return _set_revoked(core, caller, (app, ep), response, if_match, revoked=False)


@router.delete("/{ep}", status_code=204)
def delete(app: str, ep: Ep, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Forget an endpoint; it is disconnected. Under open trust it may register again: revoke it to keep it out."""
    caller.need(DEVELOPERS)
    core.application(caller, app)
    found = _found(app, ep)
    check_match(found, if_match)
    core.delete(caller, "endpoint", found, app)


def _set_revoked(
    core: Core, caller: Calling, key: tuple[str, str], response: Response, if_match: str | None, *, revoked: bool
) -> Content:
    app, ep = key
    core.application(caller, app)
    found = _found(app, ep)
    check_match(found, if_match)
    if bool(found.get("revoked")) == revoked:
        return tagged(response, _shown(found), found)
    own = {name: found.get(name) for name in ("_id", "app", "ep", "tenant", "registered_at", "how", "credentials")}
    made = core.put(caller, "endpoint", own | {"revoked": revoked}, found, app)
    return tagged(response, _shown(found | made), made)


def _found(app: str, ep: str) -> Content:
    found = model.find("endpoint", f"{app}/{ep}")
    if found is None:
        raise not_found("endpoint", ep)
    return found


def _ledger(app: str, document: Content) -> Content:
    """The endpoint's ledger against what it should have now."""
    ledger = document.get("config") or {}
    try:
        target = config_id(configurations.effective(app, document["ep"]).value)
    except Problem:
        return {"target": None, "state": "unconfigured", "converged": True}
    states = {name: ledger[name] for name in STATES if ledger.get(name)}
    for state in ("applied", "refused", "delivered", "sent", "assigned"):
        if states.get(state, {}).get("id") == target:
            return {"target": target, "state": state, "converged": state == "applied", **states}
    return {"target": target, "state": "waiting", "converged": False, **states}


def _shown(document: Content) -> Content:
    credentials = [
        {"id": c["id"], "kind": c["kind"], "used": bool(c.get("used"))} for c in document.get("credentials") or ()
    ]
    names = ("app", "tenant", "registered_at", "how", "revoked", "profile", "profile_id", "sdk")
    shown = {name: document.get(name) for name in names}
    presence = document.get("presence") or {"at": None, "server": None}
    seen = {"last_seen": presence["at"], "server": presence["server"]}
    return {"id": document["ep"]} | shown | seen | {"credentials": credentials, "rev": document.get("rev", 0)}
