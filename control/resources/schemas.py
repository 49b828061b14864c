"""Schemas: Avro, per application, kind and name, in versions."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from akela.contract.avro import ParsedSchema, parse_schema
from akela.contract.avro_types import Record
from akela.contract.delta import same
from akela.contract.errors import ContractError, SchemaError
from akela.documents import model
from akela.documents.model import Content
from control.core import DEVELOPERS, Body, Calling, Paging, Server, now, only, paged, tagged
from control.problems import Problem, not_found

router = APIRouter(prefix="/api/v1/applications/{app}/schemas", tags=["schemas"])

Kind = Literal["profile", "server-profile", "config", "notification", "log", "event"]
RECORDS = frozenset({"profile", "server-profile", "config"})  # kinds whose values are JSON objects
SCHEMA_NAME = r"^[A-Za-z0-9._-]{1,64}$"


class NewSchema(Body):
    """A schema: the next version of its kind and name."""

    kind: Kind
    name: str = Field(default="default", pattern=SCHEMA_NAME, description="of a log schema: the stream")
    body: Any = Field(
        description="the Avro schema, as JSON", examples=[{"type": "record", "name": "Config", "fields": []}]
    )


@router.post("", status_code=201)
def add(app: str, body: NewSchema, caller: Calling, core: Server, response: Response) -> Content:
    """Add a version. The same schema as the newest version is that version again (200)."""
    caller.need(DEVELOPERS)
    core.application(caller, app)
    parsed = _parsed(body)
    known = newest(app, body.kind, body.name)
    if known is not None and same(known["body"], body.body):
        response.status_code = 200
        return tagged(response, _shown(known), known)
    version = 1 if known is None else known["version"] + 1
    content = {
        "_id": f"{app}/{body.kind}/{body.name}/{version}", "app": app, "tenant": caller.tenant, "kind": body.kind,
        "name": body.name, "version": version, "fingerprint": f"{parsed.fingerprint:016x}", "body": body.body,
        "created": now(),
    }  # fmt: skip
    made = core.put(caller, "schema", content, None, app)
    return tagged(response, _shown(made), made)


@router.get("")
def index(
    app: str, caller: Calling, core: Server, page: Paging, kind: Annotated[Kind | None, Query()] = None
) -> Content:
    """Schemas of an application, all versions."""
    core.application(caller, app)
    where = {"app": app} if kind is None else {"app": app, "kind": kind}
    return paged("schema", where, page, _shown)


@router.get("/{kind}/{name}/{version}")
def show(
    app: str, kind: Kind, name: Annotated[str, Path(pattern=SCHEMA_NAME)], version: int, caller: Calling, core: Server,
    response: Response,
) -> Content:  # fmt: skip
    """One version."""
    core.application(caller, app)
    found = model.find("schema", f"{app}/{kind}/{name}/{version}")
    if found is None:
        raise not_found("schema", f"{kind}/{name}/{version}")
    return tagged(response, _shown(found), found)


def newest(app: str, kind: str, name: str = "default") -> Content | None:
    """The newest version of a schema, or None."""
    where = {"app": app, "kind": kind, "name": name}
    return next(model.query("schema", where, sort="version", descending=True, limit=1), None)


def config_schema(app: str) -> ParsedSchema:
    """The configuration schema. Raises: Problem 409 when there is none."""
    found = newest(app, "config")
    if found is None:
        raise Problem(409, "the application has no configuration schema; add one with kind config first")
    return parse_schema(found["body"])


def _parsed(body: NewSchema) -> ParsedSchema:
    try:
        parsed = parse_schema(body.body)
        if body.kind in RECORDS and not isinstance(parsed.root, Record):
            raise SchemaError(f"a {body.kind} schema is a record")
    except ContractError as error:
        raise Problem(422, f"no Avro schema: {error.reason}", [(f"/body{error.key or ''}", error.reason)]) from error
    return parsed


def _shown(document: Content) -> Content:
    return only(document, "kind", "name", "version", "fingerprint", "body", "created", "rev")
