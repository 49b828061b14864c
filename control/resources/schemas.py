"""Schemas: Avro, per application, kind and name, in versions. A version never changes; a new one must read what the last one wrote."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from akela.contract.avro import parse_schema
from akela.contract.compatibility import Break
from akela.contract.delta import same
from akela.documents import model
from akela.documents.model import Content
from akela.documents.upgrades import sort_key
from control.core import DEVELOPERS, Body, Caller, Calling, Core, Paging, Server, now
from control.etags import IfMatch, check_match, reply
from control.paging import Sort, given, only, paged, sorting
from control.problems import Problem, not_found
from control.registry import EXAMPLES, Checked, broken_layers, checked, impact, incompatibilities
from control.registry import config_schema as config_schema  # noqa: PLC0414  where other resources look for it
from control.registry import newest as newest  # noqa: PLC0414
from control.route import Route
from control.shapes import Revised, page_model

router = APIRouter(prefix="/api/v1/applications/{app}/schemas", tags=["schemas"], route_class=Route)

Kind = Literal["profile", "server-profile", "config", "notification", "log", "event"]
SCHEMA_NAME = r"^[A-Za-z0-9._-]{1,64}$"
SchemaName = Annotated[str, Path(pattern=SCHEMA_NAME, examples=["default"])]
Version = Annotated[int, Path(ge=1, le=999_999, examples=[1])]
EXAMPLE = {"type": "record", "name": "Config", "fields": [{"name": "interval", "type": "int", "default": 60}]}


class CandidateSchema(Body):
    """A schema that may become the next version of its kind and name."""

    kind: Kind
    name: str = Field(default="default", pattern=SCHEMA_NAME, description="of a log schema: the stream")
    body: Any = Field(
        description="the Avro schema, as JSON; `dependencies` may name types of the tenant", examples=[EXAMPLE]
    )


class NewSchema(CandidateSchema):
    """A schema: the next version of its kind and name."""

    force: bool = Field(default=False, description="take it though it cannot read what the last version wrote")


class Schema(Revised):
    """One version of a schema."""

    id: str
    kind: Kind
    name: str
    version: int
    fingerprint: str = Field(description="CRC-64-AVRO of the parsing canonical form, hex")
    body: Any = Field(description="self-contained")
    source: Any = Field(description="as it was given")
    references: list[str] = Field(description="types of the tenant that went into it: {name}/{version}")
    created: datetime


class Running(Body):
    """Endpoints that run one version."""

    version: int
    endpoints: int
    examples: list[str]


class Impact(Body):
    """Which endpoints run which version, by their own word."""

    versions: list[Running]
    looked_at: int = Field(description="endpoints that were looked at")
    more: bool = Field(description="there are more endpoints than that")


class Breakage(Body):
    """One thing that breaks."""

    path: str
    reason: str


class CheckedSchema(Body):
    """What a new version would be and do."""

    compatible: bool
    breaks: list[Breakage] = Field(description="what the last version's data break")
    layers: list[Breakage] = Field(description="configuration layers that do not fit, the first ones")
    impact: Impact
    fingerprint: str
    version: int = Field(description="the number that it would get")


@router.post(
    "", status_code=201, response_model=Schema, responses={200: {"model": Schema, "description": "It was there"}}
)
def add(app: str, body: NewSchema, caller: Calling, core: Server) -> Response:
    """Add a version. The same schema as the newest version is that version again (200).

    409 when it cannot read what the newest version wrote, or configuration layers do not fit it, unless forced.
    """
    core.application(caller, app, DEVELOPERS)
    fresh = checked(caller.tenant, body.body, body.kind)
    known = newest(app, body.kind, body.name)
    if known is not None and same(known["source"], body.body) and same(known["body"], fresh.body):
        return reply(_shown(known), known)
    if not body.force:
        _need_compatible(app, body, known, fresh)
    made = store_schema(core, caller, app, (body.kind, body.name), fresh)
    place = f"{router.prefix.replace('{app}', app)}/{body.kind}/{body.name}/{made['version']}"
    return reply(_shown(made), made, status=201, location=place)


def store_schema(core: Core, caller: Caller, app: str, key: tuple[str, str], fresh: Checked) -> Content:
    """Write the next version of the schema with this kind and name."""
    kind, name = key
    known = newest(app, kind, name)
    version = 1 if known is None else known["version"] + 1
    content = {
        "_id": f"{app}/{kind}/{name}/{version}", "app": app, "tenant": caller.tenant, "kind": kind, "name": name, "version": version,
        "key": sort_key(kind, name, version), "created": now(), "fingerprint": f"{fresh.parsed.fingerprint:016x}",
        "body": fresh.body, "source": fresh.source, "references": fresh.references,
    }  # fmt: skip
    return core.put(caller, "schema", content, None, app)


@router.post("/check", response_model=CheckedSchema)
def check(app: str, body: CandidateSchema, caller: Calling, core: Server) -> Response:
    """What a schema would break, and which endpoints run which version; nothing is written."""
    core.application(caller, app)
    fresh = checked(caller.tenant, body.body, body.kind)
    known = newest(app, body.kind, body.name)
    found, layers = incompatibilities(known, fresh), _first(app, body.kind, fresh)
    return reply(
        {
            "compatible": not found and not layers,
            "breaks": [_broken(item) for item in found],
            "layers": [_broken(item) for item in layers],
            "impact": impact(app, body.kind, body.name),
            "fingerprint": f"{fresh.parsed.fingerprint:016x}",
            "version": 1 if known is None else known["version"] + 1,
        }
    )


@router.get("", response_model=page_model(Schema))
def index(
    app: str,
    caller: Calling,
    core: Server,
    page: Paging,
    sort: Annotated[Sort, sorting("key")],
    kind: Annotated[Kind | None, Query()] = None,
    name: Annotated[str | None, Query(pattern=SCHEMA_NAME)] = None,
) -> Response:
    """Schemas of an application, all versions, by kind, name and version."""
    core.application(caller, app)
    where = {"app": app} | given(kind=kind, name=name)
    return reply(paged("schema", where, page, _shown, key="key", descending=sort.descending))


@router.get("/{kind}/{name}/{version}", response_model=Schema)
def show(app: str, kind: Kind, name: SchemaName, version: Version, caller: Calling, core: Server) -> Response:
    """One version."""
    core.application(caller, app)
    found = _found(app, kind, name, version)
    return reply(_shown(found), found)


@router.get("/{kind}/{name}/{version}/default")
def default(app: str, kind: Kind, name: SchemaName, version: Version, caller: Calling, core: Server) -> Any:
    """The value that the schema's defaults give; a field without one gets its type's zero."""
    core.application(caller, app)
    return reply(parse_schema(_found(app, kind, name, version)["body"]).default())


@router.delete("/{kind}/{name}/{version}", status_code=204)
def delete(
    app: str, kind: Kind, name: SchemaName, version: Version, caller: Calling, core: Server, if_match: IfMatch = None
) -> None:
    """Delete an old version; the newest stays, because servers use it."""
    core.application(caller, app, DEVELOPERS)
    found = _found(app, kind, name, version)
    check_match(found, if_match)
    known = newest(app, kind, name)
    if known is None or known["version"] == version:
        raise Problem(409, "the newest version is in use; only older ones can be deleted")
    core.delete(caller, "schema", found, app)


def _need_compatible(app: str, body: NewSchema, known: Content | None, fresh: Checked) -> None:
    """Raises: Problem 409 with what breaks and who runs it."""
    found = incompatibilities(known, fresh) + _first(app, body.kind, fresh)
    if found:
        raise Problem(
            409,
            f"it breaks what is there: {found[0].path or 'the schema'}: {found[0].reason}; force it if that is meant",
            [(f"/body{item.path}", item.reason) for item in found],
            more={"impact": impact(app, body.kind, body.name)},
        )


def _first(app: str, kind: str, fresh: Checked) -> list[Break]:
    return [item for item, _ in zip(broken_layers(app, kind, fresh), range(EXAMPLES), strict=False)]


def _broken(item: Break) -> Content:
    return {"path": item.path, "reason": item.reason}


def _found(app: str, kind: str, name: str, version: int) -> Content:
    found = model.find("schema", f"{app}/{kind}/{name}/{version}")
    if found is None:
        raise not_found("schema", f"{kind}/{name}/{version}")
    return found


def _shown(document: Content) -> Content:
    names = ("kind", "name", "version", "fingerprint", "body", "source", "references", "created", "rev")
    return only(document, *names)
