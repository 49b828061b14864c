"""What operators decide of values that devices set and propose (docs/decisions/0070).

Operations servers own what devices say. Control notes its verdicts beside it, in the endpoint's `decided`, and what it accepts becomes part
of the endpoint's layer. Doing the same again completes what was interrupted in between.
"""

from collections.abc import Iterable
from typing import Any

from akela.contract.authority import NOTHING, DeviceState, Verdict, leaf_at
from akela.contract.authority import stored_state as contract_state
from akela.contract.device_values import DeviceValue, is_within, parts_of
from akela.documents.model import Content
from control import layers
from control.core import Caller, Core, now
from control.leases import with_value
from control.problems import Problem, not_found
from control.registry import config_schema
from control.targets import device_state_of


def stored_state(endpoint: Content) -> DeviceState:
    """What is stored of an endpoint's values and proposals."""
    return contract_state(endpoint.get("device"), endpoint.get("held_values"))


def present_state(endpoint: Content) -> DeviceState:
    """What stands of them now."""
    return device_state_of(endpoint["app"], endpoint) if stored_state(endpoint) else NOTHING


def values_shown(values: Iterable[DeviceValue]) -> list[Content]:
    """Values or proposals as they are shown."""
    names = ("id", "path", "value", "at", "until")
    return [{name: getattr(item, name) for name in names} for item in values]


def proposal(endpoint: Content, number: str) -> DeviceValue:
    """A proposal by its id. Raises: Problem 404; 409 when it has another verdict already, or its time is over."""
    found = next((item for item in stored_state(endpoint).proposals if item.id == number), None)
    if found is None:
        raise not_found("proposed value", number)
    if found.until is not None and found.until <= now():
        raise Problem(409, f"the proposal for {found.path} stood until {found.until.isoformat()}")
    return found


def accept(core: Core, caller: Caller, endpoint: Content, number: str) -> None:
    """Make a proposal part of the endpoint's layer. Raises: Problem."""
    found = proposal(endpoint, number)
    _undecided(endpoint, number, Verdict.ACCEPTED)
    app, place, parts = endpoint["app"], f"endpoint:{endpoint['ep']}", parts_of(found.path)
    leaf = leaf_at(config_schema(app), found.path)
    if leaf is None:
        raise Problem(409, f"the schema has no leaf {found.path} any more")
    if leaf.appends:
        raise Problem(409, f"layers add to {found.path}: set the endpoint's layer by hand, then reject the proposal")
    layer = layers.find_layer(app, place)
    body = with_value({} if layer is None else layer["body"], parts, found.value)
    layer = layers.set_active(core, caller, app, place, body, layer)
    if found.until is not None:
        lease(core, caller, layer, found.path, found.until)
    _decide(core, caller, endpoint, {number: Verdict.ACCEPTED})


def reject(core: Core, caller: Caller, endpoint: Content, number: str) -> None:
    """Turn a proposal down. Raises: Problem."""
    proposal(endpoint, number)
    _undecided(endpoint, number, Verdict.REJECTED)
    _decide(core, caller, endpoint, {number: Verdict.REJECTED})


def clear(core: Core, caller: Caller, endpoint: Content, path: str | None) -> None:
    """Take values away that the device set, at a path and below, or (None) all. Raises: Problem 404 where there are none."""
    decided = endpoint.get("decided") or {}
    values = [item for item in stored_state(endpoint).values if path is None or is_within(item.path, path)]
    if not values:
        raise not_found("value of the device", path or "any")
    fresh = {item.id: Verdict.CLEARED for item in values if item.id not in decided}
    if fresh:
        _decide(core, caller, endpoint, fresh)


def lease(core: Core, caller: Caller, layer: Content, path: str, until: Any) -> Content:
    """Have a value leave the layer at a time, or (None) stay; gives the layer."""
    others = [item for item in layer.get("leases") or () if item["path"] != path]
    return layers.set_leases(
        core, caller, layer, others if until is None else [*others, {"path": path, "until": until}]
    )


def _undecided(endpoint: Content, number: str, wanted: Verdict) -> None:
    verdict = (endpoint.get("decided") or {}).get(number, wanted)
    if verdict != wanted:
        raise Problem(409, f"the proposal was {verdict} already")


def _decide(core: Core, caller: Caller, endpoint: Content, fresh: dict[str, Verdict]) -> None:
    """Note verdicts. Those on what Operations servers have taken away meanwhile are forgotten."""
    state = stored_state(endpoint)
    known = {item.id for item in (*state.values, *state.proposals)}
    before = endpoint.get("decided") or {}
    decided = {key: str(verdict) for key, verdict in (before | fresh).items() if key in known}
    if decided == before:
        return
    names = ("_id", "app", "ep", "tenant", "registered_at", "how")
    after = {name: endpoint.get(name) for name in names} | {"decided": decided}
    core.put(caller, "endpoint", after, endpoint, endpoint["app"])
