"""A whole application as one document: what it defines, without what identifies it or is secret.

An import brings an application to what a document says: it makes what is missing, changes what differs, and leaves alone what the
document does not mention. All of it is checked before anything is written; doing it again changes nothing. Ids (application token,
revisions, versions of types, times) are the target's own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from akela.contract.errors import ContractError
from akela.contract.merge import Layer, merge
from akela.documents import model
from akela.documents.model import Content
from akela.membership import NAMES as GROUP_NAMES
from control import layers
from control.core import Body
from control.definitions import Definition
from control.expressions import check_filter
from control.problems import Problem
from control.registry import Checked, checked, newest
from control.resources import owners, sinks
from control.resources.applications import ApplicationSettings, check_keys
from control.resources.authorities import AUTHORITIES, NewAuthority
from control.resources.groups import ALL, GROUPS, NewGroup
from control.resources.owners import OWNERS, VERIFIERS, NewOwner, NewVerifier
from control.resources.schemas import CandidateSchema
from control.resources.sinks import SINKS, NewSink
from control.resources.streams import STREAMS, NewStream
from control.resources.topics import TOPICS, NewTopic
from control.resources.types import checked_type

DEFINITIONS: Final[Mapping[str, Definition]] = {  # in the order in which they refer to each other
    "groups": GROUPS, "verifiers": VERIFIERS, "owners": OWNERS, "sinks": SINKS, "streams": STREAMS, "topics": TOPICS,
    "authorities": AUTHORITIES,
}  # fmt: skip


class ExportedType(Body):
    """A type that the schemas need."""

    version: int = Field(ge=1, description="in the tenant that it comes from; the target gives its own")
    body: dict[str, Any]


class ExportedLayer(Body):
    """A configuration layer."""

    scope: layers.Scope
    target: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    data: dict[str, Any] | None = Field(description="what is active; null: nothing is")
    draft: dict[str, Any] | None = None


class Exported(Body):
    """An application as one document."""

    akela: Literal[1] = Field(description="format of this document")
    application: ApplicationSettings
    types: list[ExportedType] = Field(default=[], description="each before those that need it")
    schemas: list[CandidateSchema] = Field(default=[], description="by kind and name, oldest version first")
    groups: list[NewGroup] = Field(default=[])
    verifiers: list[NewVerifier] = Field(default=[], description="without their secrets")
    owners: list[NewOwner] = Field(default=[])
    sinks: list[NewSink] = Field(default=[], description="without their secrets")
    streams: list[NewStream] = Field(default=[])
    topics: list[NewTopic] = Field(default=[])
    authorities: list[NewAuthority] = Field(default=[])
    configurations: list[ExportedLayer] = Field(default=[])


def export(application: Content) -> Content:
    """The document of an application."""
    app, tenant = application["_id"], application["tenant"]
    schemas = list(model.query("schema", {"app": app}, sort="key"))
    value = {
        "akela": 1,
        "application": {name: application[name] for name in ApplicationSettings.model_fields},
        "types": _types(tenant, schemas),
        "schemas": [{"kind": s["kind"], "name": s["name"], "body": s["source"]} for s in schemas],
    }
    for plural, definition in DEFINITIONS.items():
        fields = [name for name in definition.new.model_fields if name not in definition.hidden]
        rows = model.query(definition.kind, {"app": app}, sort=definition.sorts[0])
        value[plural] = [{name: row[name] for name in fields} for row in rows]
    return value | {
        "configurations": [_layer(layer) for layer in model.query("configuration", {"app": app}, sort="key")]
    }


def _types(tenant: str, schemas: list[Content]) -> list[Content]:
    """What the schemas need, each before those that need it."""
    wanted = sorted({reference for schema in schemas for reference in schema["references"]})
    found = [model.find("type", f"{tenant}/{reference}") for reference in wanted]
    rows = [row for row in found if row is not None]
    rows.sort(key=lambda row: (len(row["references"]), row["key"]))  # who needs a type needs what that needs, and it
    return [{"version": row["version"], "body": row["source"]} for row in rows]


def _layer(layer: Content) -> Content:
    draft = None if layer["draft"] is None else layer["draft"]["body"]
    data = None if layer["active"] is None else layer["body"]
    return {"scope": layer["scope"], "target": layer["target"], "data": data, "draft": draft}


class Import:
    """A document, checked against a tenant and the application that it goes into (None: a new one).

    Raises: Problem with the path of what does not fit.
    """

    def __init__(self, tenant: str, document: Exported, target: Content | None) -> None:
        self.document = document
        self.target = target
        self._tenant = tenant
        self._app = "" if target is None else str(target["_id"])
        self.types: list[tuple[str, int, Checked, bool]] = []  # name, version here, schema, whether it is there already
        self._own: dict[tuple[str, int], Any] = {}
        self._mapped: dict[tuple[str, int], int] = {}
        check_keys(document.application)
        for index, item in enumerate(document.types):
            self._type(index, item)
        self.schemas = [self._schema(index, item) for index, item in enumerate(document.schemas)]
        self._check_definitions()
        self._check_layers()

    def _type(self, index: int, item: ExportedType) -> None:
        source = self._renumbered(item.body)
        place = f"/types/{index}/body"
        name, fresh = checked_type(self._tenant, source, place, self._own)
        there = list(model.query("type", {"tenant": self._tenant, "name": name}, sort="version"))
        equal = [row["version"] for row in there if row["source"] == source]
        added = [version for known, version, _, is_there in self.types if known == name and not is_there]
        version = equal[-1] if equal else max([row["version"] for row in there] + added, default=0) + 1
        self.types.append((name, version, fresh, bool(equal)))
        self._own[name, version] = source
        self._mapped[name, item.version] = version

    def _schema(self, index: int, item: CandidateSchema) -> tuple[CandidateSchema, Checked, bool]:
        fresh = checked(self._tenant, self._renumbered(item.body), item.kind, f"/schemas/{index}/body", self._own)
        where = {"app": self._app, "kind": item.kind, "name": item.name}
        there = bool(self._app) and any(
            row["source"] == fresh.source for row in model.query("schema", where, sort="version")
        )
        return item, fresh, there

    def _renumbered(self, source: Any) -> Any:
        """A schema whose dependencies have the versions that they have here."""
        if not isinstance(source, dict) or not isinstance(source.get("dependencies"), list):
            return source
        return source | {"dependencies": [self._renumbered_one(item) for item in source["dependencies"]]}

    def _renumbered_one(self, item: Any) -> Any:
        match item:
            case {"fqn": str(name), "version": int(version)}:
                return item | {"version": self._mapped.get((name, version), version)}
        return item

    def _check_definitions(self) -> None:
        document = self.document
        for plural in DEFINITIONS:
            names = [row.name for row in getattr(document, plural)]
            for index, name in enumerate(names):
                if names.index(name) != index:
                    raise _wrong(f"/{plural}/{index}/name", f"{name!r} is there twice")
        self._check_weights()
        for index, group in enumerate(document.groups):
            if group.name == ALL:
                raise _wrong(f"/groups/{index}/name", "the group all is there already, and nobody changes it")
            check_filter(group.filter, f"/groups/{index}/filter", GROUP_NAMES)
        for kinds, plural in ((sinks.SETTINGS, "sinks"), (owners.SETTINGS, "verifiers")):
            for index, row in enumerate(getattr(document, plural)):
                sinks.checked_settings(kinds, row.model_dump(mode="json"), f"/{plural}/{index}")
        self._check_authorities()
        for path, kind, name in self._references():
            if not self._is_there(kind, name):
                raise _wrong(path, f"no {kind} {name!r}")

    def _check_authorities(self) -> None:
        for index, authority in enumerate(self.document.authorities):
            content = authority.model_dump(mode="json") | {"_id": f"{self._app}/{authority.name}"}
            try:
                AUTHORITIES.rule(self._app, content, None)
            except Problem as problem:
                path = problem.errors[0]["path"] if problem.errors else ""
                raise _wrong(f"/authorities/{index}{path}", problem.detail) from problem

    def _check_weights(self) -> None:
        here = {row.name for row in self.document.groups}
        stored = model.query("group", {"app": self._app}, sort="weight") if self._app else iter(())
        taken = {row["weight"]: row["name"] for row in stored if row["name"] not in here}
        for index, group in enumerate(self.document.groups):
            other = taken.setdefault(group.weight, group.name)
            if other != group.name:
                raise _wrong(
                    f"/groups/{index}/weight", f"group {other!r} has the weight {group.weight}; weights are unique"
                )

    def _references(self) -> Iterator[tuple[str, str, str]]:
        """(path, kind, name) of each thing that a definition or layer names."""
        document = self.document
        for index, topic in enumerate(document.topics):
            for group in topic.groups:
                yield f"/topics/{index}/groups", "group", group
        for index, stream in enumerate(document.streams):
            for sink in stream.sinks:
                yield f"/streams/{index}/sinks", "sink", sink.sink
        for index, owner in enumerate(document.owners):
            if owner.verifier is not None:
                yield f"/owners/{index}/verifier", "verifier", owner.verifier
        for index, layer in enumerate(document.configurations):
            if layer.scope == "group":
                yield f"/configurations/{index}/target", "group", layer.target

    def _is_there(self, kind: str, name: str) -> bool:
        plural = next(plural for plural, definition in DEFINITIONS.items() if definition.kind == kind)
        in_document = any(row.name == name for row in getattr(self.document, plural))
        built_in = kind == "group" and name == ALL
        return in_document or built_in or model.find(kind, f"{self._app}/{name}") is not None

    def _check_layers(self) -> None:
        """The layers against the newest configuration schema; those that stay, too, if the schema is new."""
        mine = [fresh for item, fresh, _ in self.schemas if (item.kind, item.name) == ("config", "default")]
        known = newest(self._app, "config") if self._app else None
        schema = mine[-1] if mine else None if known is None else checked(self._tenant, known["body"], "config")
        if schema is None:
            if self.document.configurations:
                raise _wrong("/configurations", "there is no configuration schema")
            return
        for index, layer in enumerate(self.document.configurations):
            place = f"/configurations/{index}"
            if layer.scope == "all" and layer.target != "-":
                raise _wrong(f"{place}/target", "the layer of all has the target -")
            for part, data in (("data", layer.data), ("draft", layer.draft)):
                _check_fits(schema, data, f"{place}/{part}")
        changed = bool(mine) and (known is None or known["body"] != mine[-1].body)
        places = {f"{layer.scope}:{layer.target}" for layer in self.document.configurations}
        for stored in model.query("configuration", {"app": self._app}, sort="key") if changed and self._app else ():
            if stored["key"] not in places:
                _check_fits(schema, stored["body"], f"/schemas (layer {stored['key']})")


def _check_fits(schema: Checked, data: Content | None, path: str) -> None:
    if data is None:
        return
    problems = schema.parsed.validate(data, partial=True)
    if problems:
        raise _wrong(f"{path}{problems[0].path}", problems[0].reason)
    try:
        merge(schema.parsed, [Layer("imported", 1, data)])
    except ContractError as error:
        raise _wrong(f"{path}{error.key or ''}", error.reason) from error


def _wrong(path: str, reason: str) -> Problem:
    return Problem(422, f"the document does not fit: {reason}", [(path, reason)])


def differs(row: Content | None, wanted: BaseModel, but: frozenset[str], complete: Callable[[Content], None]) -> bool:
    """Whether a stored definition is not what a document says; `complete` fills in defaults."""
    if row is None:
        return True
    content: Content = wanted.model_dump(mode="json")
    complete(content)
    return any(row.get(name) != value for name, value in content.items() if name not in but)
