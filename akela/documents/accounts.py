"""Tenants, people and their tokens: shape and indexes. Names are unique within their tenant, so none tells of another tenant."""

from typing import Any, ClassVar

import mongoengine as me

from akela.documents.base import Managed, PlainField, Stored


class Tenant(Managed):
    """Who owns applications and users."""

    meta: ClassVar[dict[str, Any]] = {"collection": "tenants", "indexes": ["tenant"]}
    id = me.StringField(primary_key=True)
    tenant = me.StringField()  # its own id again: lists are paged by it
    name = me.StringField(required=True)


class User(Managed):
    """A person who may sign in."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "users",
        "indexes": ["tenant", "name", {"fields": ["tenant", "name"], "unique": True}],
    }
    id = me.StringField(primary_key=True)  # {tenant}/{name}
    tenant = me.StringField(required=True)
    name = me.StringField(required=True)
    roles = me.ListField(me.StringField(), required=True)
    password = me.StringField(required=True)  # argon2
    created = me.DateTimeField()


class Token(Managed):
    """An API token; its text is shown once, its SHA-256 stored."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "tokens",
        "indexes": ["tenant", "user", ("tenant", "number"), ("tenant", "user", "number")],
    }
    id = me.StringField(primary_key=True)
    number = me.StringField(required=True)  # the id again: the embedded database pages by indexed fields, not by `_id`
    tenant = me.StringField(required=True)
    user = me.StringField(required=True)
    name = me.StringField(required=True)
    kind = me.StringField(required=True, choices=["login", "api"])
    roles = me.ListField(me.StringField(), required=True)
    applications = me.ListField(me.StringField(), null=True)  # null: all of the tenant's
    read_only = me.BooleanField(required=True)
    hash = me.StringField(required=True)
    created = me.DateTimeField(required=True)
    expires = me.DateTimeField()
    revoked = me.BooleanField(default=False)


class Answered(Stored):
    """The answer to a request with an Idempotency-Key, sealed with what only its sender has. Not managed: no rev, no log."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "answered",
        "indexes": [{"fields": ["expires"], "expireAfterSeconds": 0}],
    }
    id = me.StringField(primary_key=True)
    request = me.StringField(required=True)  # SHA-256 of what was asked
    epoch = me.IntField(required=True)  # of the Control server that took it
    answer = PlainField()  # null while it is worked on
    expires = me.DateTimeField(required=True)
