"""The documents that Control manages: shape, indexes, format. Rules live elsewhere.

`rev` is the sequence of the change that wrote the document last, so it never repeats. `format` is the number of the shape;
a build refuses a document of a format that it does not know.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import mongoengine as me
from mongoengine.base import BaseField
from mongoengine.errors import ValidationError as DocumentValidationError
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from akela.errors import AkelaError

FORMAT: Final = 1
TIMEOUT_MS: Final = 5000

DatabaseError = PyMongoError
Content = dict[str, Any]


class DocumentError(AkelaError):
    """A stored document cannot be read, or content does not fit its shape."""


class PlainField(BaseField):  # type: ignore[misc]
    """A JSON value as it is, whatever its keys."""


class Managed(me.Document):  # type: ignore[misc]
    """What every managed document has."""

    meta: ClassVar[dict[str, Any]] = {"abstract": True, "auto_create_index": False}

    format = me.IntField(required=True, default=FORMAT)
    rev = me.IntField(required=True, default=0)

    @classmethod
    def collection(cls) -> Collection[Content]:
        """The collection behind the document."""
        return cls._get_collection()  # type: ignore[no-any-return]


class Tenant(Managed):
    """Who owns applications and users."""

    meta: ClassVar[dict[str, Any]] = {"collection": "tenants"}
    id = me.StringField(primary_key=True)
    name = me.StringField(required=True)


class User(Managed):
    """A person who may sign in."""

    meta: ClassVar[dict[str, Any]] = {"collection": "users", "indexes": ["tenant"]}
    id = me.StringField(primary_key=True)  # the name, unique over all tenants
    tenant = me.StringField(required=True)
    roles = me.ListField(me.StringField(), required=True)
    password = me.StringField(required=True)  # argon2


class Token(Managed):
    """An API token; its text is shown once, its SHA-256 stored."""

    meta: ClassVar[dict[str, Any]] = {"collection": "tokens", "indexes": ["tenant", "user"]}
    id = me.StringField(primary_key=True)
    tenant = me.StringField(required=True)
    user = me.StringField(required=True)
    name = me.StringField(required=True)
    roles = me.ListField(me.StringField(), required=True)
    hash = me.StringField(required=True)
    created = me.DateTimeField(required=True)
    expires = me.DateTimeField()
    revoked = me.BooleanField(default=False)


class Application(Managed):
    """A fleet: endpoints that share schemas and configuration."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "applications",
        "indexes": [{"fields": ["tenant", "name"], "unique": True}],
    }
    id = me.StringField(primary_key=True)  # the application token
    tenant = me.StringField(required=True)
    name = me.StringField(required=True)
    trust = me.StringField(required=True, choices=["open", "listed", "closed"])
    claim_secrets = me.ListField(PlainField())  # {"id", "hash"}
    default_stream = me.StringField(required=True, default="values")
    created = me.DateTimeField(required=True)


class Schema(Managed):
    """One version of one Avro schema of an application."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "schemas",
        "indexes": [{"fields": ["app", "kind", "name", "version"], "unique": True}],
    }
    id = me.StringField(primary_key=True)  # {app}/{kind}/{name}/{version}
    app = me.StringField(required=True)
    tenant = me.StringField(required=True)
    kind = me.StringField(required=True)
    name = me.StringField(required=True)
    version = me.IntField(required=True)
    fingerprint = me.StringField(required=True)  # CRC-64-AVRO, 16 hex digits
    body = PlainField(required=True)
    created = me.DateTimeField(required=True)


class Configuration(Managed):
    """One active configuration layer."""

    meta: ClassVar[dict[str, Any]] = {"collection": "configurations", "indexes": [("app", "scope")]}
    id = me.StringField(primary_key=True)  # {app}/{name}/{scope}:{target}
    app = me.StringField(required=True)
    tenant = me.StringField(required=True)
    name = me.StringField(required=True, default="default")
    scope = me.StringField(required=True, choices=["all", "endpoint"])
    target = me.StringField(required=True)
    body = PlainField(required=True)
    changed = me.DateTimeField(required=True)


class Endpoint(Managed):
    """An endpoint. Control owns `tenant`, `credentials`, `revoked`; the rest Operations servers write, outside the log."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "endpoints",
        "strict": False,
        "indexes": [{"fields": ["app", "ep"], "unique": True}],
    }
    id = me.StringField(primary_key=True)  # {app}/{ep}
    app = me.StringField(required=True)
    ep = me.StringField(required=True)
    tenant = me.StringField(required=True)
    registered_at = me.DateTimeField(required=True)
    how = me.StringField(required=True)
    credentials = me.ListField(PlainField())
    revoked = me.BooleanField(default=False)
    presence = PlainField()  # {"at", "server"}: last attached to or detached from, None when it is away
    profile = PlainField()
    profile_id = me.StringField()
    config = PlainField()


