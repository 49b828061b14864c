"""What this server knows of every application: trust, claim secrets, schemas, groups, active configuration layers.

Read whole at start and kept current by the change log (`operations.changes`), so that no message waits for a database.
Not here: anything per endpoint but the layers that single endpoints have of their own.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from akela.contract.avro import ParsedSchema, parse_schema
from akela.contract.errors import ContractError
from akela.membership import Group, Groups
from akela.signing_keys import SigningKeyError
from operations.signed_tokens import Key

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
    claim_quotas: Mapping[str, int] = field(
        default_factory=dict
    )  # id of a claim secret -> how many may register with it
    keys: tuple[Key, ...] = ()  # who may sign its endpoints' JWTs

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
            claim_quotas={secret["id"]: secret["quota"] for secret in claims if secret.get("quota") is not None},
            keys=tuple(_keys(document)),
        )


def _keys(document: Document) -> Iterator[Key]:
    """The keys that can be used; another is told in the log and opens nothing."""
    for entry in document.get("keys") or ():
        try:
            yield Key.of(entry)
        except SigningKeyError as error:
            log.error("a key for JWTs cannot be used", extra={"key": entry["id"], "error": str(error)})  # noqa: TRY400  said in full


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of one schema."""

    version: int
    parsed: ParsedSchema


@dataclass(frozen=True, slots=True)
class ActiveLayer:
    """The active version of a configuration layer; `stamp` differs whenever the content may."""

    body: Mapping[str, Any]
    stamp: int


@dataclass(slots=True)
class Entry:
    """One application with all that hangs on it. `edition` grows whenever a configuration could come out differently."""

    application: Application
    schemas: dict[tuple[str, str], dict[int, Schema]] = field(default_factory=dict)  # (kind, name) -> by version
    layers: dict[str, ActiveLayer] = field(default_factory=dict)  # by `{scope}:{target}`
    by_name: dict[str, Group] = field(default_factory=dict)
    edition: int = 0
    _groups: Groups | None = None

    def schema(self, kind: str, name: str = "default", version: int | None = None) -> Schema | None:
        """That version, or (None) the newest; None when the application has no such schema."""
        versions = self.schemas.get((kind, name))
        if not versions:
            return None
        return versions[max(versions)] if version is None else versions.get(version)

    @property
    def groups(self) -> Groups:
        """The application's groups as they are now."""
        if self._groups is None:
            self._groups = Groups(self.by_name.values())
        return self._groups

    def put_group(self, group: Group) -> None:
        """Add or replace a group."""
        self.by_name[group.name] = group
        self._groups = None
        self.edition += 1

    def delete_group(self, name: str) -> None:
        """Take a group away."""
        if self.by_name.pop(name, None) is not None:
            self._groups = None
            self.edition += 1


class Catalog:
    """All applications of the cluster."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def load(
        self,
        applications: Iterable[Document],
        schemas: Iterable[Document],
        configurations: Iterable[Document],
        groups: Iterable[Document],
    ) -> None:
        """Replace everything by what the database holds."""
        self._entries = {}
        for document in applications:
            self.put_application(document)
        for document in schemas:
            self.put_schema(document)
        for document in configurations:
            self.put_configuration(document)
        for document in groups:
            self.put_group(document)

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
        """Take a schema version; one that is known already stays as it is."""
        entry = self._entries.get(document["app"])
        if entry is None:
            return
        versions = entry.schemas.setdefault((document["kind"], document["name"]), {})
        if document["version"] in versions:
            return
        try:
            parsed = parse_schema(document["body"])
        except ContractError as error:
            log.error("a stored schema cannot be read", extra={"schema": document["_id"], "error": str(error)})  # noqa: TRY400  said in full
            return
        versions[document["version"]] = Schema(document["version"], parsed)
        entry.edition += document["kind"] == "config"

    def put_configuration(self, document: Document) -> None:
        """Take a configuration layer; without an active version it contributes nothing."""
        entry = self._entries.get(document["app"])
        if entry is None:
            return
        place = f"{document['scope']}:{document['target']}"
        if document.get("active", 0) is None:
            entry.layers.pop(place, None)
        else:
            entry.layers[place] = ActiveLayer(document["body"], document.get("rev", 0))
        entry.edition += 1

    def delete_configuration(self, app: str, place: str) -> None:
        """Take the configuration layer at `{scope}:{target}` away."""
        entry = self._entries.get(app)
        if entry is not None and entry.layers.pop(place, None) is not None:
            entry.edition += 1

    def put_group(self, document: Document) -> None:
        """Add or replace a group."""
        entry = self._entries.get(document["app"])
        if entry is not None:
            entry.put_group(Group.of(document))

    def delete_group(self, app: str, name: str) -> None:
        """Take a group away."""
        entry = self._entries.get(app)
        if entry is not None:
            entry.delete_group(name)
