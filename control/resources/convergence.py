"""How far the endpoints of an application have the configuration that they should have."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from akela.coordination import Role
from akela.documents import members
from control.core import Body, Calling, Paging, Server
from control.definitions import DEFINED_NAME
from control.etags import reply
from control.paging import sifted
from control.problems import not_found
from control.resources.groups import group_weight
from control.route import Route
from control.shapes import page_model
from control.summary import SUMMARIES, WANTED, Question, straggler
from control.targets import Targets

router = APIRouter(prefix="/api/v1/applications/{app}/convergence", tags=["convergence"], route_class=Route)

Group = Annotated[str | None, Query(pattern=DEFINED_NAME, description="only members of this group")]
Config = Annotated[
    str | None,
    Query(pattern=r"^[0-9a-f]{16}$", description="only endpoints that should have the configuration with this id"),
]


class Seconds(Body):
    """From the assignment of a configuration to its report as applied."""

    p50: float | None
    p95: float | None
    max: float | None


class Convergence(Body):
    """Endpoints by what holds for them; those that are revoked count for none of the others."""

    as_of: datetime = Field(description="when it was looked at; an answer is kept for about as long as making it took")
    evaluating: bool = Field(description="groups are being evaluated: members may still come and go")
    endpoints: int
    percent: float = Field(description="converged, of all", examples=[99.5])
    converged: int
    refused: int = Field(description="tried again by themselves")
    held: int = Field(description="refused or unanswered too often: nothing happens until an operator acts")
    unservable: int = Field(description="their schema version cannot hold the configuration")
    waiting_online: int
    waiting_offline: int
    unknown: int = Field(description="never connected")
    revoked: int
    seconds: Seconds


class Straggler(Body):
    """An endpoint that has not what it should have."""

    endpoint: str
    state: Literal["refused", "held", "unservable", "waiting-online", "waiting-offline", "unknown"]
    code: int | None
    key: str | None = Field(description="path of the field that it refused")
    reason: str | None
    since: datetime | None
    online: bool


@router.get("", response_model=Convergence)
def show(app: str, caller: Calling, core: Server, group: Group = None, config: Config = None) -> Response:
    """How many endpoints have what they should have, and how long it took them."""
    core.application(caller, app)
    _check_group(app, group)
    return reply(SUMMARIES.of(Question(app, group, config), core.members.get(Role.OPERATIONS, {})))


@router.get("/stragglers", response_model=page_model(Straggler))
def stragglers(
    app: str, caller: Calling, core: Server, page: Paging, group: Group = None, config: Config = None
) -> Response:
    """Endpoints that have not what they should have, by id. A page may be short and have a next one all the same."""
    core.application(caller, app)
    _check_group(app, group)
    question, targets = Question(app, group, config), Targets.of_all(app)
    servers = core.members.get(Role.OPERATIONS, {})
    where = members.members_of(group)
    return reply(
        sifted(
            lambda after, limit: members.batch(app, after, limit, WANTED, where),
            page,
            lambda endpoint: straggler(question, targets, endpoint, servers),
        )
    )


def _check_group(app: str, group: str | None) -> None:
    """Raises: Problem 404."""
    if group is not None and group_weight(app, group) is None:
        raise not_found("group", group)
