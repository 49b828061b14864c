"""Applications: a fleet of endpoints with its token, trust and keys."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from akela.documents import model
from akela.documents.model import Content
from control.core import DEVELOPERS, NAME, READERS, Body, Caller, Calling, Core, Paging, Server, now
from control.etags import IfMatch, check_match, reply
from control.paging import Prefix, Sort, given, only, paged, sorting
from control.problems import Problem
from control.resources.owners import Algorithm, check_public_key
from control.route import Route
from control.secrets import digest, new_app_token, new_claim_secret, new_id
from control.shapes import Revised, page_model
from control.writing import fields_of, patched, takes_patch

router = APIRouter(prefix="/api/v1/applications", tags=["applications"], route_class=Route)

Trust = Literal["open", "listed", "closed"]
MAX_KEYS: Final = 16


class Key(Body):
    """A public key whose owner may sign the application's endpoints' JWTs."""

    id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="the JWT's kid")
    algorithm: Algorithm
    public_key: str = Field(max_length=8192, description="PEM")


class ApplicationSettings(Body):
    """An application."""

    name: str = Field(pattern=NAME, examples=["meters"])
    trust: Trust = Field(
        default="open", description="who may register with a claim secret: any id, provisioned ids, nobody"
    )
    default_stream: str = Field(
        default="values", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="stream of `u/value/{name}`"
    )
    keys: list[Key] = Field(default=[], max_length=MAX_KEYS)


class Application(Revised):
    """An application; `id` is its token, the user name of its endpoints."""

    id: str
    name: str
    tenant: str
    trust: Trust
    default_stream: str
    keys: list[Key]
    created: datetime


class ApplicationWithSecret(Application):
    """A new application; `claim_secret` is shown this once."""

    claim_secret: str


@router.post("", status_code=201, response_model=ApplicationWithSecret)
def create(body: ApplicationSettings, caller: Calling, core: Server) -> Response:
    """Make an application. `id` is its token, the user name of its endpoints; `claim_secret` is shown once."""
    caller.need(DEVELOPERS)
    caller.need_whole_tenant()
    made, secret = make(core, caller, body)
    shown = _shown(made) | {"claim_secret": secret}
    return reply(shown, made, status=201, location=f"{router.prefix}/{made['_id']}")


@router.get("", response_model=page_model(Application))
def index(
    caller: Calling,
    page: Paging,
    sort: Annotated[Sort, sorting("name")],
    trust: Annotated[Trust | None, Query()] = None,
    name: Annotated[str | None, Query(pattern=NAME, description="the one of this name")] = None,
    prefix: Prefix = None,
) -> Response:
    """The tenant's applications by name; those that the token is scoped to."""
    caller.need(READERS)
    if caller.applications is not None:
        return reply(_scoped(caller, trust, name, prefix))
    where = {"tenant": caller.tenant} | given(trust=trust)
    if name is not None:
        found = model.find_one("application", {"tenant": caller.tenant, "name": name})
        fits = found is not None and trust in (None, found["trust"]) and page.place is None
        return reply({"items": [_shown(found)] if found is not None and fits else [], "next": None})
    return reply(paged("application", where, page, _shown, key="name", descending=sort.descending, prefix=prefix))


@router.get("/{app}", response_model=Application)
def show(app: str, caller: Calling, core: Server) -> Response:
    """One application."""
    found = core.application(caller, app)
    return reply(_shown(found), found)


@router.put("/{app}", response_model=Application)
def replace(app: str, body: ApplicationSettings, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Replace an application's settings."""
    found = core.application(caller, app, DEVELOPERS)
    check_match(found, if_match)
    return _write(core, caller, found, body)


@router.patch("/{app}", response_model=Application)
@takes_patch(ApplicationSettings)
def patch(app: str, body: BaseModel, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Change some of an application's settings."""
    found = core.application(caller, app, DEVELOPERS)
    check_match(found, if_match)
    return _write(core, caller, found, patched(ApplicationSettings, fields_of(ApplicationSettings, found), body))


@router.delete("/{app}", status_code=204)
def delete(app: str, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Delete an application with its schemas, configuration and endpoints; its endpoints are disconnected."""
    found = core.application(caller, app, DEVELOPERS)
    caller.need_whole_tenant()
    check_match(found, if_match)
    core.delete(caller, "application", found, app)


def make(core: Core, caller: Caller, settings: ApplicationSettings) -> tuple[Content, str]:
    """Make an application; gives it with its claim secret."""
    check_keys(settings)
    secret, moment = new_claim_secret(), now()
    content: Content = {
        "_id": new_app_token(), "tenant": caller.tenant, "created": moment, "claim_secrets": [new_claim(secret, moment)],
    } | settings.model_dump(mode="json")  # fmt: skip
    return core.put(caller, "application", content, None, content["_id"]), secret


def new_claim(secret: str, moment: datetime, expires: datetime | None = None, quota: int | None = None) -> Content:
    """A claim secret as it is stored."""
    return {
        "id": new_id(),
        "hash": digest(secret),
        "created": moment,
        "expires": expires,
        "quota": quota,
        "revoked": False,
    }


def check_keys(settings: ApplicationSettings) -> None:
    """Raises: Problem 422 for a key that is none, or whose id is there twice."""
    ids = [key.id for key in settings.keys]
    for index, key in enumerate(settings.keys):
        check_public_key(key.algorithm, key.public_key, f"/keys/{index}/public_key")
        if ids.index(key.id) != index:
            raise Problem(422, f"key {key.id!r} is there twice", [(f"/keys/{index}/id", "is there twice")])


def _write(core: Core, caller: Caller, found: Content, settings: ApplicationSettings) -> Response:
    check_keys(settings)
    made = core.put(caller, "application", found | settings.model_dump(mode="json"), found, found["_id"])
    return reply(_shown(made), made)


def _scoped(caller: Caller, trust: str | None, name: str | None, prefix: str | None) -> Content:
    found = [model.find("application", app) for app in sorted(caller.applications or ())]
    rows = [row for row in found if row is not None and row["tenant"] == caller.tenant]
    fitting = [
        row for row in rows
        if trust in (None, row["trust"]) and name in (None, row["name"]) and row["name"].startswith(prefix or "")
    ]  # fmt: skip
    return {"items": [_shown(row) for row in sorted(fitting, key=lambda row: str(row["name"]))], "next": None}


def _shown(document: Content) -> Content:
    return only(document, "name", "tenant", "trust", "default_stream", "keys", "created", "rev")
