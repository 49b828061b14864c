"""What every resource of the API works with: who calls, what may be written, how lists are paged."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Header, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict

from akela.coordination import Member, Role
from akela.documents import model
from akela.documents.changelog import ChangeLog, Draft
from akela.documents.model import Content
from control.problems import NotActiveError, Problem, not_found
from control.secrets import digest

ROLES: Final = ("platform-admin", "tenant-admin", "tenant-developer", "tenant-viewer")
DEVELOPERS: Final = frozenset({"tenant-admin", "tenant-developer"})
ADMINS: Final = frozenset({"tenant-admin"})
PLATFORM: Final = frozenset({"platform-admin"})
MAX_PAGE: Final = 500

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._@ -]{0,63}$"


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    user: str
    tenant: str
    roles: frozenset[str]
    where: str

    def need(self, roles: frozenset[str]) -> None:
        """Raises: Problem 403 when the caller has none of `roles`."""
        if not self.roles & roles:
            raise Problem(403, f"this needs one of the roles: {', '.join(sorted(roles))}")


class Core:
    """The Control server as the resources see it."""

    def __init__(self) -> None:
        self.log: ChangeLog | None = None  # while this server is active
        self.leading: Callable[[], bool] = lambda: False
        self.active_api: Callable[[], str | None] = lambda: None
        self.written: Callable[[], None] = lambda: None
        self.members: dict[Role, Mapping[str, Member]] = {}

    def write(self, caller: Caller, draft: Draft) -> int:
        """Write a change as the active server; returns the target's new `rev`. Raises: NotActiveError, and what the log raises."""
        log = self.log
        if log is None or not self.leading():
            raise NotActiveError(self.active_api())
        try:
            return log.write(replace(draft, who=caller.user, where=caller.where))
        finally:
            self.written()

    def put(
        self, caller: Caller, kind: str, content: Content, before: Content | None, app: str | None = None
    ) -> Content:
        """Write a document; gives it with its new `rev`."""
        before_rev = None if before is None else before["rev"]
        content = {"format": model.FORMAT, **content}
        tenant = content.get("tenant", caller.tenant)
        target: str = content["_id"]
        rev = self.write(caller, Draft(kind, "put", target, content, before_rev, "", "", tenant, app))
        return {**content, "rev": rev}

    def delete(self, caller: Caller, kind: str, before: Content, app: str | None = None) -> None:
        """Delete a document."""
        tenant = before.get("tenant", caller.tenant)
        self.write(caller, Draft(kind, "delete", before["_id"], None, before["rev"], "", "", tenant, app))

    def application(self, caller: Caller, app: str) -> Content:
        """An application of the caller's tenant. Raises: Problem 404, also for another tenant's."""
        found = model.find("application", app)
        if found is None or found["tenant"] != caller.tenant:
            raise not_found("application", app)
        return found


def core_of(request: Request) -> Core:
    """The core behind a request."""
    core: Core = request.app.state.core
    return core


_bearer = HTTPBearer(
    auto_error=False, description="an API token: `akt_...`, from POST /api/v1/login or POST /api/v1/tokens"
)


def caller_of(request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Who calls. Raises: Problem 401."""
    if bearer is None:
        raise Problem(401, "an API token is needed: Authorization: Bearer akt_...; get one with POST /api/v1/login")
    prefix, _, rest = bearer.credentials.partition("_")
    token = model.find("token", rest.partition("_")[0]) if prefix == "akt" else None
    if token is None or not hmac.compare_digest(token["hash"], digest(bearer.credentials)):
        raise Problem(401, "unknown API token")
    expires = token.get("expires")
    if token.get("revoked") or (expires is not None and expires <= datetime.now(UTC)):
        raise Problem(401, "the API token is revoked or has expired; sign in again")
    where = request.client.host if request.client else "?"
    return Caller(token["user"], token["tenant"], frozenset(token["roles"]), where)


Calling = Annotated[Caller, Depends(caller_of)]
Server = Annotated[Core, Depends(core_of)]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description='the ETag of the revision that is changed, such as "12"')
]


def check_match(found: Content | None, if_match: str | None) -> None:
    """Raises: Problem 412 when `If-Match` names another revision, or there is none (RFC 9110, section 13.1.1)."""
    if if_match is None:
        return
    if found is None:
        raise Problem(412, "there is no revision to match: it does not exist; leave If-Match out to make it")
    if if_match not in ("*", etag(found)):
        raise Problem(412, f"the present ETag is {etag(found)}; read it again and repeat")


def now() -> datetime:
    """The present moment as the database keeps it: to the millisecond (BSON specification, "UTC datetime")."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def etag(document: Mapping[str, Any]) -> str:
    """The ETag of a document."""
    return f'"{document.get("rev", 0)}"'


def tagged(response: Response, shown: Content, document: Mapping[str, Any]) -> Content:
    """`shown` with `rev`, and the ETag in the response."""
    response.headers["ETag"] = etag(document)
    return shown | {"rev": document.get("rev", 0)}


@dataclass(frozen=True, slots=True)
class Page:
    """What part of a list is asked for."""

    limit: int
    after: str | None


def page_of(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="rows of one page")] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Page:
    """The page asked for. Raises: Problem 400 for a forged cursor."""
    if cursor is None:
        return Page(limit, None)
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=="))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Problem(400, "this is no cursor of ours", [("/cursor", "use `next` of the page before")]) from error
    if not isinstance(after, str) or "\0" in after:
        raise Problem(400, "this is no cursor of ours", [("/cursor", "use `next` of the page before")])
    return Page(limit, after)


Paging = Annotated[Page, Depends(page_of)]


def paged(
    kind: str,
    where: Mapping[str, Any],
    page: Page,
    show: Callable[[Content], Content],
    *,
    key: str = "_id",
    order: Literal["up", "down"] = "up",
) -> Content:
    """One page of documents by `key`."""
    condition = dict(where)
    if page.after is not None:
        condition[key] = {"$gt" if order == "up" else "$lt": page.after}
    found = list(model.query(kind, condition, sort=key, descending=order == "down", limit=page.limit + 1))
    return page_answer(found, page, key, show)


def page_answer(found: list[Content], page: Page, key: str, show: Callable[[Content], Content]) -> Content:
    """The answer for up to one row more than the page holds."""
    rows = found[: page.limit]
    more = len(found) > page.limit
    return {"items": [show(row) for row in rows], "next": cursor_for(str(rows[-1][key])) if more else None}


def cursor_for(after: str) -> str:
    """The opaque text of a place in a list."""
    return base64.urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=")


def only(document: Content, *names: str) -> Content:
    """Some fields of a document; `id` is its `_id`."""
    return {"id": document["_id"]} | {name: document.get(name) for name in names}


def problems_of(found: Iterable[tuple[str, str]]) -> Problem:
    """422 with the path of each wrong field."""
    errors = list(found)
    return Problem(422, errors[0][1] if errors else "breaks its schema", errors)
