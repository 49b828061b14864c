"""A catalog as it is read from the database, and endpoints of it, for unit tests."""

from collections.abc import Mapping
from typing import Any, Final

from akela.contract.topics import app_token, endpoint_id
from operations.catalog import Catalog
from operations.principals import Endpoint

APP: Final = "fleet222"
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "record",
    "name": "C",
    "fields": [
        {"name": "n", "type": "int", "default": 0, "akela.authority": "device"},
        {"name": "s", "type": "string", "optional": True},
    ],
}


def schema(version: int, body: Any = SCHEMA, kind: str = "config") -> dict[str, Any]:
    return {
        "_id": f"{APP}/{kind}/default/{version}",
        "app": APP,
        "kind": kind,
        "name": "default",
        "version": version,
        "body": body,
    }


def layer(place: str, rev: int = 1, active: int | None = 1, **body: Any) -> dict[str, Any]:
    scope, _, target = place.partition(":")
    return {"app": APP, "scope": scope, "target": target, "body": body, "active": active, "rev": rev}


def group(name: str, weight: int, asks: str = "true") -> dict[str, Any]:
    return {"app": APP, "name": name, "weight": weight, "filter": asks}


def catalog(*layers: dict[str, Any], groups: tuple[dict[str, Any], ...] = (), body: Any = SCHEMA) -> Catalog:
    """One application with a configuration schema of one version."""
    made = Catalog()
    made.load([{"_id": APP, "tenant": "t", "trust": "open"}], [schema(1, body)], layers, groups)
    return made


def endpoint(ep: str = "e", *groups: str, **fields: Any) -> Endpoint:
    made = Endpoint(app_token(APP), endpoint_id(ep), "t", None, limited=False)
    made.groups = groups
    for name, value in fields.items():
        setattr(made, name, value)
    return made
