"""Versions of configuration layers: drafts, activation, history, roll-back. Their ETag is their layer's."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from akela.documents.model import Content
from control import layers
from control.core import DEVELOPERS, Caller, Calling, Core, Paging, Server
from control.etags import IfMatch, check_match, reply
from control.layers import Scope, new_place_of, place_of
from control.paging import Sort, page_answer, sorting
from control.resources.configurations import LayerData, Target
from control.route import Route
from control.shapes import Revised, page_model
from control.writing import fields_of, patched, takes_patch

router = APIRouter(
    prefix="/api/v1/applications/{app}/configurations/{scope}/{target}/versions",
    tags=["configurations"],
    route_class=Route,
)

Number = Annotated[int, Path(ge=0, le=2**31 - 1, examples=[1])]


class VersionShown(Revised):
    """A version of a layer."""

    version: int
    state: Literal["draft", "active", "superseded"]
    data: dict[str, Any]
    by: str = Field(description="who wrote it")
    changed: datetime


@router.get("", response_model=page_model(VersionShown))
def index(
    app: str, scope: Scope, target: Target, caller: Calling, core: Server, page: Paging,
    sort: Annotated[Sort, sorting("version", newest_first=True)],
) -> Response:  # fmt: skip
    """A layer's versions, newest first."""
    core.application(caller, app)
    layer = layers.need_layer(app, place_of(app, scope, target))
    found = layers.page_of_versions(layer, page.number, page.limit + 1, descending=sort.descending)
    return reply(page_answer(found, page, "version", lambda version: _shown(layer, version)))


@router.post(
    "", status_code=201, response_model=VersionShown, responses={200: {"model": VersionShown, "description": "Changed"}}
)
def save(app: str, scope: Scope, target: Target, body: LayerData, caller: Calling, core: Server) -> Response:
    """Save the draft: a new one, or the one that is there (200). Nothing changes for endpoints until it is activated."""
    core.application(caller, app, DEVELOPERS)
    place = new_place_of(app, scope, target)
    before = layers.find_layer(app, place)
    layer = layers.save_draft(core, caller, app, place, body.data, before)
    number = layer["draft"]["version"]
    location = f"/api/v1/applications/{app}/configurations/{scope}/{target}/versions/{number}"
    there = before is not None and before["draft"] is not None
    return reply(_shown(layer, layer["draft"]), layer, status=200 if there else 201, location=location)


@router.get("/{number}", response_model=VersionShown)
def show(app: str, scope: Scope, target: Target, number: Number, caller: Calling, core: Server) -> Response:
    """One version."""
    core.application(caller, app)
    layer = layers.need_layer(app, place_of(app, scope, target))
    found = layers.need_version(layer, number)
    return reply(_shown(layer, found), layer)


@router.put("/{number}", response_model=VersionShown)
def replace(
    app: str, scope: Scope, target: Target, number: Number, body: LayerData, caller: Calling, core: Server,
    if_match: IfMatch = None,
) -> Response:  # fmt: skip
    """Change the draft; 409 for a version that is active or superseded."""
    layer, found = _matched(core, caller, (app, scope, target, number), if_match)
    made = layers.edit_draft(core, caller, layer, found["version"], body.data)
    return reply(_shown(made, made["draft"]), made)


@router.patch("/{number}", response_model=VersionShown)
@takes_patch(LayerData)
def patch(
    app: str, scope: Scope, target: Target, number: Number, body: BaseModel, caller: Calling, core: Server,
    if_match: IfMatch = None,
) -> Response:  # fmt: skip
    """Change some fields of the draft."""
    layer, found = _matched(core, caller, (app, scope, target, number), if_match)
    fresh = patched(LayerData, fields_of(LayerData, {"data": found["body"]}), body)
    made = layers.edit_draft(core, caller, layer, found["version"], fresh.data)
    return reply(_shown(made, made["draft"]), made)


@router.delete("/{number}", status_code=204)
def delete(
    app: str, scope: Scope, target: Target, number: Number, caller: Calling, core: Server, if_match: IfMatch = None
) -> None:
    """Delete the draft."""
    layer, found = _matched(core, caller, (app, scope, target, number), if_match)
    layers.delete_draft(core, caller, layer, found["version"])


@router.post("/{number}/activate", response_model=VersionShown)
def activate(
    app: str, scope: Scope, target: Target, number: Number, caller: Calling, core: Server, if_match: IfMatch = None
) -> Response:
    """Make the draft active, or an old version again (roll-back)."""
    layer, found = _matched(core, caller, (app, scope, target, number), if_match)
    made = layers.activate(core, caller, layer, found)
    return reply(_shown(made, found), made)


def _matched(
    core: Core, caller: Caller, key: tuple[str, Scope, str, int], if_match: str | None
) -> tuple[Content, Content]:
    """The layer and the version that a developer changes."""
    app, scope, target, number = key
    core.application(caller, app, DEVELOPERS)
    layer = layers.need_layer(app, place_of(app, scope, target))
    found = layers.need_version(layer, number)
    check_match(layer, if_match)
    return layer, found


def _shown(layer: Content, document: Content) -> Content:
    number = document["version"]
    shown = {"version": number, "state": layers.state_of(layer, number), "data": document["body"]}
    return shown | {"by": document["by"], "changed": document["changed"], "rev": layer["rev"]}
