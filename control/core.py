"""What every resource of the API works with: who calls, what may be read and written."""

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict

from akela.coordination import Member, Role
from akela.documents import model, upgrades
from akela.documents.changelog import ChangeLog, Draft
from akela.documents.model import Content
from control.paging import Paging as Paging  # noqa: PLC0414  resources find what they need here
from control.paging import page_answer as page_answer  # noqa: PLC0414
from control.problems import NotActiveError, Problem, not_found
from control.rates import BackOff, Buckets
from control.remembered import Remembered
from control.request_ids import request_id
from control.secrets import digest

ROLES: Final = ("platform-admin", "tenant-admin", "tenant-developer", "tenant-viewer")
DEVELOPERS: Final = frozenset({"tenant-admin", "tenant-developer"})
ADMINS: Final = frozenset({"tenant-admin"})
PLATFORM: Final = frozenset({"platform-admin"})
READERS: Final = ADMINS | DEVELOPERS | {"tenant-viewer"}
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Wrong passwords: how many are free, and the longest wait after more. An attacker delays a user by no more; many people share an address.
USER_BACKOFF: Final = (3, 60.0)
ADDRESS_BACKOFF: Final = (20, 600.0)

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._@ -]{0,63}$"
ENDPOINT_ID: Final = r"^[A-Za-z0-9._-]{1,64}$"


class Body(BaseModel):
    """A request body: unknown fields are refused, and so are other types that would do ("5" for 5, 0 for false)."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, by which token. `applications`: those that the token is scoped to; None: all of the tenant's."""

    user: str
    tenant: str
    roles: frozenset[str]
    where: str
    token: str = ""
    applications: frozenset[str] | None = None
    read_only: bool = False

    def need(self, roles: frozenset[str]) -> None:
        """Raises: Problem 403 when the caller has none of `roles`."""
        if not self.roles & roles:
            raise Problem(403, f"this needs one of the roles: {', '.join(sorted(roles))}")

    def need_whole_tenant(self) -> None:
        """Raises: Problem 403 when the token is scoped to applications."""
        if self.applications is not None:
            raise Problem(403, "this concerns the whole tenant; the API token is scoped to applications")

    def reaches(self, app: str) -> bool:
        """Whether the token's scope has this application."""
        return self.applications is None or app in self.applications


class Core:
    """The Control server as the resources see it."""

    def __init__(self, *, cursor_key: bytes, rate_per_s: float, burst: int) -> None:
        self.log: ChangeLog | None = None  # while this server is active
        self.leading: Callable[[], bool] = lambda: False
        self.active_api: Callable[[], str | None] = lambda: None
        self.written: Callable[[], None] = lambda: None
        self.groups_changed: Callable[[str], None] = lambda app: None
        self.members: dict[Role, Mapping[str, Member]] = {}
        self.remembered = Remembered(lambda: self.log is not None and self.leading())
        self.cursor_key = cursor_key
        self.rates = Buckets(rate_per_s, burst)
        self.user_backoff = BackOff(*USER_BACKOFF)
        self.address_backoff = BackOff(*ADDRESS_BACKOFF)

    def need_active(self) -> ChangeLog:
        """The log, when this server is the active one. Raises: NotActiveError."""
        log = self.log
        if log is None or not self.leading():
            raise NotActiveError(self.active_api())
        return log

    def write(self, caller: Caller, draft: Draft) -> int:
        """Write a change as the active server; returns the target's new `rev`. Raises: NotActiveError, and what the log raises."""
        log = self.need_active()
        self.remembered.forget(draft.kind, draft.target)
        try:
            return log.write(
                replace(draft, who=caller.user, where=caller.where, token=caller.token or None, request=request_id())
            )
        finally:
            self.remembered.forget(draft.kind, draft.target)
            self.written()
            if draft.kind == "group" and draft.app is not None:
                self.groups_changed(draft.app)

    def put(
        self, caller: Caller, kind: str, content: Content, before: Content | None, app: str | None = None
    ) -> Content:
        """Write a document; gives it with its new `rev`."""
        before_rev = None if before is None else before["rev"]
        content = {**content, "format": upgrades.format_of(kind)}
        tenant = content.get("tenant", caller.tenant)
        target: str = content["_id"]
        rev = self.write(caller, Draft(kind, "put", target, content, before_rev, "", "", tenant, app, before))
        return {**content, "rev": rev}

    def delete(self, caller: Caller, kind: str, before: Content, app: str | None = None) -> None:
        """Delete a document."""
        tenant = before.get("tenant", caller.tenant)
        self.write(caller, Draft(kind, "delete", before["_id"], None, before["rev"], "", "", tenant, app, before))

    def application(self, caller: Caller, app: str, roles: frozenset[str] = READERS) -> Content:
        """An application of the caller's tenant.

        Raises: Problem 404, also for another tenant's, before Problem 403 for a role that is missing.
        """
        found = self.remembered.find("application", app)
        if found is None or found["tenant"] != caller.tenant or not caller.reaches(app):
            raise not_found("application", app)
        caller.need(roles)
        return found


def core_of(request: Request) -> Core:
    """The core behind a request."""
    core: Core = request.app.state.core
    return core


_bearer = HTTPBearer(
    auto_error=False, description="an API token: `akt_...`, from POST /api/v1/login or POST /api/v1/tokens"
)


def caller_of(request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Who calls. Raises: Problem 401; 429 above the token's rate; 403 for a write with a read-only token."""
    core = core_of(request)
    token = valid_token(None if bearer is None else bearer.credentials, core.remembered.find)
    wait_s = core.rates.take(token["_id"], time.monotonic())
    if wait_s > 0:
        raise too_many("too many requests with this API token", wait_s)
    caller = Caller(
        user=token["user"],
        tenant=token["tenant"],
        roles=frozenset(token["roles"]),
        where=address_of(request),
        token=token["_id"],
        applications=None if token["applications"] is None else frozenset(token["applications"]),
        read_only=token["read_only"],
    )
    if caller.read_only and request.method not in READS and not request.url.path.endswith("/logout"):
        raise Problem(403, "the API token is read-only")
    return caller


def valid_token(text: str | None, find: Callable[[str, str], Content | None] = model.find) -> Content:
    """The stored token behind a bearer's text. Raises: Problem 401."""
    if text is None:
        raise Problem(401, "an API token is needed: Authorization: Bearer akt_...; get one with POST /api/v1/login")
    prefix, _, rest = text.partition("_")
    token = find("token", rest.partition("_")[0]) if prefix == "akt" else None
    if token is None or not hmac.compare_digest(token["hash"], digest(text)):
        raise Problem(401, "unknown API token")
    expires = token.get("expires")
    if token.get("revoked") or (expires is not None and expires <= datetime.now(UTC)):
        raise Problem(401, "the API token is revoked or has expired; sign in again")
    return token


def too_many(detail: str, wait_s: float) -> Problem:
    """429 with the time to wait."""
    seconds = max(1, ceil(wait_s))
    return Problem(429, f"{detail}; try again in {seconds} s", headers={"Retry-After": str(seconds)})


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else "?"


Calling = Annotated[Caller, Depends(caller_of)]
Server = Annotated[Core, Depends(core_of)]


def now() -> datetime:
    """The present moment as the database keeps it: to the millisecond (BSON specification, "UTC datetime")."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
