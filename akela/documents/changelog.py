"""The change log: write-ahead log of everything that Control manages, source of change events, audit trail.

A write takes four steps, each a single-document operation (DESIGN section 6 says why there are no transactions):

1. the head's `find_one_and_update`, on the condition that its epoch is not above mine, takes the next sequence;
2. the change is inserted, pending, with the whole content after it;
3. it is applied: one conditional write of the target (its `rev` is still the one before);
4. it is marked done, or void with the reason.

A process that dies in between leaves a pending change, or a number without one. Whoever leads next completes or voids the
first and voids the second (`resume`). `rev` is the change's sequence, so "was this applied?" has an exact answer, and applying
twice is once. A leader of an older epoch gets nothing in step 1, and nothing it still does in steps 2 to 4 can go through after
`resume` has decided otherwise.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from akela.documents.model import DEPENDENTS, KINDS, Change, Content, check
from akela.errors import AkelaError

log = logging.getLogger(__name__)

HEAD: Final = "changes"
ENDPOINT_FIELDS: Final = ("tenant", "credentials", "revoked", "server_profile")  # of an endpoint: what Control owns


class FencedError(AkelaError):
    """Another Control server leads under a newer epoch; nothing was written."""


class StaleError(AkelaError):
    """The target is not, or no longer, at the revision that the write was based on."""


class ExistsError(AkelaError):
    """The target is there already, or something else has its unique name."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A change to be written. `before_rev`: the target's revision, None when it must not exist."""

    kind: str
    op: Literal["put", "delete"]
    target: str
    after: Content | None
    before_rev: int | None
    who: str
    where: str
    tenant: str | None = None
    app: str | None = None


class ChangeLog:
    """Writes under one epoch; make a new one for each leadership."""

    def __init__(self, epoch: int) -> None:
        self._epoch = self.epoch = epoch
        self._changes: Collection[Content] = Change.collection()
        self._heads: Collection[Content] = self._changes.database["heads"]

    def write(self, draft: Draft) -> int:
        """Write a change; returns its sequence, which is the target's new `rev`.

        Raises: FencedError, StaleError, ExistsError (nothing was changed); DocumentError for content that does not fit.
        """
        if draft.after is not None:
            check(draft.kind, draft.after)
        seq = self._take_number()
        change = self._pending(seq, draft)
        try:
            self._changes.insert_one(change)
        except DuplicateKeyError as error:
            raise FencedError("another Control server has taken over") from error
        failure = apply_change(change)
        if failure is None:
            self._mark(seq, "done", None)
            return seq
        self._mark(seq, "void", str(failure))
        raise failure

    def resume(self) -> int:
        """Complete or void what an earlier leader left; returns how many. The first thing that a leader does."""
        head = self._fence()
        finished = self._fill_gaps(head)
        for change in self._changes.find({"state": "pending"}).sort("_id", 1):
            failure = apply_change(change)
            self._mark(change["_id"], *(("done", None) if failure is None else ("void", str(failure))))
            finished += 1
        if finished:
            log.info("finished what the leader before left", extra={"changes": finished, "epoch": self._epoch})
        return finished

    def _take_number(self) -> int:
        head = self._heads.find_one_and_update(
            {"_id": HEAD, "epoch": {"$lte": self._epoch}},
            {"$inc": {"seq": 1}, "$set": {"epoch": self._epoch}},
            return_document=ReturnDocument.AFTER,
        )
        if head is None:
            raise FencedError("another Control server leads")
        return int(head["seq"])

    def _fence(self) -> int:
        """Raise the head's epoch to mine, so that no older leader gets a number; returns the last one taken."""
        try:
            self._heads.insert_one({"_id": HEAD, "seq": 0, "epoch": self._epoch})
        except DuplicateKeyError:
            head = self._heads.find_one_and_update(
                {"_id": HEAD, "epoch": {"$lte": self._epoch}},
                {"$set": {"epoch": self._epoch}},
                return_document=ReturnDocument.AFTER,
            )
            if head is None:
                raise FencedError("another Control server leads") from None
            return int(head["seq"])
        return 0

    def _fill_gaps(self, head: int) -> int:
        """Put a void change where a number was taken and nothing inserted. Only the last stretch can have gaps."""
        filled = 0
        seq = head
        while seq > 0 and (filled < head):
            void = self._pending(seq, Draft("none", "put", "", None, None, "control", "resume")) | {
                "state": "void",
                "why": "its writer died before it was recorded",
            }
            try:
                self._changes.insert_one(void)
            except DuplicateKeyError:
                break
            filled += 1
            seq -= 1
        return filled

    def _pending(self, seq: int, draft: Draft) -> Content:
        after = None if draft.after is None else draft.after | {"rev": seq}
        return {
            "_id": seq,
            "epoch": self._epoch,
            "at": datetime.now(UTC),
            "who": draft.who,
            "where": draft.where,
            "tenant": draft.tenant,
            "app": draft.app,
            "kind": draft.kind,
            "op": draft.op,
            "target": draft.target,
            "before_rev": draft.before_rev,
            "after": after,
            "state": "pending",
        }

    def _mark(self, seq: int, state: str, why: str | None) -> None:
        self._changes.update_one({"_id": seq, "state": "pending"}, {"$set": {"state": state, "why": why}})


