"""Configuration layers and their versions: the rules of draft, active, superseded (DESIGN section 5, "Configuration").

- A version is the draft, active, or superseded; which one follows from the layer's `active`, `draft` and `last`.
- Only the draft changes. Setting a layer directly makes a new version and activates it.
- Activating a superseded version is the roll-back.
- The active version and the draft are in the layer itself; a version is put into the history before another takes its place. So
  each of these acts is one conditional write, and writers at once mix nothing.
- A layer that fits the schema on its own fits it merged with any others that do (a property test shows it), so a draft is looked at
  alone. What may go wrong in company is looked for when a version is activated (`control.combinations`).
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Literal

from akela.contract.canonical import config_id
from akela.contract.errors import ContractError
from akela.contract.merge import Layer, merge
from akela.documents import model
from akela.documents.changelog import ExistsError
from akela.documents.model import Content
from control import leases
from control.combinations import check_combinations
from control.core import Caller, Core, now
from control.paging import problems_of
from control.problems import Problem, not_found
from control.registry import config_schema
from control.resources.groups import group_weight

Scope = Literal["all", "group", "owner", "endpoint"]
NAME: Final = "default"


def place_of(app: str, scope: Scope, target: str) -> str:
    """`{scope}:{target}` of a layer that should be there. Raises: Problem 404 for a target that the scope has not."""
    if scope == "all" and target != "-":
        raise not_found("layer", f"{scope}/{target}")
    return f"{scope}:{target}"


def new_place_of(app: str, scope: Scope, target: str) -> str:
    """`{scope}:{target}` of a layer that may be made. Raises: Problem 422 for a target that the scope has not."""
    if scope == "all" and target != "-":
        raise Problem(422, "the layer of all has the target -", [("/target", "-")])
    if scope == "group" and target == "all":
        raise Problem(422, "the layer of everyone is all/-", [("/target", "use scope all, target -")])
    if scope == "group" and group_weight(app, target) is None:
        raise Problem(422, f"no group {target!r}", [("/target", f"no group {target!r}")])
    return f"{scope}:{target}"


def find_layer(app: str, place: str) -> Content | None:
    """A layer, or None."""
    return model.find("configuration", f"{app}/{NAME}/{place}")


def need_layer(app: str, place: str) -> Content:
    """A layer. Raises: Problem 404."""
    found = find_layer(app, place)
    if found is None:
        raise not_found("layer", place.replace(":", "/"))
    return found


def need_version(layer: Content, number: int) -> Content:
    """A version of a layer: `version`, `body`, `by`, `changed`. Raises: Problem 404."""
    for present in _present(layer):
        if present["version"] == number:
            return present
    found = model.find("configuration-version", f"{layer['_id']}/{number}")
    if found is None:
        raise not_found("version", str(number))
    return found


def page_of_versions(layer: Content, after: int | None, limit: int, *, descending: bool) -> list[Content]:
    """Up to `limit` versions behind number `after`."""
    bound = {} if after is None else {"version": {"$lt" if descending else "$gt": after}}
    where = {"layer": layer["_id"]} | bound
    found = {
        row["version"]: row
        for row in model.query("configuration-version", where, sort="version", descending=descending, limit=limit)
    }
    for present in _present(layer):
        number = present["version"]
        if after is None or (number < after if descending else number > after):
            found[number] = present
    return [found[number] for number in sorted(found, reverse=descending)][:limit]


def set_leases(core: Core, caller: Caller, layer: Content, given: list[Content]) -> Content:
    """Set when values of the layer leave it by themselves; gives the layer."""
    return core.put(caller, "configuration", layer | leases.fields(given), layer, layer["app"])


def state_of(layer: Content, number: int) -> str:
    """draft, active or superseded."""
    if layer["draft"] is not None and layer["draft"]["version"] == number:
        return "draft"
    return "active" if layer["active"] == number else "superseded"


def check_data(app: str, place: str, data: Mapping[str, Any]) -> None:
    """Raises: Problem 422 with the path of each field that breaks the schema."""
    if not data and not place.startswith("all:"):
        raise Problem(422, "the layer sets nothing; delete it if that is meant", [("/data", "at least one field")])
    schema = config_schema(app)
    problems = schema.validate(data, partial=True)
    if problems:
        raise problems_of((problem.path, problem.reason) for problem in problems)
    try:
        merge(schema, [Layer(place, 1, data)])
    except ContractError as error:
        raise Problem(422, error.reason, [(error.key or "", error.reason)]) from error


def same_content(left: object, right: object) -> bool:
    """Equal as JSON."""
    return left == right and config_id(left) == config_id(right)


def set_active(core: Core, caller: Caller, app: str, place: str, data: Content, layer: Content | None) -> Content:
    """Make a version of `data` and activate it; gives the layer. Nothing is written when it is active already."""
    check_data(app, place, data)
    if layer is not None and layer["active"] is not None and same_content(layer["body"], data):
        return layer
    check_combinations(app, place, data)
    number = 1 if layer is None else layer["last"] + 1
    fresh = {"active": number, "last": number, "body": data, "by": caller.user, "changed": now()}
    return _put(core, caller, app, place, layer, fresh)


def save_draft(core: Core, caller: Caller, app: str, place: str, data: Content, layer: Content | None) -> Content:
    """Save `data` as the draft: in place of the one that is there, or a new one. Gives the layer."""
    check_data(app, place, data)
    last = 0 if layer is None else layer["last"]
    number = last + 1 if layer is None or layer["draft"] is None else layer["draft"]["version"]
    draft = {"version": number, "body": data, "by": caller.user, "changed": now()}
    return _put(core, caller, app, place, layer, {"draft": draft, "last": max(last, number)})


def edit_draft(core: Core, caller: Caller, layer: Content, number: int, data: Content) -> Content:
    """Change the draft; gives the layer. Raises: Problem 409 for a version that is not the draft."""
    state = state_of(layer, number)
    if state != "draft":
        raise Problem(409, f"version {number} is {state}; only the draft changes: save a new one")
    return save_draft(core, caller, layer["app"], layer["key"], data, layer)


def activate(core: Core, caller: Caller, layer: Content, version: Content) -> Content:
    """Activate the draft, or an old version again; gives the layer. Raises: Problem 409 for the active one."""
    number = version["version"]
    state = state_of(layer, number)
    if state == "active":
        raise Problem(409, f"version {number} is active already")
    check_data(layer["app"], layer["key"], version["body"])
    check_combinations(layer["app"], layer["key"], version["body"])
    fresh: Content = {"active": number, "body": version["body"], "by": caller.user, "changed": now()}
    fresh |= {"draft": None} if state == "draft" else {}
    return _put(core, caller, layer["app"], layer["key"], layer, fresh)


def deactivate(core: Core, caller: Caller, layer: Content) -> Content:
    """Have the layer contribute nothing; its versions stay. Raises: Problem 409 when it does so already."""
    if layer["active"] is None:
        raise Problem(409, "the layer has no active version")
    fresh: Content = {"active": None, "body": {}, "by": caller.user, "changed": now()}
    return _put(core, caller, layer["app"], layer["key"], layer, fresh)


def delete_draft(core: Core, caller: Caller, layer: Content, number: int) -> None:
    """Delete the draft. Raises: Problem 409 for a version that is not the draft."""
    state = state_of(layer, number)
    if state != "draft":
        raise Problem(409, f"version {number} is {state}; only the draft is deleted, others are history")
    _put(core, caller, layer["app"], layer["key"], layer, {"draft": None})


def _present(layer: Content) -> list[Content]:
    """The versions that are in the layer itself."""
    active = {"version": layer["active"], "body": layer["body"], "by": layer["by"], "changed": layer["changed"]}
    return [version for version in (layer["draft"], active) if version is not None and version["version"] is not None]


def _put(core: Core, caller: Caller, app: str, place: str, layer: Content | None, fresh: Content) -> Content:
    """Write the layer; what was active goes into the history first, if another takes its place."""
    if layer is not None and layer["active"] is not None and fresh.get("active", layer["active"]) != layer["active"]:
        _keep(core, caller, layer)
    if "body" in fresh and layer is not None and layer.get("leases"):
        fresh |= leases.kept(layer, fresh["body"])
    scope, _, target = place.partition(":")
    new: Content = {
        "_id": f"{app}/{NAME}/{place}", "app": app, "tenant": caller.tenant, "key": place, "name": NAME, "scope": scope,
        "target": target, "body": {}, "active": None, "draft": None, "by": caller.user, "changed": now(),
    }  # fmt: skip
    return core.put(caller, "configuration", (layer or new) | fresh, layer, app)


def _keep(core: Core, caller: Caller, layer: Content) -> None:
    """Put the active version into the history. Whoever does it writes the same, so again is once."""
    number = f"{layer['_id']}/{layer['active']}"
    if model.find("configuration-version", number) is not None:
        return
    content = {
        "_id": number, "app": layer["app"], "tenant": layer["tenant"], "layer": layer["_id"], "version": layer["active"],
        "body": layer["body"], "by": layer["by"], "changed": layer["changed"],
    }  # fmt: skip
    with suppress(ExistsError):  # another writer was faster
        core.put(caller, "configuration-version", content, None, layer["app"])
