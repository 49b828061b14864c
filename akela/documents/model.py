"""The documents that Control manages: which kinds there are, how they are found, and the change log's entry.

Shapes and indexes: `accounts`, `fleet`, `definitions`; formats: `upgrades`. Rules live elsewhere.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import mongoengine as me
from mongoengine.errors import ValidationError as DocumentValidationError
from pymongo.errors import PyMongoError

from akela.documents import indexes, upgrades
from akela.documents.accounts import Answered, Tenant, Token, User
from akela.documents.base import Content, DocumentError, Managed, PlainField, Stored
from akela.documents.definitions import Authority, Group, Owner, Sink, Stream, Topic, Verifier
from akela.documents.fleet import (
    Application,
    ClaimCount,
    CommonType,
    Configuration,
    ConfigurationVersion,
    Departure,
    Endpoint,
    Schema,
)
from akela.documents.numbers import PLAIN_NUMBERS

log = logging.getLogger(__name__)

TIMEOUT_MS: Final = 5000

DatabaseError = PyMongoError


# What the audit trail is asked for, newest first; an application and a target belong to one tenant. The embedded database uses a compound
# index only if each field that is compared has one of its own (docs/decisions/0030).
CHANGE_INDEXES: Final = [
    "n", "state", "tenant", "kind", "app", "who", "target",
    ("tenant", "n"), ("kind", "n"), ("who", "n"), ("tenant", "kind", "n"), ("tenant", "who", "n"), ("app", "n"), ("target", "n"),
]  # fmt: skip


class Change(Stored):
    """One entry of the change log; see `akela.documents.changelog`."""

    meta: ClassVar[dict[str, Any]] = {"collection": "changes", "indexes": CHANGE_INDEXES}
    id = me.IntField(primary_key=True)  # the sequence
    n = me.IntField(
        required=True
    )  # the same: the embedded database sorts `_id` as text, and takes it into no other index
    epoch = me.IntField(required=True)
    at = me.DateTimeField(required=True)
    who = me.StringField(required=True)
    where = me.StringField(required=True)  # address
    token = me.StringField()
    request = me.StringField()
    tenant = me.StringField()
    app = me.StringField()
    kind = me.StringField(required=True)
    op = me.StringField(required=True)
    target = me.StringField(required=True)
    before_rev = me.IntField()
    before = PlainField()
    after = PlainField()
    state = me.StringField(required=True, choices=["pending", "done", "void"])
    why = me.StringField()


KINDS: Final[Mapping[str, type[Managed]]] = {
    "tenant": Tenant,
    "user": User,
    "token": Token,
    "application": Application,
    "schema": Schema,
    "configuration": Configuration,
    "configuration-version": ConfigurationVersion,
    "endpoint": Endpoint,
    "type": CommonType,
    "group": Group,
    "topic": Topic,
    "stream": Stream,
    "sink": Sink,
    "owner": Owner,
    "verifier": Verifier,
    "authority": Authority,
    "departure": Departure,
}
# Kinds whose documents hang on an application and carry its token as `app`; they go with it.
DEPENDENTS: Final = tuple(kind for kind, document in KINDS.items() if "app" in document._fields)


def connect(uri: str, database: str) -> None:
    """Connect the documents of this process; the first query tells whether somebody is there."""
    me.connect(
        db=database, host=uri, tz_aware=True, uuidRepresentation="standard", retryWrites=False,
        serverSelectionTimeoutMS=TIMEOUT_MS, connectTimeoutMS=TIMEOUT_MS, socketTimeoutMS=30_000,
        type_registry=PLAIN_NUMBERS,
    )  # fmt: skip


def disconnect() -> None:
    """Close the connection."""
    me.disconnect()


def ensure_indexes() -> None:
    """Make the indexes that are declared and not there. Raises: DocumentError for one that is not as declared."""
    documents: list[type[Stored]] = [*KINDS.values(), Change, Answered, ClaimCount]
    for document in documents:
        indexes.ensure(document)


def upgrade_stored() -> int:
    """Write the documents of an older format in the present one; returns how many. What the leader does before it writes."""
    heads = Change.collection().database["heads"]
    present = {kind: upgrades.format_of(kind) for kind in upgrades.STEPS}
    known = heads.find_one({"_id": "formats"}) or {}
    written = 0
    for kind in (kind for kind in present if known.get(kind) != present[kind]):
        collection = KINDS[kind].collection()
        for raw in list(collection.find({})):
            if raw.get("format") != present[kind]:
                upgraded = upgrades.upgraded(raw, kind)
                written += collection.replace_one({"_id": raw["_id"], "rev": raw["rev"]}, upgraded).matched_count
    if known != {"_id": "formats"} | present:
        heads.replace_one({"_id": "formats"}, {"_id": "formats"} | present, upsert=True)
    if written:
        log.info("brought stored documents to the present format", extra={"documents": written})
    return written


def find(kind: str, target: str) -> Content | None:
    """A document by its id, or None. Raises: DocumentError for a format that this build does not know."""
    raw = KINDS[kind].collection().find_one({"_id": target})
    return None if raw is None else upgrades.upgraded(raw, kind)


def find_one(kind: str, where: Mapping[str, Any]) -> Content | None:
    """The one document that fits `where`, or None."""
    return next(query(kind, where, sort=None, limit=1), None)


def query(
    kind: str, where: Mapping[str, Any], *, sort: str | None, descending: bool = False, limit: int = 0
) -> Iterator[Content]:
    """Documents that fit `where`, by `sort`: an indexed field, never `_id` (docs/decisions/0030)."""
    cursor = KINDS[kind].collection().find(dict(where))
    if sort is not None:
        cursor = cursor.sort(sort, -1 if descending else 1)
    for raw in cursor.limit(limit) if limit else cursor:
        yield upgrades.upgraded(raw, kind)


def endpoint_versions(app: str, limit: int) -> Iterator[Content]:
    """What an application's endpoints said that they run, by id: `ep`, `versions`."""
    cursor = Endpoint.collection().find({"app": app}, {"ep": 1, "versions": 1}).sort("ep", 1)
    yield from cursor.limit(limit)


def check(kind: str, content: Content) -> None:
    """Refuse content that does not fit its document. Raises: DocumentError naming the field."""
    values = {("id" if key == "_id" else key): value for key, value in content.items()}
    try:
        KINDS[kind](**values).validate()
    except (DocumentValidationError, me.FieldDoesNotExist) as error:
        raise DocumentError(f"{kind}: {error}") from error


__all__ = [
    "DEPENDENTS", "KINDS", "Answered", "Change", "ClaimCount", "Configuration", "Content", "DatabaseError", "DocumentError", "Endpoint",
    "User", "check", "connect", "disconnect", "endpoint_versions", "ensure_indexes", "find", "find_one", "query", "upgrade_stored",
]  # fmt: skip
