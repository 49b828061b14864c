"""Sign-in, tenants, users, API tokens."""

from datetime import timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from akela.documents import model
from akela.documents.model import Content
from control.core import (
    ADMINS,
    NAME,
    PLATFORM,
    Body,
    Caller,
    Calling,
    Core,
    IfMatch,
    Paging,
    Server,
    check_match,
    now,
    only,
    paged,
    tagged,
)
from control.problems import Problem, not_found
from control.secrets import digest, new_id, new_token, password_fits, password_hash

router = APIRouter(prefix="/api/v1", tags=["accounts"])

RoleName = Literal["platform-admin", "tenant-admin", "tenant-developer", "tenant-viewer"]
SESSION_S: Final = 12 * 3600
MAX_TTL_S: Final = 365 * 24 * 3600
SLUG: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
TenantId = Annotated[str, Path(pattern=SLUG)]
UserName = Annotated[str, Path(pattern=NAME)]
TokenId = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$")]


class Login(Body):
    """Sign-in of a person."""

    user: str = Field(max_length=64, examples=["admin"])
    password: str = Field(max_length=1024)
    ttl_s: int = Field(default=SESSION_S, ge=60, le=MAX_TTL_S, description="how long the token is good, seconds")


class NewTenant(Body):
    """A tenant."""

    id: str = Field(pattern=SLUG, examples=["acme"])
    name: str = Field(pattern=NAME, examples=["Acme Inc"])


class NewUser(Body):
    """A user."""

    name: str = Field(pattern=NAME, examples=["ann"])
    password: str = Field(min_length=10, max_length=1024)
    roles: list[RoleName] = Field(min_length=1)
    tenant: str | None = Field(
        default=None, pattern=SLUG, description="default: the caller's; another needs platform-admin"
    )


class NewToken(Body):
    """An API token for the caller."""

    name: str = Field(pattern=NAME, examples=["dashboard"])
    roles: list[RoleName] | None = Field(
        default=None, description="some of the caller's roles, or less; default: all of them"
    )
    ttl_s: int | None = Field(default=None, ge=60, le=MAX_TTL_S, description="default: it does not expire")


@router.post("/login", status_code=201)
def login(body: Login, core: Server) -> Content:
    """Sign in: gives an API token, shown once."""
    user = model.find("user", body.user) if "\0" not in body.user else None
    if not password_fits(None if user is None else user["password"], body.password) or user is None:
        raise Problem(401, "wrong user name or password")
    caller = Caller(user["_id"], user["tenant"], frozenset(user["roles"]), "login")
    token, text = _issue(core, caller, "login", list(user["roles"]), body.ttl_s)
    return {"token": text, "id": token["_id"], "expires": token["expires"], "user": caller.user} | {
        "tenant": caller.tenant,
        "roles": token["roles"],
    }


@router.get("/me")
def me(caller: Calling) -> Content:
    """Who the token speaks for."""
    return {"user": caller.user, "tenant": caller.tenant, "roles": sorted(caller.roles)}


@router.post("/tenants", status_code=201)
def create_tenant(body: NewTenant, caller: Calling, core: Server, response: Response) -> Content:
    """Make a tenant (platform-admin)."""
    caller.need(PLATFORM)
    made = core.put(caller, "tenant", {"_id": body.id, "name": body.name}, None)
    return tagged(response, _tenant(made), made)


@router.get("/tenants")
def list_tenants(caller: Calling, page: Paging) -> Content:
    """Tenants: all for a platform-admin, else the caller's own."""
    where = {} if caller.roles & PLATFORM else {"_id": caller.tenant}
    if where and page.after is not None:
        return {"items": [], "next": None}
    return paged("tenant", where, page, _tenant)


@router.get("/tenants/{tenant}")
def show_tenant(tenant: TenantId, caller: Calling, response: Response) -> Content:
    """One tenant."""
    found = _visible_tenant(caller, tenant)
    return tagged(response, _tenant(found), found)


