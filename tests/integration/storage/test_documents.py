"""Indexes declared, made, checked at start; stored documents brought to the present format; times that stay times."""

from datetime import UTC, datetime

import pytest

from akela.documents import indexes, model
from akela.documents.accounts import Answered
from akela.documents.answered import complete, forget, take
from akela.documents.base import DocumentError, Stored
from akela.documents.changelog import ChangeLog, Draft
from akela.documents.model import Change
from tests.unit.documents.test_upgrades import OLD

MOMENT = datetime(2026, 11, 24, 12, 0, 0, 123000, tzinfo=UTC)


@pytest.fixture(autouse=True)
def connected(name: str) -> None:
    """A database of its own with its indexes."""


def documents() -> list[type[Stored]]:
    return [*model.KINDS.values(), Change, Answered]


def present(document: type[Stored]) -> set[tuple[str, ...]]:
    information = document.collection().index_information().values()
    return {tuple(name for name, _ in entry["key"]) for entry in information}


def test_every_declared_index_is_there_and_starting_again_changes_nothing() -> None:
    before = {document: present(document) for document in documents()}
    for document in documents():
        assert {tuple(name for name, _ in index.keys) for index in indexes.declared(document)} <= before[document]
    model.ensure_indexes()
    assert {document: present(document) for document in documents()} == before


def test_a_missing_index_is_made() -> None:
    groups = model.KINDS["group"]
    name = next(
        name for name, entry in groups.collection().index_information().items() if [k for k, _ in entry["key"]] == ["app", "weight"]
    )  # fmt: skip
    groups.collection().drop_index(name)
    assert ("app", "weight") not in present(groups)
    model.ensure_indexes()
    assert ("app", "weight") in present(groups)


def test_an_index_that_is_not_as_declared_is_refused() -> None:
    groups = model.KINDS["group"].collection()
    name = next(
        name for name, entry in groups.index_information().items() if [key for key, _ in entry["key"]] == ["app", "weight"]
    )  # fmt: skip
    groups.drop_index(name)
    groups.create_index([("app", 1), ("weight", 1)])
    with pytest.raises(
        DocumentError, match=r"collection groups: .*\(app, weight\) where \(app, weight\) unique is declared"
    ):
        model.ensure_indexes()


def test_an_index_that_stored_documents_break_is_refused() -> None:
    groups = model.KINDS["group"].collection()
    for name, entry in list(groups.index_information().items()):
        if entry.get("unique"):
            groups.drop_index(name)
    groups.insert_many([{"_id": str(n), "app": "a", "name": str(n), "weight": 1} for n in range(2)])
    with pytest.raises(DocumentError, match="stored documents break it"):
        model.ensure_indexes()


def test_old_documents_are_brought_to_the_present_format_once() -> None:
    for kind, old in OLD.items():
        model.KINDS[kind].collection().insert_one(dict(old))
    assert model.upgrade_stored() == len(OLD)
    for kind, old in OLD.items():
        stored = model.KINDS[kind].collection().find_one({"_id": old["_id"]})
        assert stored is not None
        assert stored["format"] == 2
        model.check(kind, stored)
    user = model.find_one("user", {"tenant": "default", "name": "admin"})
    assert user is not None
    assert model.upgrade_stored() == 0


def test_a_document_of_a_newer_format_is_left_alone() -> None:
    tenants = model.KINDS["tenant"].collection()
    tenants.insert_one({"_id": "t", "name": "x", "format": 99, "rev": 1})
    with pytest.raises(DocumentError, match="format 99"):
        model.upgrade_stored()
    assert tenants.find_one({"_id": "t"}) == {"_id": "t", "name": "x", "format": 99, "rev": 1}


def test_times_stay_times_when_a_document_is_written_again() -> None:
    """The embedded database gives a top-level time that `$set` wrote back as text; the log writes the whole document."""
    log = ChangeLog(1)
    log.resume()
    token = OLD["token"] | {
        "format": 2, "number": "0a1b", "kind": "api", "applications": None, "read_only": False, "created": MOMENT, "expires": MOMENT,
    }  # fmt: skip
    first = log.write(Draft("token", "put", "0a1b", token, None, "w", "t"))
    log.write(Draft("token", "put", "0a1b", token | {"revoked": True}, first, "w", "t"))
    found = model.find("token", "0a1b")
    assert found is not None
    assert (found["revoked"], found["expires"], found["created"]) == (True, MOMENT, MOMENT)


def test_a_record_of_an_idempotency_key_is_taken_once_and_kept_until_it_is_done() -> None:
    assert take("t/k", "asked", 1) is None
    there = take("t/k", "asked", 1)
    assert there is not None
    assert there["answer"] is None
    complete("t/k", "sealed")
    done = take("t/k", "other", 1)
    assert done is not None
    assert (done["answer"], done["request"]) == ("sealed", "asked")
    forget("t/k")  # what is done stays
    assert take("t/k", "asked", 9) is not None


def test_a_record_whose_server_died_or_whose_day_is_over_is_taken_again() -> None:
    assert take("t/k", "asked", 1) is None
    assert take("t/k", "asked", 2) is None  # a newer leader: the one before works on it no more
    forget("t/k")
    assert take("t/k", "asked", 2) is None
    Answered.collection().update_one({"_id": "t/k"}, {"$set": {"answer": "sealed"}})
    Answered.collection().replace_one(
        {"_id": "t/k"}, {"_id": "t/k", "request": "asked", "epoch": 2, "answer": "sealed", "expires": MOMENT}
    )
    assert take("t/k", "another", 2) is None
