"""The audit trail: who did what, when, from where, with the content before and after. Read-only: nothing here writes or removes."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field

from akela.documents import changelog, history
from akela.documents.model import Content
from control.core import ADMINS, NAME, PLATFORM, Body, Caller, Calling, Paging, page_answer
from control.etags import reply
from control.moments import Moment
from control.paging import given
from control.problems import not_found
from control.resources.signin import SLUG
from control.route import Route
from control.shapes import page_model

router = APIRouter(prefix="/api/v1", tags=["audit"], route_class=Route)

MASKED: Final = frozenset({"password", "hash", "claim_secrets", "credentials", "secret"})
NAMES: Final = (
    "epoch", "at", "who", "where", "token", "request", "tenant", "app", "kind", "op", "target", "before_rev", "state", "why",
)  # fmt: skip
SHOWN_ROWS: Final = 20  # of a bulk change


class Change(Body):
    """One change. Secrets are masked; of a bulk change `after` has the number of rows, and the first of them."""

    seq: int
    epoch: int = Field(description="of the Control server that wrote it")
    at: datetime
    who: str = Field(description="name of the user")
    where: str = Field(description="address that it came from")
    token: str | None = Field(description="id of the API token")
    request: str | None = Field(description="id of the request")
    tenant: str | None
    app: str | None
    kind: str
    op: str = Field(description="put, delete, or many: a bulk change")
    target: str
    before_rev: int | None = Field(description="revision that was changed; null: it was made")
    state: str = Field(description="pending, done, or void: it was not carried out")
    why: str | None = Field(description="why it is void")
    after: Any


class AuditedChange(Change):
    """One change, with what was there before."""

    before: Any


class Changes(Body):
    """A stretch of the change log."""

    items: list[Change]
    head: int = Field(description="the last number taken")


@router.get("/audit", response_model=page_model(AuditedChange))
def audit(
    caller: Calling,
    page: Paging,
    who: Annotated[str | None, Query(pattern=NAME, description="only what this user did")] = None,
    kind: Annotated[str | None, Query(pattern=r"^[a-z-]{1,32}$", description="only targets of this kind")] = None,
    target: Annotated[
        str | None, Query(pattern=r"^[!-~][ -~]{0,254}$", description="only this target: its history")
    ] = None,
    app: Annotated[
        str | None, Query(pattern=r"^[a-z2-7]{4,12}$", description="only inside this application (its token)")
    ] = None,
    tenant: Annotated[str | None, Query(pattern=SLUG, description="only this tenant's (platform-admin)")] = None,
    since: Annotated[Moment, Query(description="at or after")] = None,
    until: Annotated[Moment, Query(description="before")] = None,
) -> Response:
    """Changes, newest first: the tenant's for a tenant-admin, every tenant's for a platform-admin. Secrets are masked."""
    where = _tenant(caller, tenant) | given(who=who, kind=kind, target=target, app=app)
    found = history.newest(where, since=since, until=until, before=page.number, limit=page.limit + 1)
    return reply(page_answer(found, page, "n", lambda change: _change(change) | {"before": _masked(change, "before")}))


@router.get("/changes", response_model=Changes)
def changes(
    caller: Calling,
    after: Annotated[int, Query(ge=0, le=2**53, description="sequence behind which to begin")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """The change log of the tenant, in sequence: who changed what, when, from where. Secrets are masked."""
    found = list(history.read(after, limit, _tenant(caller, None)))
    return reply({"items": [_change(change) for change in found], "head": changelog.head_seq()})


def _tenant(caller: Caller, tenant: str | None) -> Content:
    """What part of the log the caller sees. Raises: Problem."""
    caller.need(ADMINS | PLATFORM)
    caller.need_whole_tenant()
    if caller.roles & PLATFORM:
        return {} if tenant is None else {"tenant": tenant}
    if tenant not in (None, caller.tenant):
        raise not_found("tenant", str(tenant))
    return {"tenant": caller.tenant}


def _change(document: Content) -> Content:
    return {"seq": document["n"]} | {name: document.get(name) for name in NAMES} | {"after": _masked(document, "after")}


def _masked(document: Content, name: str) -> Content | None:
    """What a change contains as readers see it."""
    content = document.get(name)
    if content is None:
        return None
    if document["op"] == "many":
        rows = content["rows"]
        return {"count": len(rows), "rows": [_without_secrets(row) for row in rows[:SHOWN_ROWS]]}
    return _without_secrets(content)


def _without_secrets(content: Content) -> Content:
    return {key: "(masked)" if key in MASKED and value is not None else value for key, value in content.items()}
