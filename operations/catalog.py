"""What this server knows of every application: trust, claim secrets, schemas, configuration layers.

Read whole at start and kept current by the change log (`operations.changes`), so that no message waits for a database.
Not here: anything per endpoint but the layers that single endpoints have of their own.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from akela.contract.avro import ParsedSchema, parse_schema
from akela.contract.errors import ContractError

log = logging.getLogger(__name__)

Document = Mapping[str, Any]  # a stored document as the database gives it


@dataclass(frozen=True, slots=True)
class Application:
    """An application's own document, as far as this server needs it."""

    token: str
    tenant: str
    trust: str  # open, listed or closed
    claim_hashes: Mapping[str, str]  # id of each claim secret that is not revoked -> SHA-256, hex
    default_stream: str
    claim_ends: Mapping[str, datetime] = field(default_factory=dict)  # id of a claim secret -> when it expires

    @classmethod
    def of(cls, document: Document) -> "Application":
        """The application that `document` describes."""
        claims = [secret for secret in document.get("claim_secrets", ()) if not secret.get("revoked")]
        return cls(
            token=document["_id"],
            tenant=document["tenant"],
            trust=document["trust"],
            claim_hashes={secret["id"]: secret["hash"] for secret in claims},
            default_stream=document.get("default_stream", "values"),
            claim_ends={secret["id"]: secret["expires"] for secret in claims if secret.get("expires") is not None},
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of one schema."""

    version: int
    parsed: ParsedSchema


@dataclass(slots=True)
class Entry:
    """One application with all that hangs on it. `edition` grows whenever a configuration could come out differently."""

    application: Application
    schemas: dict[tuple[str, str], Schema] = field(default_factory=dict)  # (kind, name) -> newest version
    base_layer: Mapping[str, Any] | None = None
    endpoint_layers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    edition: int = 0

    def schema(self, kind: str, name: str = "default") -> Schema | None:
        """The newest version, or None when the application has no schema of this kind and name."""
        return self.schemas.get((kind, name))


class Catalog:
    """All applications of the cluster."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def load(
        self, applications: Iterable[Document], schemas: Iterable[Document], configurations: Iterable[Document]
    ) -> None:
        """Replace everything by what the database holds."""
        self._entries = {}
        for document in applications:
            self.put_application(document)
        for document in schemas:
            self.put_schema(document)
        for document in configurations:
            self.put_configuration(document)

    def entry(self, app: str) -> Entry | None:
        """The application with this token, or None."""
        return self._entries.get(app)

    def __len__(self) -> int:
        return len(self._entries)

    def put_application(self, document: Document) -> None:
        """Add or replace an application; what hangs on it stays."""
        application = Application.of(document)
        known = self._entries.get(application.token)
        if known is None:
            self._entries[application.token] = Entry(application)
        else:
            known.application = application

    def delete_application(self, app: str) -> None:
        """Forget an application and all that hangs on it."""
        self._entries.pop(app, None)

    def put_schema(self, document: Document) -> None:
        """Take a schema version; an older one than the newest known is ignored."""
        entry = self._entries.get(document["app"])
        if entry is None:
            return
        key = (document["kind"], document["name"])
        known = entry.schemas.get(key)
        if known is not None and known.version >= document["version"]:
            return
        try:
            parsed = parse_schema(document["body"])
        except ContractError as error:
            log.error("a stored schema cannot be read", extra={"schema": document["_id"], "error": str(error)})  # noqa: TRY400  said in full
            return
        entry.schemas[key] = Schema(document["version"], parsed)
        entry.edition += document["kind"] == "config"

    def put_configuration(self, document: Document) -> None:
        """Take a configuration layer."""
        entry = self._entries.get(document["app"])
        if entry is None:
            return
        if document["scope"] == "all":
            entry.base_layer = document["body"]
        elif document["scope"] == "endpoint":
            entry.endpoint_layers[document["target"]] = document["body"]
        entry.edition += 1

    def delete_configuration(self, app: str, scope: str, target: str) -> None:
        """Take a configuration layer away."""
        entry = self._entries.get(app)
        if entry is None:
            return
        if scope == "all":
            entry.base_layer = None
        elif scope == "endpoint":
            entry.endpoint_layers.pop(target, None)
        entry.edition += 1
