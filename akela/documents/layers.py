"""Stored configuration layers and schemas, read for computing what endpoints should have."""

from collections.abc import Iterator, Mapping, Sequence

from akela.documents import upgrades
from akela.documents.base import Content
from akela.documents.fleet import Configuration, Schema

NAME = "default"


def active(app: str, keys: Sequence[str] | None = None) -> Mapping[str, Content]:
    """What is active in an application's layers, by `{scope}:{target}`; `keys`: only of these."""
    where: Content = {"app": app} if keys is None else {"_id": {"$in": [f"{app}/{NAME}/{key}" for key in keys]}}
    found = (upgrades.upgraded(raw, "configuration") for raw in Configuration.collection().find(where))
    return {row["key"]: row["body"] for row in found if row["active"] is not None}


def schemas(app: str, kind: str, name: str = "default") -> Iterator[Content]:
    """All versions of a schema."""
    for raw in Schema.collection().find({"app": app, "kind": kind, "name": name}):
        yield upgrades.upgraded(raw, "schema")
