"""The routes of what an application defines by name: list, create, get, replace, patch, delete, the same for each kind.

A kind says its bodies and its rules (`Definition`); `routes` makes the six routes of it. Rules are asked with the content that is about
to be written, and raise what the caller is told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field

from akela.documents import model
from akela.documents.model import Content
from control.core import DEVELOPERS, Body, Caller, Calling, Core, Paging, Server, now
from control.etags import IfMatch, check_match, reply
from control.paging import Page, Prefix, Sort, given, paged, sorting
from control.problems import not_found
from control.route import Route
from control.writing import fields_of, patch_of, patched

DEFINED_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, Path(pattern=DEFINED_NAME, examples=["example"])]
NameField = Annotated[str, Field(pattern=DEFINED_NAME, examples=["example"])]
Description = Annotated[str | None, Field(max_length=500, description="for people")]

Rule = Callable[[str, Content, Content | None], None]  # (app, content to be written, what is there)


def _nothing(app: str, content: Content, before: Content | None) -> None:
    return None


def _unused(core: Core, caller: Caller, document: Content) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Definition:
    """A kind of definition. `settings`: the PUT body; `new`: the same with `name`; `shown`: the answer; `listed`: its page."""

    kind: str
    plural: str
    settings: type[Body]
    new: type[Body]
    shown: type[Body]
    listed: type[Body]
    rule: Rule = _nothing
    before_delete: Callable[[Core, Caller, Content], None] = _unused
    hidden: frozenset[str] = frozenset()  # fields that are stored and never shown; left out of a PUT they stay
    sorts: tuple[str, ...] = ("name",)
    filters: type[Body] | None = None
    builtin: Content | None = None  # one that every application has and nobody changes; first by `sorts[0]`


def shown(definition: Definition, document: Content) -> Content:
    """A stored definition as readers see it."""
    return {name: _visible(definition, document, name) for name in definition.shown.model_fields}


def find(definition: Definition, app: str, name: str) -> Content:
    """A definition. Raises: Problem 404."""
    if definition.builtin is not None and name == definition.builtin["name"]:
        return definition.builtin | {"app": app}
    found = model.find(definition.kind, f"{app}/{name}")
    if found is None:
        raise not_found(definition.kind, name)
    return found


def write(
    definition: Definition, core: Core, caller: Caller, app: str, name: str, settings: Body, before: Content | None
) -> Content:
    """Write a definition: the rules, then the change."""
    moment = now()
    content = {
        "_id": f"{app}/{name}", "app": app, "tenant": caller.tenant, "name": name, "changed": moment,
        "created": moment if before is None else before.get("created"),
    } | settings.model_dump(mode="json", exclude={"name"})  # fmt: skip
    for hidden in definition.hidden & content.keys():
        if content[hidden] is None and before is not None:
            content[hidden] = before.get(hidden)
    definition.rule(app, content, before)
    return core.put(caller, definition.kind, content, before, app)


def routes(definition: Definition) -> APIRouter:
    """The router of a kind."""
    router = APIRouter(
        prefix=f"/api/v1/applications/{{app}}/{definition.plural}", tags=[definition.plural], route_class=Route
    )
    _reading(router, definition)
    _making(router, definition)
    _changing(router, definition)
    return router


def _reading(router: APIRouter, definition: Definition) -> None:
    def index(app: str, caller: Calling, core: Server, page: Paging, prefix: Prefix = None, sort: Any = None) -> Any:
        core.application(caller, app)
        return reply(_listed(definition, app, page, sort, prefix, {}))

    def filtered(
        app: str, caller: Calling, core: Server, page: Paging, kind: Any = None, prefix: Prefix = None, sort: Any = None
    ) -> Any:
        core.application(caller, app)
        return reply(_listed(definition, app, page, sort, prefix, given(kind=kind)))

    def show(app: str, name: Name, caller: Calling, core: Server) -> Response:
        core.application(caller, app)
        found = find(definition, app, name)
        return reply(shown(definition, found), found)

    listing = index if definition.filters is None else filtered
    listing.__name__ = "index"
    listing.__annotations__["sort"] = Annotated[Sort, sorting(*definition.sorts)]
    if definition.filters is not None:
        listing.__annotations__["kind"] = definition.filters.model_fields["kind"].rebuild_annotation() | None
    _described(listing, f"The application's {definition.plural}.")
    _described(show, f"One {definition.kind}.")
    router.add_api_route("", listing, methods=["GET"], response_model=definition.listed)
    router.add_api_route("/{name}", show, methods=["GET"], response_model=definition.shown)


def _listed(definition: Definition, app: str, page: Page, sort: Sort, prefix: str | None, where: Content) -> Content:
    prefix_of = prefix if sort.key == "name" else None
    value = paged(
        definition.kind, {"app": app} | where, page, lambda d: shown(definition, d),
        key=sort.key, descending=sort.descending, prefix=prefix_of,
    )  # fmt: skip
    if definition.builtin is not None and sort.key == definition.sorts[0]:
        own = shown(definition, definition.builtin)
        if not sort.descending and page.place is None:
            value["items"].insert(0, own)
        elif sort.descending and value["next"] is None:
            value["items"].append(own)
    return value


def _making(router: APIRouter, definition: Definition) -> None:
    def create(app: str, body: Any, caller: Calling, core: Server) -> Response:
        core.application(caller, app, DEVELOPERS)
        made = write(definition, core, caller, app, body.name, body, None)
        location = f"{router.prefix.replace('{app}', app)}/{body.name}"
        return reply(shown(definition, made), made, status=201, location=location)

    create.__annotations__["body"] = definition.new
    _described(create, f"Make a {definition.kind}.")
    router.add_api_route("", create, methods=["POST"], status_code=201, response_model=definition.shown)


def _changing(router: APIRouter, definition: Definition) -> None:
    def replace(app: str, name: Name, body: Any, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
        core.application(caller, app, DEVELOPERS)
        found = find(definition, app, name)
        check_match(found, if_match)
        made = write(definition, core, caller, app, name, body, found)
        return reply(shown(definition, made), made)

    def patch(app: str, name: Name, body: Any, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
        core.application(caller, app, DEVELOPERS)
        found = find(definition, app, name)
        check_match(found, if_match)
        if definition.builtin is not None and name == definition.builtin["name"]:
            definition.rule(app, found, found)  # tells why it does not change
        settings = patched(definition.settings, fields_of(definition.settings, found), body)
        made = write(definition, core, caller, app, name, settings, found)
        return reply(shown(definition, made), made)

    def delete(app: str, name: Name, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
        core.application(caller, app, DEVELOPERS)
        found = find(definition, app, name)
        check_match(found, if_match)
        definition.before_delete(core, caller, found)
        core.delete(caller, definition.kind, found, app)

    replace.__annotations__["body"] = definition.settings
    patch.__annotations__["body"] = patch_of(definition.settings)
    _described(replace, f"Replace a {definition.kind}'s settings.")
    _described(patch, f"Change some settings of a {definition.kind}.")
    _described(delete, f"Delete a {definition.kind}.")
    router.add_api_route("/{name}", replace, methods=["PUT"], response_model=definition.shown)
    router.add_api_route("/{name}", patch, methods=["PATCH"], response_model=definition.shown)
    router.add_api_route("/{name}", delete, methods=["DELETE"], status_code=204)


def _described(handler: Callable[..., Any], text: str) -> None:
    handler.__doc__ = text


def _visible(definition: Definition, document: Content, name: str) -> Any:
    if name == "id":
        return document["name"]
    if name.startswith("has_"):
        return document.get(name.removeprefix("has_")) is not None
    return document.get(name, 0 if name == "rev" else None)
