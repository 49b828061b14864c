"""Types: named Avro types that the schemas of a tenant share (Kaa's Common Type Library). A version never changes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from akela.contract.delta import same
from akela.contract.references import full_name
from akela.documents import model
from akela.documents.model import Content
from akela.documents.upgrades import sort_key
from control.core import DEVELOPERS, READERS, Body, Caller, Calling, Core, Paging, Server, now
from control.etags import IfMatch, check_match, reply
from control.paging import Prefix, Sort, given, only, paged, sorting
from control.problems import Problem, not_found
from control.registry import Checked, checked
from control.route import Route
from control.shapes import Revised, page_model

router = APIRouter(prefix="/api/v1/types", tags=["types"], route_class=Route)

TYPE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
MAX_NAME = 200
KINDS = ("record", "enum", "fixed")
TypeName = Annotated[str, Path(pattern=TYPE_NAME, max_length=MAX_NAME, examples=["acme.Position"])]
Version = Annotated[int, Path(ge=1, le=999_999, examples=[1])]
EXAMPLE = {"type": "record", "name": "Position", "namespace": "acme", "fields": [{"name": "lat", "type": "double"}]}


class NewType(Body):
    """A named type: the next version of its full name."""

    body: dict[str, Any] = Field(
        description="record, enum or fixed; `dependencies` may name other types", examples=[EXAMPLE]
    )


class Type(Revised):
    """One version of a type."""

    id: str
    name: str = Field(description="full name")
    version: int
    fingerprint: str
    body: Any = Field(description="self-contained")
    source: Any = Field(description="as it was given")
    references: list[str]
    created: datetime


@router.post("", status_code=201, response_model=Type, responses={200: {"model": Type, "description": "It was there"}})
def add(body: NewType, caller: Calling, core: Server) -> Response:
    """Add a version. The same definition as the newest version is that version again (200)."""
    caller.need(DEVELOPERS)
    caller.need_whole_tenant()
    name, fresh = checked_type(caller.tenant, body.body, "/body")
    known = newest_type(caller.tenant, name)
    if known is not None and same(known["source"], body.body):
        return reply(_shown(known), known)
    made = store_type(core, caller, name, fresh)
    return reply(_shown(made), made, status=201, location=f"{router.prefix}/{name}/{made['version']}")


def checked_type(
    tenant: str, source: Content, place: str, own: Mapping[tuple[str, int], Any] | None = None
) -> tuple[str, Checked]:
    """Full name and schema of a type. `own`: types that are not stored yet. Raises: Problem 422."""
    if source.get("type") not in KINDS:
        raise Problem(422, "a type is a record, an enum or a fixed", [(f"{place}/type", "record, enum or fixed")])
    fresh = checked(tenant, source, None, place, own)
    name = full_name(source)
    if len(name) > MAX_NAME:
        raise Problem(422, f"a full name has at most {MAX_NAME} characters", [(f"{place}/name", "too long")])
    if any(reference.rpartition("/")[0] == name for reference in fresh.references):
        raise Problem(422, f"{name} depends on itself", [(f"{place}/dependencies", "depends on itself")])
    return name, fresh


def newest_type(tenant: str, name: str) -> Content | None:
    """The newest version of a type, or None."""
    return next(model.query("type", {"tenant": tenant, "name": name}, sort="version", descending=True, limit=1), None)


def store_type(core: Core, caller: Caller, name: str, fresh: Checked) -> Content:
    """Write the next version of a type."""
    known = newest_type(caller.tenant, name)
    version = 1 if known is None else known["version"] + 1
    content = {
        "_id": f"{caller.tenant}/{name}/{version}", "tenant": caller.tenant, "key": sort_key(name, version), "name": name,
        "version": version, "fingerprint": f"{fresh.parsed.fingerprint:016x}", "source": fresh.source, "body": fresh.body,
        "references": fresh.references, "created": now(),
    }  # fmt: skip
    return core.put(caller, "type", content, None)


@router.get("", response_model=page_model(Type))
def index(
    caller: Calling,
    page: Paging,
    sort: Annotated[Sort, sorting("key")],
    prefix: Prefix = None,
    name: Annotated[str | None, Query(pattern=TYPE_NAME, max_length=MAX_NAME, description="only this one's versions")] = None,
) -> Response:  # fmt: skip
    """The tenant's types, all versions, by name and version."""
    caller.need(READERS)
    where = {"tenant": caller.tenant} | given(name=name)
    return reply(paged("type", where, page, _shown, key="key", descending=sort.descending, prefix=prefix))


@router.get("/{name}/{version}", response_model=Type)
def show(name: TypeName, version: Version, caller: Calling) -> Response:
    """One version."""
    found = _found(caller.tenant, name, version)
    caller.need(READERS)
    return reply(_shown(found), found)


@router.delete("/{name}/{version}", status_code=204)
def delete(name: TypeName, version: Version, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Delete a version that nothing refers to."""
    found = _found(caller.tenant, name, version)
    caller.need(DEVELOPERS)
    caller.need_whole_tenant()
    check_match(found, if_match)
    reference = f"{name}/{version}"
    for kind in ("schema", "type"):
        for user in model.query(kind, {"tenant": caller.tenant}, sort="key"):
            if reference in user["references"]:
                raise Problem(409, f"{kind} {user['_id'].partition('/')[2]} uses it")
    core.delete(caller, "type", found)


def _found(tenant: str, name: str, version: int) -> Content:
    found = model.find("type", f"{tenant}/{name}/{version}")
    if found is None:
        raise not_found("type", f"{name}/{version}")
    return found


def _shown(document: Content) -> Content:
    names = ("name", "version", "fingerprint", "body", "source", "references", "created", "rev")
    return only(document, *names) | {"id": f"{document['name']}/{document['version']}"}
