"""Applications and what hangs on them that Operations servers read: schemas, configuration layers, endpoints."""

from typing import Any, ClassVar

import mongoengine as me

from akela.documents.base import Managed, PlainField, Stored


class Application(Managed):
    """A fleet: endpoints that share schemas and configuration."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "applications",
        "indexes": ["tenant", "name", "trust", {"fields": ["tenant", "name"], "unique": True}, ("tenant", "trust", "name")],
    }  # fmt: skip
    id = me.StringField(primary_key=True)  # the application token
    tenant = me.StringField(required=True)
    name = me.StringField(required=True)
    trust = me.StringField(required=True, choices=["open", "listed", "closed"])
    claim_secrets = me.ListField(PlainField())  # {"id", "hash", "created", "expires", "quota", "revoked"}
    keys = me.ListField(PlainField())  # {"id", "algorithm", "public_key"}: who may sign its endpoints' JWTs
    default_stream = me.StringField(required=True)
    created = me.DateTimeField(required=True)


class CommonType(Managed):
    """One version of a named Avro type that a tenant's schemas may refer to (Kaa's Common Type Library)."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "types",
        "indexes": [
            "tenant", "name", {"fields": ["tenant", "key"], "unique": True}, ("tenant", "name", "version"), ("tenant", "name", "key"),
        ],
    }  # fmt: skip
    id = me.StringField(primary_key=True)  # {tenant}/{name}/{version}
    tenant = me.StringField(required=True)
    key = me.StringField(required=True)  # {name}/{version, 6 digits}
    name = me.StringField(required=True)  # fully qualified
    version = me.IntField(required=True)
    fingerprint = me.StringField(required=True)
    source = PlainField(required=True)  # as it was given, with its dependencies
    body = PlainField(required=True)  # self-contained
    references = me.ListField(me.StringField())  # {name}/{version} of each type that it uses, directly or not
    created = me.DateTimeField(required=True)


class Schema(Managed):
    """One version of one Avro schema of an application."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "schemas",
        "indexes": [
            "app", "tenant", "kind", "name", {"fields": ["app", "kind", "name", "version"], "unique": True},
            ("app", "key"), ("tenant", "key"),
            ("app", "kind", "key"), ("app", "name", "key"), ("app", "kind", "name", "key"),
        ],
    }  # fmt: skip
    id = me.StringField(primary_key=True)  # {app}/{kind}/{name}/{version}
    app = me.StringField(required=True)
    tenant = me.StringField(required=True)
    key = me.StringField(required=True)  # {kind}/{name}/{version, 6 digits}
    kind = me.StringField(required=True)
    name = me.StringField(required=True)
    version = me.IntField(required=True)
    fingerprint = me.StringField(required=True)  # CRC-64-AVRO, 16 hex digits
    body = PlainField(required=True)  # self-contained
    source = PlainField(required=True)  # as it was given
    references = me.ListField(me.StringField())
    created = me.DateTimeField(required=True)


class Configuration(Managed):
    """One configuration layer: `body` is the active version (empty when none is), `draft` the one in the making.

    Which version is active is said here alone, so activation is one write. Older versions are documents of their own.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "configurations",
        "indexes": [
            "app",
            "scope",
            "target",
            "lease_end",
            ("app", "key"),
            ("app", "scope", "key"),
            ("app", "target", "key"),
            ("app", "scope", "target", "key"),
        ],
    }
    id = me.StringField(primary_key=True)  # {app}/{name}/{scope}:{target}
    app = me.StringField(required=True)
    tenant = me.StringField(required=True)
    key = me.StringField(required=True)  # {scope}:{target}
    name = me.StringField(required=True)
    scope = me.StringField(required=True, choices=["all", "group", "owner", "endpoint"])
    target = me.StringField(required=True)
    body = PlainField(required=True)
    active = me.IntField()  # number of the active version; null: none is
    draft = PlainField()  # {"version", "body", "by", "changed"}, or null
    last = me.IntField(required=True)  # highest number given
    leases = me.ListField(PlainField())  # {"path", "until"}: what leaves the active version by itself
    lease_end = me.DateTimeField()  # of the first of them
    by = me.StringField(required=True)  # who made the active version
    changed = me.DateTimeField(required=True)


