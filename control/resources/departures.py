"""Endpoints that were deleted and stay out, and certificates that expire soon."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response

from akela.documents import model
from akela.documents.model import Content
from control.core import DEVELOPERS, ENDPOINT_ID, Body, Calling, Paging, Server
from control.etags import IfMatch, check_match, reply
from control.paging import Prefix, Sort, page_answer, paged, sorting
from control.problems import not_found
from control.route import Route
from control.shapes import Revised, page_model

router = APIRouter(prefix="/api/v1/applications/{app}/departures", tags=["endpoints"], route_class=Route)
certificates_router = APIRouter(prefix="/api/v1/applications/{app}/certificates", tags=["endpoints"], route_class=Route)

Ep = Annotated[str, Path(pattern=ENDPOINT_ID, examples=["meter-7"])]
MAX_DAYS: Final = 3650


class Departure(Revised):
    """An endpoint that was deleted."""

    id: str
    departed: datetime
    by: str


class ExpiringCertificate(Body):
    """The certificate that an endpoint came with last."""

    id: str
    subject: str
    serial: str
    authority: str
    not_after: datetime


@router.get("", response_model=page_model(Departure))
def index(
    app: str, caller: Calling, core: Server, page: Paging, sort: Annotated[Sort, sorting("id")], prefix: Prefix = None
) -> Response:
    """Endpoints that were deleted. They do not register again by themselves."""
    core.application(caller, app)
    return reply(paged("departure", {"app": app}, page, _shown, key="ep", descending=sort.descending, prefix=prefix))


@router.get("/{ep}", response_model=Departure)
def show(app: str, ep: Ep, caller: Calling, core: Server) -> Response:
    """One that was deleted."""
    core.application(caller, app)
    found = _found(app, ep)
    return reply(_shown(found), found)


@router.delete("/{ep}", status_code=204)
def lift(app: str, ep: Ep, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Let an endpoint that was deleted register again, as one that is new. Adding it does so too."""
    core.application(caller, app, DEVELOPERS)
    found = _found(app, ep)
    check_match(found, if_match)
    core.delete(caller, "departure", found, app)


@certificates_router.get("", response_model=page_model(ExpiringCertificate))
def certificates(
    app: str,
    caller: Calling,
    core: Server,
    page: Paging,
    within_days: Annotated[int, Query(ge=0, le=MAX_DAYS, description="those that expire within so many days")] = 30,
) -> Response:
    """Endpoints whose certificate has expired or expires soon, the soonest first."""
    core.application(caller, app)
    until = (datetime.now(UTC) + timedelta(days=within_days)).isoformat(timespec="seconds")
    where = {"app": app, "certificate_key": {"$gt": page.place or ""}}
    rows = model.query("endpoint", where, sort="certificate_key", limit=page.limit + 1)
    # The upper bound is not asked of the database: the embedded one finds nothing between two texts.
    found = list(takewhile(lambda row: row["certificate_key"] < until, rows))
    return reply(page_answer(found, page, "certificate_key", _certificate))


def _found(app: str, ep: str) -> Content:
    found = model.find("departure", f"{app}/{ep}")
    if found is None:
        raise not_found("deleted endpoint", ep)
    return found


def _shown(document: Content) -> Content:
    return {"id": document["ep"], "departed": document["departed"], "by": document["by"], "rev": document["rev"]}


def _certificate(document: Content) -> Content:
    shown = document["certificate"]
    return {"id": document["ep"]} | {name: shown[name] for name in ("subject", "serial", "authority", "not_after")}
