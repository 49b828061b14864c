"""Configuration layers: what the application says for all, and for single endpoints."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from akela.contract import topics
from akela.contract.avro import ParsedSchema
from akela.contract.canonical import config_id
from akela.contract.errors import MergeError
from akela.contract.merge import Layer, Merged, merge
from akela.documents import model
from akela.documents.model import Content
from control.core import (
    DEVELOPERS,
    Body,
    Calling,
    IfMatch,
    Paging,
    Server,
    check_match,
    now,
    only,
    paged,
    problems_of,
    tagged,
)
from control.problems import Problem, not_found
from control.resources.schemas import config_schema

router = APIRouter(prefix="/api/v1/applications/{app}/configurations", tags=["configurations"])

Scope = Literal["all", "endpoint"]
Target = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="`-` for scope all, else the endpoint's id")
]
WEIGHTS = {"all": 0, "endpoint": 2**31}


class NewLayer(Body):
    """A layer: only the fields that it sets."""

    data: dict[str, Any] = Field(examples=[{"interval": 60}])


@router.put("/{scope}/{target}")
def put(
    app: str, scope: Scope, target: Target, body: NewLayer, caller: Calling, core: Server, response: Response,
    if_match: IfMatch = None,
) -> Content:  # fmt: skip
    """Set a layer. It is checked on its own and merged with the others: nothing that breaks the schema is accepted."""
    caller.need(DEVELOPERS)
    core.application(caller, app)
    place = _place(scope, target)
    schema = config_schema(app)
    found = model.find("configuration", f"{app}/default/{place}")
    check_match(found, if_match)
    problems = schema.validate(body.data, partial=True)
    if problems:
        raise problems_of((problem.path, problem.reason) for problem in problems)
    _check_merged(app, schema, place, body.data)
    content = {
        "_id": f"{app}/default/{place}", "app": app, "tenant": caller.tenant, "name": "default", "scope": scope,
        "target": target, "body": body.data, "changed": now(),
    }  # fmt: skip
    if found is not None and found["body"] == body.data and config_id(found["body"]) == config_id(body.data):
        return tagged(response, _shown(found), found)
    made = core.put(caller, "configuration", content, found, app)
    if found is None:
        response.status_code = 201
    return tagged(response, _shown(made), made)


@router.get("")
def index(app: str, caller: Calling, core: Server, page: Paging) -> Content:
    """The application's layers."""
    core.application(caller, app)
    return paged("configuration", {"app": app}, page, _shown)


@router.get("/{scope}/{target}")
def show(app: str, scope: Scope, target: Target, caller: Calling, core: Server, response: Response) -> Content:
    """One layer."""
    core.application(caller, app)
    found = _found(app, scope, target)
    return tagged(response, _shown(found), found)


@router.delete("/{scope}/{target}", status_code=204)
def delete(app: str, scope: Scope, target: Target, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Take a layer away: what it set returns to the layers below."""
    caller.need(DEVELOPERS)
    core.application(caller, app)
    found = _found(app, scope, target)
    check_match(found, if_match)
    core.delete(caller, "configuration", found, app)


def effective(app: str, ep: str) -> Merged:
    """What an endpoint should have. Raises: Problem 409 without a schema, MergeError when its layers do not fit."""
    return merge(config_schema(app), _layers(model.query("configuration", {"app": app, "target": {"$in": ["-", ep]}})))


def _check_merged(app: str, schema: ParsedSchema, place: str, data: Mapping[str, Any]) -> None:
    """Merge the layer with every combination that it takes part in. Raises: Problem 422 naming the first that breaks."""
    scope, _, target = place.partition(":")
    others = [layer for layer in model.query("configuration", {"app": app}) if layer["_id"] != f"{app}/default/{place}"]
    changed = {"scope": scope, "target": target, "body": data}
    base = [layer for layer in (*others, changed) if layer["scope"] == "all"]
    own = [layer for layer in (*others, changed) if layer["scope"] == "endpoint"]
    combinations = [base] if scope == "all" else []
    combinations += [[*base, layer] for layer in own if scope == "all" or layer["target"] == target]
    for combination in combinations:
        try:
            merge(schema, _layers(combination))
        except MergeError as error:
            names = " + ".join(f"{layer['scope']}:{layer['target']}" for layer in combination)
            raise Problem(422, f"{error.reason} (in {names})", [(error.key or "", error.reason)]) from error


def _layers(documents: Sequence[Mapping[str, Any]] | Iterator[Content]) -> list[Layer]:
    return [Layer(_layer_name(d), WEIGHTS[d["scope"]], d["body"]) for d in documents]


def _layer_name(document: Mapping[str, Any]) -> str:
    return "all" if document["scope"] == "all" else f"endpoint:{document['target']}"


def _place(scope: str, target: str) -> str:
    if scope == "all":
        if target != "-":
            raise Problem(422, "the layer of all has the target -", [("/target", "-")])
        return "all:-"
    return f"endpoint:{topics.endpoint_id(target)}"


def _found(app: str, scope: str, target: str) -> Content:
    found = model.find("configuration", f"{app}/default/{_place(scope, target)}")
    if found is None:
        raise not_found("layer", f"{scope}/{target}")
    return found


def _shown(document: Content) -> Content:
    return only(document, "scope", "target", "changed", "rev") | {"data": document["body"]}
