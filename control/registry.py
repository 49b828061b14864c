"""The schema registry's rules: what a new version may be, what it breaks, and whom.

Not here: the routes (`control.resources.schemas`, `types`), the Avro rules (`akela.contract`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from akela.contract.avro import ParsedSchema, parse_schema
from akela.contract.avro_types import Record
from akela.contract.compatibility import Break, breaks
from akela.contract.errors import ContractError, SchemaError
from akela.contract.merge import Layer, merge
from akela.contract.references import resolve
from akela.documents import model
from akela.documents.model import Content
from control.problems import Problem

RECORDS: Final = frozenset({"profile", "server-profile", "config"})  # kinds whose values are JSON objects
COUNTED: Final = 10_000  # endpoints that are looked at for the impact
EXAMPLES: Final = 10


@dataclass(frozen=True, slots=True)
class Checked:
    """A schema that is one: as it was given, self-contained, and parsed."""

    source: Any
    body: Any
    references: list[str]
    parsed: ParsedSchema


def checked(
    tenant: str, source: Any, kind: str | None, place: str = "/body", own: Mapping[tuple[str, int], Any] | None = None
) -> Checked:
    """Read a schema of a tenant. `own`: types that are not stored yet. Raises: Problem 422 with the place inside the schema."""

    def lookup(name: str, version: int) -> Any:
        return (own or {}).get((name, version)) or _type_source(tenant, name, version)

    try:
        body, references = resolve(source, lookup)
        parsed = parse_schema(body)
        if kind in RECORDS and not isinstance(parsed.root, Record):
            raise SchemaError(f"a {kind} schema is a record")
        fingerprint = parsed.fingerprint
    except ContractError as error:
        raise Problem(422, f"no Avro schema: {error.reason}", [(f"{place}{error.key or ''}", error.reason)]) from error
    except RecursionError as error:
        raise Problem(422, "no Avro schema: nested too deep", [(place, "nested too deep")]) from error
    assert fingerprint >= 0
    return Checked(source, body, references, parsed)


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


def incompatibilities(known: Content | None, fresh: Checked) -> list[Break]:
    """What the newest version's data break in a new one."""
    return [] if known is None else breaks(fresh.parsed.root, parse_schema(known["body"]).root)


def broken_layers(app: str, kind: str, fresh: Checked) -> Iterator[Break]:
    """Active configuration layers that a new configuration schema does not take."""
    if kind != "config":
        return
    for layer in model.query("configuration", {"app": app}, sort="key"):
        try:
            merge(fresh.parsed, [Layer(layer["key"], 1, layer["body"])])
        except ContractError as error:
            yield Break(error.key or "", f"{error.reason} (in layer {layer['key']})")


def impact(app: str, kind: str, name: str) -> Content:
    """How many endpoints run which version, by their own word (hello), among the first ones."""
    said = kind if name == "default" else f"{kind}/{name}"
    counts: Counter[int] = Counter()
    examples: dict[int, list[str]] = {}
    seen = 0
    for endpoint in model.endpoint_versions(app, COUNTED + 1):
        seen += 1
        version = (endpoint.get("versions") or {}).get(said)
        if seen <= COUNTED and isinstance(version, int):
            counts[version] += 1
            if counts[version] <= EXAMPLES:
                examples.setdefault(version, []).append(endpoint["ep"])
    rows = [{"version": v, "endpoints": counts[v], "examples": examples[v]} for v in sorted(counts)]
    return {"versions": rows, "looked_at": min(seen, COUNTED), "more": seen > COUNTED}


def _type_source(tenant: str, name: str, version: int) -> Any:
    found = model.find("type", f"{tenant}/{name}/{version}") if "\0" not in name else None
    return None if found is None else found["source"]
