"""API tokens: no more rights than who makes them; scoped to applications, read-only, expiring, if wanted. Revoked, not deleted."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from akela.documents import model
from akela.documents.model import Content
from control.core import ADMINS, NAME, Body, Caller, Calling, Core, Paging, Server
from control.etags import IfMatch, check_match, reply
from control.paging import Sort, given, only, paged, sorting
from control.problems import Problem, not_found
from control.resources.signin import MAX_TTL_S, issue
from control.resources.users import RoleName
from control.route import Route
from control.shapes import Revised, page_model
from control.writing import fields_of, patched, takes_patch

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"], route_class=Route)

TokenId = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$", examples=["0123456789ab"])]
SCOPABLE: Final = frozenset({"tenant-developer", "tenant-viewer"})  # roles that mean something inside one application


class TokenSettings(Body):
    """What may be changed of a token."""

    name: str = Field(pattern=NAME, examples=["dashboard"])


class NewToken(TokenSettings):
    """An API token for the caller."""

    roles: list[RoleName] | None = Field(
        default=None,
        min_length=1,
        max_length=4,
        description="some of the caller's roles, or less; default: all of them",
    )
    applications: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="only these; its roles are then tenant-developer or tenant-viewer",
    )
    read_only: bool = Field(default=False, description="it writes nothing")
    ttl_s: int | None = Field(default=None, ge=60, le=MAX_TTL_S, description="default: it does not expire")


class Token(Revised):
    """A token as it is shown."""

    id: str
    name: str
    kind: str = Field(description="login: of a sign-in; api: made for a tool")
    user: str
    tenant: str
    roles: list[str]
    applications: list[str] | None
    read_only: bool
    created: datetime
    expires: datetime | None
    revoked: bool


class TokenWithText(Token):
    """A new token; `token` is shown this once."""

    token: str


@router.post("", status_code=201, response_model=TokenWithText)
def create(body: NewToken, caller: Calling, core: Server) -> Response:
    """Make an API token, with no more rights than the caller's; `token` is shown once."""
    applications = _scope(caller, body.applications)
    roles = _roles(caller, None if body.roles is None else set(body.roles), scoped=applications is not None)
    made, text = issue(
        core, caller, body.name, sorted(roles), body.ttl_s, applications=applications, read_only=body.read_only or caller.read_only
    )  # fmt: skip
    return reply(_shown(made) | {"token": text}, made, status=201, location=f"/api/v1/tokens/{made['_id']}")


@router.get("", response_model=page_model(Token))
def index(
    caller: Calling,
    page: Paging,
    sort: Annotated[Sort, sorting("id")],
    user: Annotated[str | None, Query(pattern=NAME, description="only this user's")] = None,
) -> Response:
    """The caller's tokens; all of the tenant's for a tenant-admin."""
    if caller.applications is not None:  # a scoped token sees itself only
        return reply({"items": [_shown(_visible(caller, caller.token))] if page.place is None else [], "next": None})
    if not caller.roles & ADMINS:
        if user not in (None, caller.user):
            return reply({"items": [], "next": None})
        user = caller.user
    where = {"tenant": caller.tenant} | given(user=user)
    return reply(paged("token", where, page, _shown, key="number", descending=sort.descending))


@router.get("/{number}", response_model=Token)
def show(number: TokenId, caller: Calling) -> Response:
    """One token, without its text."""
    found = _visible(caller, number)
    return reply(_shown(found), found)


@router.put("/{number}", response_model=Token)
def replace(number: TokenId, body: TokenSettings, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Rename a token."""
    found = _visible(caller, number)
    check_match(found, if_match)
    return _write(core, caller, found, body)


@router.patch("/{number}", response_model=Token)
@takes_patch(TokenSettings)
def patch(number: TokenId, body: BaseModel, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Rename a token."""
    found = _visible(caller, number)
    check_match(found, if_match)
    return _write(core, caller, found, patched(TokenSettings, fields_of(TokenSettings, found), body))


@router.delete("/{number}", status_code=204)
def delete(number: TokenId, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Revoke a token: it is refused from now on, its MQTT sessions end."""
    found = _visible(caller, number)
    check_match(found, if_match)
    if not found.get("revoked"):
        core.put(caller, "token", found | {"revoked": True}, found)


def _write(core: Core, caller: Caller, found: Content, settings: TokenSettings) -> Response:
    made = core.put(caller, "token", found | settings.model_dump(), found)
    return reply(_shown(made), made)


def _scope(caller: Caller, wanted: list[str] | None) -> list[str] | None:
    """The applications of a new token. Raises: Problem 422 for one that the caller does not reach."""
    if wanted is None:
        return None if caller.applications is None else sorted(caller.applications)
    for index, app in enumerate(wanted):
        found = model.find("application", app)
        if found is None or found["tenant"] != caller.tenant or not caller.reaches(app):
            raise Problem(422, f"no application {app!r}", [(f"/applications/{index}", f"no application {app!r}")])
    return sorted(set(wanted))


def _roles(caller: Caller, wanted: set[str] | None, *, scoped: bool) -> set[str]:
    may = set(caller.roles)
    if may & ADMINS:
        may |= {"tenant-developer"}
    if may & {"tenant-developer", "tenant-admin"}:
        may |= {"tenant-viewer"}
    allowed = may & SCOPABLE if scoped else may | {"tenant-viewer"}
    if wanted is None:
        wanted = (allowed - {"tenant-viewer"} or allowed) if scoped else set(caller.roles)
    if not wanted or not wanted <= allowed:
        raise Problem(
            403, f"a token has no more roles than who makes it; allowed here: {', '.join(sorted(allowed)) or 'none'}"
        )
    return wanted


def _visible(caller: Caller, number: str) -> Content:
    found = model.find("token", number)
    mine = found is not None and (found["tenant"], found["user"]) == (caller.tenant, caller.user)
    if caller.applications is not None and number != caller.token:
        raise not_found("token", number)
    if found is None or not (mine or (found["tenant"] == caller.tenant and caller.roles & ADMINS)):
        raise not_found("token", number)
    return found


def _shown(document: Content) -> Content:
    names = (
        "name",
        "kind",
        "user",
        "tenant",
        "roles",
        "applications",
        "read_only",
        "created",
        "expires",
        "revoked",
        "rev",
    )
    return only(document, *names)
