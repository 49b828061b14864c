"""Values that an endpoint set or proposes by itself, and leases of values that operators set for it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from akela.contract.device_values import lease_end, parts_of
from akela.contract.errors import ContractError
from akela.documents.model import Content
from control import device_values, layers
from control.core import DEVELOPERS, Body, Calling, Server
from control.device_values import values_shown
from control.etags import IfMatch, check_match, reply
from control.leases import value_at
from control.problems import Problem
from control.resources.configurations import LayerShown, shown
from control.resources.endpoints import Ep, need_endpoint
from control.route import Route

router = APIRouter(prefix="/api/v1/applications/{app}/endpoints/{ep}/values", tags=["endpoints"], route_class=Route)
leases_router = APIRouter(
    prefix="/api/v1/applications/{app}/configurations/endpoint/{ep}/leases", tags=["configurations"], route_class=Route
)

POINTER: Final = "^/"
Proposal = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$", examples=["0123456789abcdef"])]


class ValueShown(Body):
    """A value that the device set, or proposes."""

    id: str
    path: str = Field(description="JSON Pointer of the leaf", examples=["/interval"])
    value: Any
    at: datetime
    until: datetime | None = Field(description="when it goes by itself; null: it stays")


class ValuesShown(Body):
    """What an endpoint set and proposes."""

    values: list[ValueShown] = Field(description="stand above every layer")
    held: list[ValueShown] = Field(description="wait for an operator")


class LeaseBody(Body):
    """Until when a value stays in the endpoint's layer."""

    path: str = Field(
        max_length=1024, pattern=POINTER, description="JSON Pointer of what the layer sets", examples=["/interval"]
    )
    until: int | float | str | None = Field(
        description="seconds from now, or a time with its zone; null: it stays", examples=[3600, "2030-01-31T12:00:00Z"]
    )


@router.get("", response_model=ValuesShown)
def index(app: str, ep: Ep, caller: Calling, core: Server) -> Response:
    """What the endpoint set by itself where the schema gives it authority, and what it proposes where an operator decides."""
    core.application(caller, app)
    return reply(_shown(need_endpoint(app, ep)))


@router.post("/{number}/accept", response_model=ValuesShown)
def accept(app: str, ep: Ep, number: Proposal, caller: Calling, core: Server) -> Response:
    """Make a proposal part of the endpoint's layer. Its id stands for exactly this value, so no If-Match is needed."""
    core.application(caller, app, DEVELOPERS)
    device_values.accept(core, caller, need_endpoint(app, ep), number)
    return reply(_shown(need_endpoint(app, ep)))


@router.post("/{number}/reject", response_model=ValuesShown)
def reject(app: str, ep: Ep, number: Proposal, caller: Calling, core: Server) -> Response:
    """Turn a proposal down; the endpoint is told, and sent its configuration as it should be."""
    core.application(caller, app, DEVELOPERS)
    device_values.reject(core, caller, need_endpoint(app, ep), number)
    return reply(_shown(need_endpoint(app, ep)))


@router.delete("", status_code=204)
def clear(
    app: str,
    ep: Ep,
    caller: Calling,
    core: Server,
    path: Annotated[
        str | None, Query(max_length=1024, pattern=POINTER, description="only at this path and below")
    ] = None,
    if_match: IfMatch = None,
) -> None:
    """Take away values that the endpoint set by itself: what the layers say holds again. If-Match: the endpoint's ETag."""
    core.application(caller, app, DEVELOPERS)
    found = need_endpoint(app, ep)
    check_match(found, if_match)
    device_values.clear(core, caller, found, path)


@leases_router.post("", response_model=LayerShown)
def lease(app: str, ep: Ep, body: LeaseBody, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Have a value leave the endpoint's layer at a time. Whoever sets another value there ends the lease. If-Match: the layer's ETag."""
    core.application(caller, app, DEVELOPERS)
    layer = layers.need_layer(app, f"endpoint:{ep}")
    check_match(layer, if_match)
    if value_at(layer["body"], parts_of(body.path)) is None:
        raise Problem(422, "the layer sets nothing there", [("/path", "a value that the active version sets")])
    made = device_values.lease(core, caller, layer, body.path, _end(body.until))
    return reply(shown(made), made)


def _end(until: object) -> datetime | None:
    try:
        return None if until is None else lease_end(until, datetime.now(UTC))
    except ContractError as error:
        raise Problem(422, error.reason, [("/until", error.reason)]) from error


def _shown(endpoint: Content) -> Content:
    state = device_values.present_state(endpoint)
    return {"values": values_shown(state.values), "held": values_shown(state.proposals)}
