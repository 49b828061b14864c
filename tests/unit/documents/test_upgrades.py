"""Old stored documents, of every kind that has an upgrade step, as they were written then."""

from datetime import UTC, datetime
from typing import Any

import pytest

from akela.documents import model
from akela.documents.base import DocumentError
from akela.documents.upgrades import STEPS, format_of, sort_key, upgraded

THEN = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
# Format 1, read out of a database of the first commit that had `akela up`.
OLD: dict[str, dict[str, Any]] = {
    "tenant": {"_id": "default", "name": "Default", "format": 1, "rev": 1},
    "user": {
        "_id": "admin", "tenant": "default", "roles": ["platform-admin"], "password": "$argon2id$x", "format": 1, "rev": 2,
    },
    "token": {
        "_id": "0a1b", "tenant": "default", "user": "admin", "name": "login", "roles": ["platform-admin"], "hash": "00",
        "created": THEN, "expires": THEN, "revoked": False, "format": 1, "rev": 3,
    },
    "application": {
        "_id": "abcd2345", "tenant": "default", "name": "demo", "trust": "open", "claim_secrets": [{"id": "c1", "hash": "11"}],
        "default_stream": "values", "created": THEN, "format": 1, "rev": 4,
    },
    "schema": {
        "_id": "abcd2345/log/readings/2", "app": "abcd2345", "tenant": "default", "kind": "log", "name": "readings", "version": 2,
        "fingerprint": "8f5c393f1ad57572", "body": "int", "created": THEN, "format": 1, "rev": 5,
    },
    "configuration": {
        "_id": "abcd2345/default/endpoint:e1", "app": "abcd2345", "tenant": "default", "name": "default", "scope": "endpoint",
        "target": "e1", "body": {"n": 1}, "changed": THEN, "format": 1, "rev": 6,
    },
}  # fmt: skip


def test_every_kind_with_a_step_has_an_old_document_here() -> None:
    assert STEPS.keys() == OLD.keys()


@pytest.mark.parametrize("kind", OLD)
def test_an_old_document_becomes_one_that_fits(kind: str) -> None:
    before = dict(OLD[kind])
    fresh = upgraded(OLD[kind], kind)
    assert OLD[kind] == before  # a step returns a new document
    assert fresh["format"] == format_of(kind)
    model.check(kind, fresh)
    assert (
        fresh.items()
        >= {k: v for k, v in before.items() if k not in ("format", "claim_secrets", "fingerprint")}.items()
    )
    assert upgraded(fresh, kind) == fresh


def test_what_the_steps_add() -> None:
    assert upgraded(OLD["user"], "user")["name"] == "admin"
    assert upgraded(OLD["token"], "token")["kind"] == "login"
    assert upgraded(OLD["token"] | {"name": "tool"}, "token")["kind"] == "api"
    assert upgraded(OLD["application"], "application")["claim_secrets"] == [
        {"id": "c1", "hash": "11", "created": THEN, "expires": None, "quota": None, "revoked": False}
    ]
    schema = upgraded(OLD["schema"], "schema")
    assert (schema["key"], schema["source"], schema["fingerprint"]) == (
        "log/readings/000002",
        "int",
        "7275d51a3f395c8f",
    )
    assert upgraded(OLD["configuration"], "configuration")["key"] == "endpoint:e1"


@pytest.mark.parametrize("number", [0, 99, None, "1", True, -1])
def test_a_format_that_this_build_does_not_know_is_refused(number: object) -> None:
    with pytest.raises(DocumentError, match=r"tenant default: format .*; this build reads 1 to 2"):
        upgraded(OLD["tenant"] | {"format": number}, "tenant")


def test_keys_sort_as_their_parts_do() -> None:
    assert sorted([sort_key("a", 10), sort_key("a", 9), sort_key("b", 1)]) == [
        sort_key("a", 9),
        sort_key("a", 10),
        sort_key("b", 1),
    ]
