"""Sign-in, sign-out, one's own password; the first user. Wrong passwords make the next try wait: per user name and per address."""

import time
from datetime import datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from akela.documents import model
from akela.documents.model import Content
from control.core import NAME, PLATFORM, Body, Caller, Calling, Core, Server, address_of, now, too_many
from control.etags import reply
from control.problems import Problem
from control.route import Route
from control.secrets import digest, new_id, new_token, password_fits, password_hash

router = APIRouter(prefix="/api/v1", tags=["sign-in"], route_class=Route)

DEFAULT_TENANT: Final = "default"
SESSION_S: Final = 12 * 3600
MAX_TTL_S: Final = 365 * 24 * 3600
SLUG: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
MIN_PASSWORD: Final = 10


class Login(Body):
    """Sign-in of a person."""

    user: str = Field(
        min_length=1,
        max_length=128,
        examples=["admin"],
        description="user name; {tenant}/{name} outside the tenant default",
    )
    password: str = Field(max_length=1024, examples=["correct horse battery"])
    tenant: str | None = Field(
        default=None, pattern=SLUG, description="the user's tenant, when `user` does not name it"
    )
    ttl_s: int = Field(default=SESSION_S, ge=60, le=MAX_TTL_S, description="how long the token is good, seconds")


class SignedIn(Body):
    """The token of a sign-in; it is shown this once."""

    token: str
    id: str
    expires: datetime
    user: str
    tenant: str
    roles: list[str]


class Me(Body):
    """Who a token speaks for."""

    user: str
    tenant: str
    roles: list[str]
    token: str = Field(description="id of the token")
    applications: list[str] | None = Field(description="null: all of the tenant's")
    read_only: bool


class NewPassword(Body):
    """A person's new password."""

    present: str = Field(max_length=1024, examples=["correct horse battery"])
    new: str = Field(min_length=MIN_PASSWORD, max_length=1024, examples=["staple of another kind"])


@router.post("/login", status_code=201, response_model=SignedIn)
def login(body: Login, core: Server, request: Request) -> Response:
    """Sign in: gives an API token, shown once. After wrong passwords the next try waits (429, Retry-After)."""
    core.need_active()
    tenant, name = _tenant_and_name(body)
    who, where = f"{tenant}/{name}", address_of(request)
    moment_s = time.monotonic()
    wait_s = max(core.user_backoff.wait(who, moment_s), core.address_backoff.wait(where, moment_s))
    if wait_s > 0:
        raise too_many("too many wrong passwords", wait_s)
    user = model.find_one("user", {"tenant": tenant, "name": name}) if "\0" not in who else None
    if not password_fits(None if user is None else user["password"], body.password) or user is None:
        core.user_backoff.failed(who, moment_s)
        core.address_backoff.failed(where, moment_s)
        raise Problem(401, "wrong user name or password")
    core.user_backoff.succeeded(who)  # not the address: one account there would let it try all others
    caller = Caller(user["name"], user["tenant"], frozenset(user["roles"]), where)
    token, text = issue(core, caller, "login", list(user["roles"]), body.ttl_s, kind="login")
    answer = {"token": text, "id": token["_id"], "expires": token["expires"], "user": caller.user}
    return reply(answer | {"tenant": caller.tenant, "roles": token["roles"]}, status=201)


@router.post("/logout", status_code=204)
def logout(caller: Calling, core: Server) -> None:
    """Sign out: revokes the token that this is asked with."""
    found = model.find("token", caller.token)
    if found is not None and not found["revoked"]:
        core.put(caller, "token", found | {"revoked": True}, found)


@router.get("/me", response_model=Me)
def me(caller: Calling) -> Response:
    """Who the token speaks for."""
    scope = None if caller.applications is None else sorted(caller.applications)
    shown = {"user": caller.user, "tenant": caller.tenant, "roles": sorted(caller.roles), "token": caller.token}
    return reply(shown | {"applications": scope, "read_only": caller.read_only})


@router.put("/me/password", status_code=204)
def change_password(body: NewPassword, caller: Calling, core: Server) -> None:
    """Change one's own password; every other sign-in of this user ends."""
    core.need_active()
    caller.need_whole_tenant()
    who = f"{caller.tenant}/{caller.user}"
    moment_s = time.monotonic()
    wait_s = core.user_backoff.wait(who, moment_s)
    if wait_s > 0:
        raise too_many("too many wrong passwords", wait_s)
    user = model.find_one("user", {"tenant": caller.tenant, "name": caller.user})
    if user is None or not password_fits(user["password"], body.present):
        core.user_backoff.failed(who, moment_s)
        raise Problem(422, "the present password is wrong", [("/present", "wrong")])
    core.user_backoff.succeeded(who)
    core.put(caller, "user", user | {"password": password_hash(body.new)}, user)
    revoke_tokens(core, caller, user, but=caller.token, kind="login")


def issue(
    core: Core, caller: Caller, name: str, roles: list[str], ttl_s: int | None, *, kind: str = "api", applications: list[str] | None = None,
    read_only: bool = False,
) -> tuple[Content, str]:  # fmt: skip
    """Make a token for the caller; gives it with its text."""
    number = new_id()
    text = new_token(number)
    moment = now()
    content = {
        "_id": number, "number": number, "tenant": caller.tenant, "user": caller.user, "name": name, "kind": kind, "roles": roles,
        "applications": applications, "read_only": read_only, "hash": digest(text), "created": moment,
        "expires": None if ttl_s is None else moment + timedelta(seconds=ttl_s), "revoked": False,
    }  # fmt: skip
    return core.put(caller, "token", content, None), text


def revoke_tokens(core: Core, caller: Caller, user: Content, *, but: str = "", kind: str | None = None) -> None:
    """Revoke a user's tokens."""
    where = {"tenant": user["tenant"], "user": user["name"]}
    for token in list(model.query("token", where, sort="number")):
        if not token["revoked"] and token["_id"] != but and kind in (None, token["kind"]):
            core.put(caller, "token", token | {"revoked": True}, token)


def first_user(core: Core, name: str, password: str) -> bool:
    """Make the first tenant and user when there is no user; False when there is one."""
    if model.find_one("user", {}) is not None:
        return False
    caller = Caller(name, DEFAULT_TENANT, PLATFORM, "first start")
    if model.find("tenant", DEFAULT_TENANT) is None:
        core.put(caller, "tenant", {"_id": DEFAULT_TENANT, "tenant": DEFAULT_TENANT, "name": "Default"}, None)
    core.put(caller, "user", new_user(DEFAULT_TENANT, name, password, ["platform-admin", "tenant-admin"]), None)
    return True


def new_user(tenant: str, name: str, password: str, roles: list[str]) -> Content:
    """A user's document."""
    return {
        "_id": f"{tenant}/{name}", "tenant": tenant, "name": name, "roles": roles, "password": password_hash(password), "created": now(),
    }  # fmt: skip


def _tenant_and_name(body: Login) -> tuple[str, str]:
    tenant, slash, name = body.user.partition("/")
    if not slash:
        return body.tenant or DEFAULT_TENANT, body.user
    if body.tenant not in (None, tenant):
        raise Problem(422, "two tenants are named", [("/tenant", f"`user` names {tenant!r}")])
    return tenant, name


__all__ = ["NAME", "SLUG", "first_user", "issue", "new_user", "revoke_tokens", "router"]