class Change(me.Document):  # type: ignore[misc]
    """One entry of the change log; see `akela.documents.changelog`."""

    meta: ClassVar[dict[str, Any]] = {"collection": "changes", "auto_create_index": False, "indexes": ["state"]}
    id = me.IntField(primary_key=True)  # the sequence
    epoch = me.IntField(required=True)
    at = me.DateTimeField(required=True)
    who = me.StringField(required=True)
    where = me.StringField(required=True)
    tenant = me.StringField()
    app = me.StringField()
    kind = me.StringField(required=True)
    op = me.StringField(required=True)
    target = me.StringField(required=True)
    before_rev = me.IntField()
    after = PlainField()
    state = me.StringField(required=True, choices=["pending", "done", "void"])
    why = me.StringField()

    @classmethod
    def collection(cls) -> Collection[Content]:
        """The collection behind the log."""
        return cls._get_collection()  # type: ignore[no-any-return]


KINDS: Final[Mapping[str, type[Managed]]] = {
    "tenant": Tenant,
    "user": User,
    "token": Token,
    "application": Application,
    "schema": Schema,
    "configuration": Configuration,
    "endpoint": Endpoint,
}


def connect(uri: str, database: str) -> None:
    """Connect the documents of this process; the first query tells whether somebody is there."""
    me.connect(
        db=database, host=uri, tz_aware=True, uuidRepresentation="standard", retryWrites=False,
        serverSelectionTimeoutMS=TIMEOUT_MS, connectTimeoutMS=TIMEOUT_MS, socketTimeoutMS=30_000,
    )  # fmt: skip


def disconnect() -> None:
    """Close the connection."""
    me.disconnect()


def ensure_indexes() -> None:
    """Make the indexes that are declared and not there."""
    documents: list[Any] = [*KINDS.values(), Change]
    for document in documents:
        document.ensure_indexes()


def find(kind: str, target: str) -> Content | None:
    """A document by its id, or None. Raises: DocumentError for a format that this build does not know."""
    raw = KINDS[kind].collection().find_one({"_id": target})
    return None if raw is None else _known(raw)


def query(
    kind: str, where: Mapping[str, Any], *, sort: str = "_id", descending: bool = False, limit: int = 0
) -> Iterator[Content]:
    """Documents that fit `where`, by `sort`."""
    cursor = KINDS[kind].collection().find(dict(where)).sort(sort, -1 if descending else 1)
    for raw in cursor.limit(limit) if limit else cursor:
        yield _known(raw)


def check(kind: str, content: Content) -> None:
    """Refuse content that does not fit its document. Raises: DocumentError naming the field."""
    values = {("id" if key == "_id" else key): value for key, value in content.items()}
    try:
        KINDS[kind](**values).validate()
    except (DocumentValidationError, me.FieldDoesNotExist) as error:
        raise DocumentError(f"{kind}: {error}") from error


def _known(raw: Content) -> Content:
    if raw.get("format") != FORMAT:
        raise DocumentError(f"{raw['_id']}: format {raw.get('format')!r}; this build reads {FORMAT}")
    return raw
