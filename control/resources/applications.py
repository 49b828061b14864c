"""Applications: a fleet of endpoints with its token, trust and claim secret."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from akela.documents.model import Content
from control.core import (
    DEVELOPERS,
    NAME,
    Body,
    Calling,
    IfMatch,
    Paging,
    Server,
    check_match,
    now,
    only,
    paged,
    tagged,
)
from control.secrets import digest, new_app_token, new_claim_secret, new_id

router = APIRouter(prefix="/api/v1/applications", tags=["applications"])

Trust = Literal["open", "listed", "closed"]
Stream = Field(default="values", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="stream of `u/value/{name}`")


class NewApplication(Body):
    """An application."""

    name: str = Field(pattern=NAME, examples=["meters"])
    trust: Trust = "open"
    default_stream: str = Stream


class ApplicationChange(Body):
    """What may be changed of an application; what is left out stays."""

    name: str | None = Field(default=None, pattern=NAME)
    trust: Trust | None = None


@router.post("", status_code=201)
def create(body: NewApplication, caller: Calling, core: Server, response: Response) -> Content:
    """Make an application. `id` is its token, the user name of its endpoints; `claim_secret` is shown once."""
    caller.need(DEVELOPERS)
    secret = new_claim_secret()
    content: Content = {
        "_id": new_app_token(), "tenant": caller.tenant, "name": body.name, "trust": body.trust,
        "claim_secrets": [{"id": new_id(), "hash": digest(secret)}], "default_stream": body.default_stream,
        "created": now(),
    }  # fmt: skip
    made = core.put(caller, "application", content, None, content["_id"])
    return tagged(response, _shown(made), made) | {"claim_secret": secret}


@router.get("")
def index(caller: Calling, page: Paging) -> Content:
    """The tenant's applications."""
    return paged("application", {"tenant": caller.tenant}, page, _shown)


@router.get("/{app}")
def show(app: str, caller: Calling, core: Server, response: Response) -> Content:
    """One application."""
    found = core.application(caller, app)
    return tagged(response, _shown(found), found)


@router.patch("/{app}")
def change(
    app: str, body: ApplicationChange, caller: Calling, core: Server, response: Response, if_match: IfMatch = None
) -> Content:
    """Change an application's name or trust."""
    caller.need(DEVELOPERS)
    found = core.application(caller, app)
    check_match(found, if_match)
    made = core.put(caller, "application", found | body.model_dump(exclude_none=True), found, app)
    return tagged(response, _shown(made), made)


@router.post("/{app}/claim-secrets", status_code=201)
def new_secret(app: str, caller: Calling, core: Server) -> Content:
    """Replace the application's claim secret; the new one is shown once. Registered endpoints keep their own credentials."""
    caller.need(DEVELOPERS)
    found = core.application(caller, app)
    secret = new_claim_secret()
    claim = {"id": new_id(), "hash": digest(secret)}
    core.put(caller, "application", found | {"claim_secrets": [claim]}, found, app)
    return {"id": claim["id"], "claim_secret": secret}


@router.delete("/{app}", status_code=204)
def delete(app: str, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Delete an application with its schemas, configuration and endpoints; its endpoints are disconnected."""
    caller.need(DEVELOPERS)
    found = core.application(caller, app)
    check_match(found, if_match)
    core.delete(caller, "application", found, app)


def _shown(document: Content) -> Content:
    return only(document, "name", "tenant", "trust", "default_stream", "created", "rev")