@router.delete("/tenants/{tenant}", status_code=204)
def delete_tenant(tenant: TenantId, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Delete a tenant that has no users and no applications (platform-admin)."""
    caller.need(PLATFORM)
    found = _visible_tenant(caller, tenant)
    check_match(found, if_match)
    for kind in ("application", "user"):
        if next(model.query(kind, {"tenant": tenant}, limit=1), None) is not None:
            raise Problem(409, f"tenant {tenant} still has {kind}s; delete them first")
    core.delete(caller, "tenant", found)


@router.post("/users", status_code=201)
def create_user(body: NewUser, caller: Calling, core: Server, response: Response) -> Content:
    """Make a user: a tenant-admin in its own tenant, a platform-admin anywhere."""
    caller.need(ADMINS | PLATFORM)
    tenant = body.tenant or caller.tenant
    if not caller.roles & PLATFORM and (tenant != caller.tenant or "platform-admin" in body.roles):
        raise Problem(403, "users of other tenants and platform-admins are made by a platform-admin")
    _visible_tenant(caller, tenant)
    content = {"_id": body.name, "tenant": tenant, "roles": body.roles, "password": password_hash(body.password)}
    made = core.put(caller, "user", content, None)
    return tagged(response, _user(made), made)


@router.get("/users")
def list_users(caller: Calling, page: Paging) -> Content:
    """Users of the caller's tenant."""
    caller.need(ADMINS | PLATFORM)
    return paged("user", {"tenant": caller.tenant}, page, _user)


@router.get("/users/{name}")
def show_user(name: UserName, caller: Calling, response: Response) -> Content:
    """One user."""
    caller.need(ADMINS | PLATFORM)
    found = _visible_user(caller, name)
    return tagged(response, _user(found), found)


@router.delete("/users/{name}", status_code=204)
def delete_user(name: UserName, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Delete a user and revoke its tokens."""
    caller.need(ADMINS | PLATFORM)
    found = _visible_user(caller, name)
    check_match(found, if_match)
    if name == caller.user:
        raise Problem(409, "nobody deletes the user that it is signed in as")
    for token in list(model.query("token", {"user": name})):
        core.put(caller, "token", token | {"revoked": True}, token)
    core.delete(caller, "user", found)


@router.post("/tokens", status_code=201)
def create_token(body: NewToken, caller: Calling, core: Server, response: Response) -> Content:
    """Make an API token, with no more rights than the caller's; `token` is shown once."""
    roles: list[str] = sorted(caller.roles) if body.roles is None else list(body.roles)
    if not set(roles) <= caller.roles and not (roles == ["tenant-viewer"] and caller.roles):
        raise Problem(403, "a token has no more roles than who makes it")
    made, text = _issue(core, caller, body.name, roles, body.ttl_s)
    return tagged(response, _token(made), made) | {"token": text}


@router.get("/tokens")
def list_tokens(caller: Calling, page: Paging) -> Content:
    """The caller's tokens; all of the tenant's for a tenant-admin."""
    where = {"tenant": caller.tenant} if caller.roles & ADMINS else {"user": caller.user}
    return paged("token", where, page, _token)


@router.get("/tokens/{number}")
def show_token(number: TokenId, caller: Calling, response: Response) -> Content:
    """One token, without its text."""
    found = _visible_token(caller, number)
    return tagged(response, _token(found), found)


@router.delete("/tokens/{number}", status_code=204)
def delete_token(number: TokenId, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Revoke a token: it is refused from now on, its MQTT sessions end."""
    found = _visible_token(caller, number)
    check_match(found, if_match)
    if not found.get("revoked"):
        core.put(caller, "token", found | {"revoked": True}, found)


def first_user(core: Core, name: str, password: str) -> bool:
    """Make the first tenant and user when there is no user; False when there is one."""
    if next(model.query("user", {}, limit=1), None) is not None:
        return False
    caller = Caller(name, "default", PLATFORM, "first start")
    if model.find("tenant", "default") is None:
        core.put(caller, "tenant", {"_id": "default", "name": "Default"}, None)
    roles = ["platform-admin", "tenant-admin"]
    core.put(
        caller, "user", {"_id": name, "tenant": "default", "roles": roles, "password": password_hash(password)}, None
    )
    return True


def _issue(core: Core, caller: Caller, name: str, roles: list[str], ttl_s: int | None) -> tuple[Content, str]:
    number = new_id()
    text = new_token(number)
    moment = now()
    content = {
        "_id": number, "tenant": caller.tenant, "user": caller.user, "name": name, "roles": roles, "hash": digest(text),
        "created": moment, "expires": None if ttl_s is None else moment + timedelta(seconds=ttl_s), "revoked": False,
    }  # fmt: skip
    return core.put(caller, "token", content, None), text


def _visible_tenant(caller: Caller, tenant: str) -> Content:
    found = model.find("tenant", tenant)
    if found is None or not (tenant == caller.tenant or caller.roles & PLATFORM):
        raise not_found("tenant", tenant)
    return found


def _visible_user(caller: Caller, name: str) -> Content:
    found = model.find("user", name)
    if found is None or found["tenant"] != caller.tenant:
        raise not_found("user", name)
    return found


def _visible_token(caller: Caller, number: str) -> Content:
    found = model.find("token", number)
    mine = found is not None and found["user"] == caller.user
    if found is None or not (mine or (found["tenant"] == caller.tenant and caller.roles & ADMINS)):
        raise not_found("token", number)
    return found


def _tenant(document: Content) -> Content:
    return only(document, "name", "rev")


def _user(document: Content) -> Content:
    return only(document, "tenant", "roles", "rev") | {"name": document["_id"]}


def _token(document: Content) -> Content:
    return only(document, "name", "user", "tenant", "roles", "created", "expires", "revoked", "rev")
