"""Users: people of a tenant and their roles.

A platform-admin makes platform-admins and tenant-admins; a tenant's developers and viewers are made by its tenant-admin. So nobody who
runs the platform works in a tenant unnoticed, and nobody gives a role as high as their own (Kaa's rule).
"""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from akela.documents import model
from akela.documents.model import Content
from control.core import ADMINS, NAME, PLATFORM, Body, Caller, Calling, Core, Paging, Server
from control.etags import IfMatch, check_match, reply
from control.paging import Prefix, Sort, paged, sorting
from control.problems import Problem, not_found
from control.resources.signin import MIN_PASSWORD, SLUG, new_user, revoke_tokens
from control.resources.tenants import visible_tenant
from control.route import Route
from control.secrets import password_hash
from control.shapes import Revised, page_model
from control.writing import fields_of, patched, takes_patch

router = APIRouter(prefix="/api/v1/users", tags=["users"], route_class=Route)

RoleName = Literal["platform-admin", "tenant-admin", "tenant-developer", "tenant-viewer"]
UserName = Annotated[str, Path(pattern=NAME, examples=["ann"])]
InTenant = Annotated[
    str | None,
    Query(pattern=SLUG, description="the user's tenant (default: the caller's; another needs platform-admin)"),
]
GIVEN_BY_PLATFORM: Final = frozenset({"platform-admin", "tenant-admin"})
GIVEN_BY_TENANT: Final = frozenset({"tenant-developer", "tenant-viewer"})


class UserSettings(Body):
    """A user."""

    roles: list[RoleName] = Field(min_length=1, max_length=4, examples=[["tenant-developer"]])
    password: str | None = Field(
        default=None, min_length=MIN_PASSWORD, max_length=1024, description="a new password; left out, it stays"
    )


class NewUser(Body):
    """A user."""

    name: str = Field(pattern=NAME, examples=["ann"])
    password: str = Field(min_length=MIN_PASSWORD, max_length=1024, examples=["correct horse battery"])
    roles: list[RoleName] = Field(min_length=1, max_length=4, examples=[["tenant-developer"]])
    tenant: str | None = Field(
        default=None, pattern=SLUG, description="default: the caller's; another needs platform-admin"
    )


class User(Revised):
    """A user as it is shown."""

    id: str
    name: str
    tenant: str
    roles: list[RoleName]


@router.post("", status_code=201, response_model=User)
def create(body: NewUser, caller: Calling, core: Server) -> Response:
    """Make a user: a platform-admin makes platform-admins and tenant-admins, a tenant-admin the other roles of its tenant."""
    caller.need(ADMINS | PLATFORM)
    tenant = _tenant(caller, body.tenant)
    _check_given(caller, tenant, set(body.roles))
    made = core.put(caller, "user", new_user(tenant, body.name, body.password, sorted(set(body.roles))), None)
    return reply(_shown(made), made, status=201, location=f"/api/v1/users/{body.name}")


@router.get("", response_model=page_model(User))
def index(
    caller: Calling, page: Paging, sort: Annotated[Sort, sorting("name")], prefix: Prefix = None, tenant: InTenant = None
) -> Response:  # fmt: skip
    """Users of a tenant."""
    caller.need(ADMINS | PLATFORM)
    where = {"tenant": _tenant(caller, tenant)}
    return reply(paged("user", where, page, _shown, key="name", descending=sort.descending, prefix=prefix))


@router.get("/{name}", response_model=User)
def show(name: UserName, caller: Calling, tenant: InTenant = None) -> Response:
    """One user."""
    found = _visible(caller, tenant, name)
    return reply(_shown(found), found)


@router.put("/{name}", response_model=User)
def replace(
    name: UserName, body: UserSettings, caller: Calling, core: Server, tenant: InTenant = None, if_match: IfMatch = None
) -> Response:
    """Set a user's roles, and the password if one is given. Tokens with roles that the user has no more are revoked."""
    found = _visible(caller, tenant, name)
    check_match(found, if_match)
    return _write(core, caller, found, body)


@router.patch("/{name}", response_model=User)
@takes_patch(UserSettings)
def patch(
    name: UserName, body: BaseModel, caller: Calling, core: Server, tenant: InTenant = None, if_match: IfMatch = None
) -> Response:
    """Change a user's roles or password."""
    found = _visible(caller, tenant, name)
    check_match(found, if_match)
    present = fields_of(UserSettings, found | {"password": None})
    return _write(core, caller, found, patched(UserSettings, present, body))


@router.delete("/{name}", status_code=204)
def delete(name: UserName, caller: Calling, core: Server, tenant: InTenant = None, if_match: IfMatch = None) -> None:
    """Delete a user and revoke its tokens: a platform-admin anybody, a tenant-admin whom it may make."""
    found = _visible(caller, tenant, name)
    check_match(found, if_match)
    if name == caller.user and found["tenant"] == caller.tenant:
        raise Problem(409, "nobody deletes the user that it is signed in as")
    if not caller.roles & PLATFORM:
        _check_given(caller, found["tenant"], set(found["roles"]))
    revoke_tokens(core, caller, found)
    core.delete(caller, "user", found)


def _write(core: Core, caller: Caller, found: Content, settings: UserSettings) -> Response:
    roles = sorted(set(settings.roles))
    _check_given(caller, found["tenant"], set(roles) ^ set(found["roles"]))
    if settings.password is not None:
        _check_given(caller, found["tenant"], set(found["roles"]))
    password = found["password"] if settings.password is None else password_hash(settings.password)
    made = core.put(caller, "user", found | {"roles": roles, "password": password}, found)
    if settings.password is not None:
        revoke_tokens(core, caller, made, kind="login")
    if not set(found["roles"]) <= set(roles):
        revoke_tokens(core, caller, made, but=caller.token)
    return reply(_shown(made), made)


def _tenant(caller: Caller, tenant: str | None) -> str:
    """The tenant meant. Raises: Problem 404 for one that the caller does not see."""
    if tenant is None or tenant == caller.tenant:
        return caller.tenant
    return str(visible_tenant(caller, tenant)["_id"])


def _visible(caller: Caller, tenant: str | None, name: str) -> Content:
    caller.need(ADMINS | PLATFORM)
    found = model.find_one("user", {"tenant": _tenant(caller, tenant), "name": name})
    if found is None:
        raise not_found("user", name)
    return found


def _check_given(caller: Caller, tenant: str, roles: set[str]) -> None:
    """Raises: Problem 403 when the caller may not give (or take) one of `roles` in this tenant."""
    if caller.roles & PLATFORM:
        roles = roles - GIVEN_BY_PLATFORM
    if caller.roles & ADMINS and tenant == caller.tenant:
        roles = roles - GIVEN_BY_TENANT
    if roles & GIVEN_BY_PLATFORM:
        raise Problem(403, f"{sorted(roles)[0]} is given and taken by a platform-admin only")
    if roles:
        raise Problem(403, f"{sorted(roles)[0]} is given and taken by a tenant-admin of the tenant only")


def _shown(document: Content) -> Content:
    names = ("tenant", "name", "roles", "rev")
    return {"id": document["name"]} | {name: document[name] for name in names}