class ConfigurationVersion(Managed):
    """What a layer's active version was before another took its place. It never changes."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "configuration_versions",
        "indexes": ["app", "layer", {"fields": ["layer", "version"], "unique": True}, ("layer", "rev")],
    }
    id = me.StringField(primary_key=True)  # {layer}/{version}
    app = me.StringField(required=True)
    tenant = me.StringField(required=True)
    layer = me.StringField(required=True)
    version = me.IntField(required=True)
    body = PlainField(required=True)
    by = me.StringField(required=True)
    changed = me.DateTimeField(required=True)


class Endpoint(Managed):
    """An endpoint.

    Control owns `tenant`, `credentials`, `retired`, `revoked`, `server_profile`, `owner`, `retry`, `decided`; the rest Operations servers
    write, outside the log. The two never write one field (`akela.credentials`).
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "endpoints",
        "strict": False,
        "indexes": [
            "app",
            "revoked",
            "owner",
            "certificate_key",
            {"fields": ["app", "ep"], "unique": True},
            ("app", "revoked", "ep"),
            ("app", "owner", "ep"),
            ("app", "owner", "revoked", "ep"),
            ("app", "certificate_key"),
            ("app", "groups", "ep"),
        ],
    }
    id = me.StringField(primary_key=True)  # {app}/{ep}
    app = me.StringField(required=True)
    ep = me.StringField(required=True)
    tenant = me.StringField(required=True)
    registered_at = me.DateTimeField(required=True)
    how = me.StringField(required=True)
    claim = me.StringField()  # id of the claim secret that it registered with
    credentials = me.ListField(PlainField())  # that Control issued: {"id", "kind", "hash", "created"}
    retired = me.ListField(PlainField())  # credentials that are taken away: {"id", "created", "used"}
    issued = PlainField()  # that Operations issued: id -> {"kind", "hash", "created"}
    used = PlainField()  # id of a credential (or x509, jwt) -> when it was first used
    certificate = PlainField()  # seen last: {"subject", "serial", "not_after", "authority"}
    certificate_key = me.StringField()  # {not_after}/{ep}: what the expiry report is sorted by
    revoked = me.BooleanField(default=False)
    server_profile = PlainField()
    owner = me.StringField()  # name of one of the application's owners; null: nobody's
    retry = me.IntField()  # grows whenever an operator asks to try a held configuration again
    decided = PlainField()  # {id: accepted, rejected or cleared}: what operators said of values that the device set
    device = PlainField()  # values that the device set (`akela.contract.device_values`)
    held_values = PlainField()  # values that it proposes
    groups = me.ListField(me.StringField())  # its groups by name, without `all`: an index for queries, never trusted
    group_errors = PlainField()  # {group: reason} of filters that failed for it; absent or empty: none did
    presence = (
        PlainField()
    )  # {"at", "server", "generation", "by"}: what it was last attached to; `server` is None once it is away
    profile = PlainField()
    profile_id = me.StringField()
    config = PlainField()


class Departure(Managed):
    """An endpoint that was deleted: it does not register again until an operator adds it or lifts this."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "departures",
        "indexes": ["app", {"fields": ["app", "ep"], "unique": True}],
    }
    id = me.StringField(primary_key=True)  # {app}/{ep}
    app = me.StringField(required=True)
    ep = me.StringField(required=True)
    tenant = me.StringField(required=True)
    by = me.StringField(required=True)
    departed = me.DateTimeField(required=True)


class ClaimCount(Stored):
    """How many endpoints have registered with a claim secret. Operations servers count, outside the log; not managed."""

    meta: ClassVar[dict[str, Any]] = {"collection": "claim_counts", "indexes": ["app"]}
    id = me.StringField(primary_key=True)  # {app}/{claim}
    app = me.StringField(required=True)
    used = me.IntField(required=True)


class Evaluation(Stored):
    """How far the stored `groups` of an application's endpoints are brought to its filters. Derived, so outside the log."""

    meta: ClassVar[dict[str, Any]] = {"collection": "evaluations", "auto_create_index": False}
    id = me.StringField(primary_key=True)  # {app}
    epoch = me.IntField(required=True)  # of the leader that wrote it last; an older one writes nothing
    filters = me.StringField(required=True)  # digest of the names and filters that it is about
    state = me.StringField(required=True, choices=["running", "done"])
    cursor = me.StringField()  # endpoints up to this one are done
    done = me.IntField(required=True)
    total = me.IntField(required=True)
    written = me.IntField(required=True)  # endpoints whose stored groups changed
    counts = me.ListField(PlainField())  # {"group", "matched", "errors"}
    started = me.DateTimeField(required=True)
    ended = me.DateTimeField()
