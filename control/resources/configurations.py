"""Configuration layers: what the application says for all, for groups, for owners, for single endpoints."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from akela.documents.model import Content
from control import layers
from control.core import DEVELOPERS, Body, Calling, Paging, Server
from control.etags import IfMatch, check_match, reply
from control.layers import Scope, new_place_of, place_of
from control.paging import Prefix, Sort, given, paged, sorting
from control.route import Route
from control.shapes import Revised, page_model
from control.writing import fields_of, patched, takes_patch

router = APIRouter(prefix="/api/v1/applications/{app}/configurations", tags=["configurations"], route_class=Route)

Target = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="`-` for scope all, else the name of the group or owner, or the endpoint's id",
        examples=["-"],
    ),
]


class LayerData(Body):
    """A layer: only the fields that it sets."""

    data: dict[str, Any] = Field(examples=[{"interval": 60}])


class Lease(Body):
    """A value that leaves the layer by itself."""

    path: str
    until: datetime


class LayerShown(Revised):
    """A layer; `data` is what is active, empty when nothing is."""

    id: str
    scope: Scope
    target: str
    data: dict[str, Any]
    active: int | None = Field(description="number of the active version; null: none is")
    draft: int | None = Field(description="number of the draft; null: there is none")
    leases: list[Lease] = Field(description="what leaves the active version by itself")
    by: str = Field(description="who made it so")
    changed: datetime


@router.get("", response_model=page_model(LayerShown))
def index(
    app: str,
    caller: Calling,
    core: Server,
    page: Paging,
    sort: Annotated[Sort, sorting("key")],
    scope: Annotated[Scope | None, Query()] = None,
    target: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = None,
    prefix: Prefix = None,
) -> Response:
    """The application's layers by scope and target; `prefix` is of `{scope}:{target}`."""
    core.application(caller, app)
    where = {"app": app} | given(scope=scope, target=target)
    return reply(paged("configuration", where, page, shown, key="key", descending=sort.descending, prefix=prefix))


@router.get("/{scope}/{target}", response_model=LayerShown)
def show(app: str, scope: Scope, target: Target, caller: Calling, core: Server) -> Response:
    """One layer."""
    core.application(caller, app)
    found = layers.need_layer(app, place_of(app, scope, target))
    return reply(shown(found), found)


@router.put(
    "/{scope}/{target}", response_model=LayerShown, responses={201: {"model": LayerShown, "description": "Made"}}
)
def put(
    app: str, scope: Scope, target: Target, body: LayerData, caller: Calling, core: Server, if_match: IfMatch = None
) -> Response:
    """Set a layer: a new version, active at once. Nothing that breaks the schema is accepted."""
    core.application(caller, app, DEVELOPERS)
    place = new_place_of(app, scope, target)
    found = layers.find_layer(app, place)
    check_match(found, if_match)
    made = layers.set_active(core, caller, app, place, body.data, found)
    return reply(shown(made), made, status=201 if found is None else 200)


@router.patch("/{scope}/{target}", response_model=LayerShown)
@takes_patch(LayerData)
def patch(
    app: str, scope: Scope, target: Target, body: BaseModel, caller: Calling, core: Server, if_match: IfMatch = None
) -> Response:
    """Change some fields of a layer: a new version, active at once. null takes a field out of the layer."""
    core.application(caller, app, DEVELOPERS)
    place = place_of(app, scope, target)
    found = layers.need_layer(app, place)
    check_match(found, if_match)
    fresh = patched(LayerData, fields_of(LayerData, {"data": found["body"]}), body)
    made = layers.set_active(core, caller, app, place, fresh.data, found)
    return reply(shown(made), made)


@router.delete("/{scope}/{target}", status_code=204)
def delete(app: str, scope: Scope, target: Target, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Take a layer away with its history: what it set returns to the layers below."""
    core.application(caller, app, DEVELOPERS)
    found = layers.need_layer(app, place_of(app, scope, target))
    check_match(found, if_match)
    core.delete(caller, "configuration", found, app)


@router.post("/{scope}/{target}/deactivate", response_model=LayerShown)
def deactivate(
    app: str, scope: Scope, target: Target, caller: Calling, core: Server, if_match: IfMatch = None
) -> Response:
    """Have a layer contribute nothing; its history stays."""
    core.application(caller, app, DEVELOPERS)
    found = layers.need_layer(app, place_of(app, scope, target))
    check_match(found, if_match)
    made = layers.deactivate(core, caller, found)
    return reply(shown(made), made)


def shown(document: Content) -> Content:
    """A layer as it is shown."""
    names = ("scope", "target", "active", "by", "changed", "rev")
    draft = None if document["draft"] is None else document["draft"]["version"]
    rest = {name: document[name] for name in names} | {"draft": draft, "leases": document.get("leases") or []}
    return {"id": document["_id"].partition("/")[2].partition("/")[2], "data": document["body"]} | rest
