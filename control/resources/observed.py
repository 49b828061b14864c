"""What is looked at and not written here: records, servers, bootstrap keys."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import ConfigDict, Field

from akela.documents import records
from akela.documents.model import Content
from control.core import Body, Calling, Paging, Server, page_answer
from control.etags import reply
from control.moments import Moment
from control.problems import not_found
from control.resources.schemas import newest
from control.route import Route
from control.shapes import page_model

router = APIRouter(prefix="/api/v1", tags=["observed"], route_class=Route)

Stream = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", examples=["values"])]


class Record(Body):
    """A record that an endpoint sent."""

    id: str
    endpoint: str
    at: datetime = Field(description="when it was received")
    body: Any


class ClusterServer(Body):
    """A server that is there, as it announces itself; what else it says depends on its role."""

    model_config = ConfigDict(extra="allow")

    role: str = Field(examples=["operations"])
    id: str
    incarnation: int = Field(description="grows whenever it had to register anew")


class Servers(Body):
    """The servers of the cluster."""

    items: list[ClusterServer]
    next: None = None


class BootstrapKeys(Body):
    """Public keys of the Bootstrap servers."""

    items: list[str]
    next: None = None


@router.get("/applications/{app}/streams/{stream}/records", response_model=page_model(Record))
def query(
    app: str,
    stream: Stream,
    caller: Calling,
    core: Server,
    page: Paging,
    endpoint: Annotated[str | None, Query(max_length=64, description="only this endpoint's")] = None,
    since: Annotated[Moment, Query(description="received at or after")] = None,
    until: Annotated[Moment, Query(description="received before")] = None,
) -> Response:
    """Records of a stream, newest first."""
    application = core.application(caller, app)
    if newest(app, "log", stream) is None and stream != application["default_stream"]:
        raise not_found("stream", stream)
    found = records.query(
        app, stream, endpoint=endpoint, since=since, until=until, before=page.after, limit=page.limit + 1
    )
    return reply(page_answer(found, page, "_id", _record))


@router.get("/servers", response_model=Servers)
def servers(caller: Calling, core: Server) -> Response:
    """The servers of the cluster that are there."""
    items = [
        {"role": role.value, "id": member.id, "incarnation": member.incarnation, **member.payload}
        for role, members in core.members.items()
        for member in members.values()
    ]
    return reply({"items": items, "next": None})


@router.get("/bootstrap-keys", response_model=BootstrapKeys)
def bootstrap_keys(caller: Calling, core: Server) -> Response:
    """Public keys of the Bootstrap servers, as devices are given them."""
    keys = {
        str(member.payload["key"])
        for members in core.members.values()
        for member in members.values()
        if "key" in member.payload
    }
    return reply({"items": sorted(keys), "next": None})


def _record(document: Content) -> Content:
    return {"id": document["_id"], "endpoint": document["ep"], "at": document["at"], "body": document["body"]}
