"""What is looked at and not written here: records, servers, bootstrap keys."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from akela.documents import records
from akela.documents.model import Content
from control.core import Calling, Paging, Server, page_answer
from control.moments import Moment
from control.problems import not_found
from control.resources.schemas import newest
from control.route import Route

router = APIRouter(prefix="/api/v1", tags=["observed"], route_class=Route)

Stream = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@router.get("/applications/{app}/streams/{stream}/records")
def query(
    app: str,
    stream: Stream,
    caller: Calling,
    core: Server,
    page: Paging,
    endpoint: Annotated[str | None, Query(max_length=64, description="only this endpoint's")] = None,
    since: Annotated[Moment, Query(description="received at or after")] = None,
    until: Annotated[Moment, Query(description="received before")] = None,
) -> Content:
    """Records of a stream, newest first."""
    application = core.application(caller, app)
    if newest(app, "log", stream) is None and stream != application["default_stream"]:
        raise not_found("stream", stream)
    found = records.query(
        app, stream, endpoint=endpoint, since=since, until=until, before=page.after, limit=page.limit + 1
    )
    return page_answer(found, page, "_id", _record)


@router.get("/servers")
def servers(caller: Calling, core: Server) -> Content:
    """The servers of the cluster that are there."""
    items = [
        {"role": role.value, "id": member.id, "incarnation": member.incarnation, **member.payload}
        for role, members in core.members.items()
        for member in members.values()
    ]
    return {"items": items, "next": None}


@router.get("/bootstrap-keys")
def bootstrap_keys(caller: Calling, core: Server) -> Content:
    """Public keys of the Bootstrap servers, as devices are given them."""
    keys = {
        str(member.payload["key"])
        for members in core.members.values()
        for member in members.values()
        if "key" in member.payload
    }
    return {"items": sorted(keys), "next": None}


def _record(document: Content) -> Content:
    return {"id": document["_id"], "endpoint": document["ep"], "at": document["at"], "body": document["body"]}
