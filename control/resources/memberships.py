"""Who is in a group: a preview of a filter, how far its evaluation is, for whom the filter fails."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from akela.documents import members, model
from akela.documents.base import Content
from akela.filters import MAX_LENGTH
from akela.membership import NAMES
from control.core import DEVELOPERS, Body, Calling, Paging, Server
from control.definitions import Name
from control.etags import reply
from control.expressions import check_filter
from control.paging import sifted
from control.preview import preview as previewed
from control.problems import not_found
from control.route import Route
from control.shapes import page_model
from control.stored_groups import digest_of

router = APIRouter(prefix="/api/v1/applications/{app}", tags=["groups"], route_class=Route)


class FilterText(Body):
    """A filter that is no group's yet."""

    filter: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)] = Field(examples=['profile.model == "m1"'])


class Failure(Body):
    """A reason why a filter fails."""

    reason: str
    endpoints: int
    example: str = Field(description="one of them")


class Preview(Body):
    """What a filter matches."""

    matched: int = Field(description="of those looked at")
    looked_at: int
    total: int = Field(description="endpoints of the application")
    sampled: bool = Field(description="not all were looked at, but some by chance")
    examples: list[str] = Field(description="ten that match")
    errors: list[Failure] = Field(description="no match because the filter fails; the ten most frequent reasons")


class Evaluation(Body):
    """How far the stored members of a group are brought to its filter."""

    state: Literal["waiting", "running", "done"]
    done: int = Field(description="endpoints evaluated")
    total: int = Field(description="endpoints of the application when it began")
    matched: int
    errors: int = Field(description="endpoints for which the filter fails")
    started: datetime | None
    ended: datetime | None


class FailingEndpoint(Body):
    """An endpoint for which a group's filter fails."""

    endpoint: str
    reason: str


@router.post("/group-preview", response_model=Preview)
def preview(app: str, body: FilterText, caller: Calling, core: Server) -> Response:
    """Which endpoints a filter matches. Above 20,000 endpoints it looks at a sample of so many, and says so."""
    core.application(caller, app, DEVELOPERS)
    check_filter(body.filter, "/filter", NAMES)
    return reply(previewed(app, body.filter))


@router.get("/groups/{name}/evaluation", response_model=Evaluation)
def evaluation(app: str, name: Name, caller: Calling, core: Server) -> Response:
    """How far the evaluation of a group is that its last change began."""
    core.application(caller, app)
    _need_group(app, name)
    found = members.evaluation(app)
    if found is None or found["filters"] != digest_of(members.groups_of(app)):
        state = {"state": "waiting", "done": 0, "total": 0, "matched": 0, "errors": 0, "started": None, "ended": None}
        return reply(state)
    counts = next((row for row in found["counts"] if row["group"] == name), {"matched": 0, "errors": 0})
    shown = {field: found[field] for field in ("state", "done", "total", "started", "ended")}
    return reply(shown | {"matched": counts["matched"], "errors": counts["errors"]})


@router.get("/groups/{name}/errors", response_model=page_model(FailingEndpoint))
def errors(app: str, name: Name, caller: Calling, core: Server, page: Paging) -> Response:
    """Endpoints for which the group's filter fails, with the reason; they count as no members."""
    core.application(caller, app)
    _need_group(app, name)

    def row(endpoint: Content) -> Content | None:
        reason = (endpoint.get("group_errors") or {}).get(name)
        return None if reason is None else {"endpoint": endpoint["ep"], "reason": reason}

    return reply(sifted(lambda after, limit: members.failing(app, after, limit), page, row))


def _need_group(app: str, name: str) -> None:
    """Raises: Problem 404; also for `all`, which nobody evaluates."""
    if model.find("group", f"{app}/{name}") is None:
        raise not_found("group", name)
