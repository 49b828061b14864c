"""What an application defines by name: groups, notification topics, streams, sinks, owners, verifiers. Shape and indexes."""

from typing import Any, ClassVar

import mongoengine as me

from akela.documents.base import Managed, PlainField

_BY_NAME: list[Any] = ["app", "name", {"fields": ["app", "name"], "unique": True}]


class Definition(Managed):
    """What they have in common."""

    meta: ClassVar[dict[str, Any]] = {"abstract": True, "auto_create_index": False}
    id = me.StringField(primary_key=True)  # {app}/{name}
    app = me.StringField(required=True)
    tenant = me.StringField(required=True)
    name = me.StringField(required=True)
    created = me.DateTimeField(required=True)
    changed = me.DateTimeField(required=True)


class Group(Definition):
    """Endpoints that a filter picks. `all` (weight 0, everyone) is not stored."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "groups",
        "indexes": [*_BY_NAME, "weight", {"fields": ["app", "weight"], "unique": True}],
    }
    weight = me.IntField(required=True)
    filter = me.StringField(required=True)  # CEL
    description = me.StringField()


class Topic(Definition):
    """A notification topic; `groups` are those whose members hear it or may subscribe."""

    meta: ClassVar[dict[str, Any]] = {"collection": "topics", "indexes": _BY_NAME}
    mandatory = me.BooleanField(required=True)
    groups = me.ListField(me.StringField())
    replay = me.BooleanField(required=True)  # a new endpoint gets what was sent before it registered
    ttl_s = me.IntField(required=True)
    schema_name = me.StringField()
    description = me.StringField()


class Stream(Definition):
    """A stream of records, and the sinks that must have each of them."""

    meta: ClassVar[dict[str, Any]] = {"collection": "streams", "indexes": _BY_NAME}
    schema_name = me.StringField()
    sinks = me.ListField(PlainField())  # {"sink", "required", "filter"}
    time_key = me.StringField()
    description = me.StringField()


class Sink(Definition):
    """Where records go. `secret` is never shown."""

    meta: ClassVar[dict[str, Any]] = {"collection": "sinks", "indexes": [*_BY_NAME, "kind", ("app", "kind", "name")]}
    kind = me.StringField(required=True, choices=["mongodb", "file", "kafka", "webhook", "mqtt"])
    settings = PlainField(required=True)
    secret = me.StringField()
    description = me.StringField()


class Owner(Definition):
    """Who owns endpoints."""

    meta: ClassVar[dict[str, Any]] = {"collection": "owners", "indexes": _BY_NAME}
    verifier = me.StringField()
    description = me.StringField()


class Verifier(Definition):
    """Who says that somebody is an owner: anyone (trusting), a signed token (jwt), or a web service (webhook)."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "verifiers",
        "indexes": [*_BY_NAME, "kind", ("app", "kind", "name")],
    }
    kind = me.StringField(required=True, choices=["trusting", "jwt", "webhook"])
    settings = PlainField(required=True)
    secret = me.StringField()
    description = me.StringField()


class Authority(Definition):
    """Who signs the certificates of an application's endpoints."""

    meta: ClassVar[dict[str, Any]] = {"collection": "authorities", "indexes": [*_BY_NAME, "subject"]}
    certificate = me.StringField(required=True)  # PEM
    subject = me.StringField(required=True)  # of that certificate (RFC 4514)
    key_id = me.StringField(required=True)  # SHA-256 of its public key, hex
    not_after = me.DateTimeField(required=True)
    names = me.StringField(
        required=True, choices=["cn", "dns", "uri"]
    )  # where an endpoint's certificate says who it is
    pattern = me.StringField(required=True)  # what it says there, with {ep} for the endpoint id
    description = me.StringField()
