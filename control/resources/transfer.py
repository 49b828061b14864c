"""Export and import of a whole application."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from akela.documents import model
from akela.documents.model import Content
from control import layers
from control.core import DEVELOPERS, NAME, Body, Caller, Calling, Core, Server
from control.definitions import Definition, write
from control.etags import reply
from control.resources import owners, sinks
from control.resources.applications import make
from control.resources.schemas import store_schema
from control.resources.types import store_type
from control.route import Route
from control.transfer import DEFINITIONS, Exported, ExportedLayer, Import, differs, export

router = APIRouter(prefix="/api/v1/applications", tags=["applications"], route_class=Route)

Op = Literal["made", "changed", "kept"]


class ImportStep(Body):
    """What happened, or would, to one thing."""

    op: Op
    kind: str
    name: str


class Imported(Body):
    """What an import did, or would do."""

    id: str | None = Field(description="the application's token; null in a dry run that would make it")
    name: str
    dry_run: bool
    claim_secret: str | None = Field(default=None, description="of a new application; shown this once")
    steps: list[ImportStep]


@router.get("/{app}/export", response_model=Exported)
def export_application(app: str, caller: Calling, core: Server) -> Response:
    """An application as one document: what it defines, without endpoints, history, ids and secrets."""
    return reply(export(core.application(caller, app)))


@router.post("/import", response_model=Imported)
def import_application(
    body: Exported,
    caller: Calling,
    core: Server,
    name: Annotated[
        str | None, Query(pattern=NAME, description="name of the application (default: the document's)")
    ] = None,
    dry_run: Annotated[bool, Query(description="say what would be done, do nothing")] = False,
) -> Response:
    """Bring the application of this name to what a document says; it is made if need be. Doing it again changes nothing."""
    caller.need(DEVELOPERS)
    caller.need_whole_tenant()
    if name is not None:
        body.application.name = name
    target = model.find_one("application", {"tenant": caller.tenant, "name": body.application.name})
    work = _Work(core, caller, Import(caller.tenant, body, target), dry_run)
    steps = list(work.run())
    value = {
        "id": work.app or None,
        "name": body.application.name,
        "dry_run": dry_run,
        "claim_secret": work.claim_secret,
    }
    return reply(value | {"steps": steps})


class _Work:
    """An import under way. Each step is an ordinary change; one that fails half way is finished by doing it again."""

    def __init__(self, core: Core, caller: Caller, checked: Import, dry_run: bool) -> None:
        self._core = core
        self._caller = caller
        self._import = checked
        self._dry_run = dry_run
        self.claim_secret: str | None = None
        self.app: str = "" if checked.target is None else checked.target["_id"]

    def run(self) -> Iterator[Content]:
        """Do it, step by step."""
        if not self._dry_run:
            self._core.need_active()
        yield self._application()
        yield from self._types_and_schemas()
        for plural, definition in DEFINITIONS.items():
            for row in getattr(self._import.document, plural):
                yield self._definition(definition, row)
        for layer in self._import.document.configurations:
            yield self._layer(layer)

    def _application(self) -> Content:
        settings, target = self._import.document.application, self._import.target
        wanted = settings.model_dump(mode="json")
        if target is None:
            if not self._dry_run:
                made, self.claim_secret = make(self._core, self._caller, settings)
                self.app = made["_id"]
            return _step("made", "application", settings.name)
        if all(target[key] == value for key, value in wanted.items()):
            return _step("kept", "application", settings.name)
        if not self._dry_run:
            self._core.put(self._caller, "application", target | wanted, target, self.app)
        return _step("changed", "application", settings.name)

    def _types_and_schemas(self) -> Iterator[Content]:
        for name, version, fresh, there in self._import.types:
            if not there and not self._dry_run:
                store_type(self._core, self._caller, name, fresh)
            yield _step("kept" if there else "made", "type", f"{name}/{version}")
        for item, fresh, there in self._import.schemas:
            if not there and not self._dry_run:
                store_schema(self._core, self._caller, self.app, (item.kind, item.name), fresh)
            yield _step("kept" if there else "made", "schema", f"{item.kind}/{item.name}")

    def _definition(self, definition: Definition, row: Any) -> Content:
        found = model.find(definition.kind, f"{self.app}/{row.name}") if self.app else None
        if not differs(found, row, definition.hidden, lambda content: _complete(definition.kind, content)):
            return _step("kept", definition.kind, row.name)
        if not self._dry_run:
            write(definition, self._core, self._caller, self.app, row.name, row, found)
        return _step("made" if found is None else "changed", definition.kind, row.name)

    def _layer(self, layer: ExportedLayer) -> Content:
        place = f"{layer.scope}:{layer.target}"
        found = layers.find_layer(self.app, place) if self.app else None
        equal = _layer_equals(found, layer)
        if not equal and not self._dry_run:
            self._write_layer(place, layer, found)
        return _step("kept" if equal else "made" if found is None else "changed", "configuration", place)

    def _write_layer(self, place: str, layer: ExportedLayer, found: Content | None) -> None:
        if layer.data is not None:
            found = layers.set_active(self._core, self._caller, self.app, place, layer.data, found)
        elif found is not None and found["active"] is not None:
            found = layers.deactivate(self._core, self._caller, found)
        if layer.draft is not None:
            layers.save_draft(self._core, self._caller, self.app, place, layer.draft, found)


def _layer_equals(found: Content | None, layer: ExportedLayer) -> bool:
    if found is None:
        return layer.data is None and layer.draft is None
    active = None if found["active"] is None else found["body"]
    if active != layer.data:
        return False
    return layer.draft is None or (found["draft"] is not None and found["draft"]["body"] == layer.draft)


def _complete(kind: str, content: Content) -> None:
    kinds = {"sink": sinks.SETTINGS, "verifier": owners.SETTINGS}.get(kind)
    if kinds is not None:
        sinks.checked_settings(kinds, content)


def _step(op: Op, kind: str, name: str) -> Content:
    return {"op": op, "kind": kind, "name": name}