def apply_change(change: Mapping[str, Any]) -> StaleError | ExistsError | None:
    """Step 3: bring the target to what the change says; again is once. Returns why it cannot be."""
    collection = KINDS[change["kind"]].collection()
    target, seq = change["target"], change["_id"]
    if change["op"] == "delete":
        return _delete(collection, change)
    if change["before_rev"] is None:
        try:
            collection.insert_one(dict(change["after"]))
        except DuplicateKeyError:
            found = collection.find_one({"_id": target})
            if found is None or found.get("rev") != seq:
                return ExistsError(f"{change['kind']} {target}: it is there already, or its name is taken")
        return None
    condition = {"_id": target, "rev": change["before_rev"]}
    try:
        matched = _replace(collection, condition, change)
    except DuplicateKeyError:
        return ExistsError(f"{change['kind']} {target}: its name is taken")
    if matched == 0:
        found = collection.find_one({"_id": target})
        if found is None or found.get("rev") != seq:
            return StaleError(f"{change['kind']} {target} was changed meanwhile")
    return None


def _replace(collection: Collection[Content], condition: Content, change: Mapping[str, Any]) -> int:
    """Write the whole, which keeps times as times also in the embedded database; of an endpoint only what Control owns."""
    after: Content = change["after"]
    if change["kind"] != "endpoint":
        return collection.replace_one(condition, after).matched_count
    owned = {key: after[key] for key in (*ENDPOINT_FIELDS, "rev") if key in after}
    return collection.update_one(condition, {"$set": owned}).matched_count


def _delete(collection: Collection[Content], change: Mapping[str, Any]) -> StaleError | None:
    found = collection.find_one({"_id": change["target"]})
    if found is None:
        return None
    if found.get("rev") != change["before_rev"]:
        return StaleError(f"{change['kind']} {change['target']} was changed meanwhile")
    if (
        change["kind"] == "application"
    ):  # many documents, one change: each step repeats harmlessly, the application goes last
        for kind in DEPENDENTS:
            KINDS[kind].collection().delete_many({"app": change["target"]})
    elif change["kind"] == "configuration":
        KINDS["configuration-version"].collection().delete_many({"layer": change["target"]})
    collection.delete_one({"_id": change["target"], "rev": change["before_rev"]})
    return None


def head_seq() -> int:
    """The last number taken."""
    head = Change.collection().database["heads"].find_one({"_id": HEAD})
    return 0 if head is None else int(head["seq"])


def read(after_seq: int, limit: int, where: Mapping[str, Any] | None = None) -> Iterator[Content]:
    """Changes behind `after_seq`, in sequence."""
    condition = {"_id": {"$gt": after_seq}} | dict(where or {})
    return iter(Change.collection().find(condition).sort("_id", 1).limit(limit))
