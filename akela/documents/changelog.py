"""The change log: write-ahead log of everything that Control manages, source of change events, audit trail.

A write takes four steps, each a single-document operation (DESIGN section 6 says why there are no transactions):

1. the head's `find_one_and_update`, on the condition that its epoch is not above mine, takes the next sequence;
2. the change is inserted, pending, with the whole content after it;
3. it is applied (`akela.documents.applying`): one conditional write of the target (its `rev` is still the one before);
4. it is marked done, or void with the reason.

A process that dies in between leaves a pending change, or a number without one. Whoever leads next completes or voids the
first and voids the second (`resume`); so does the leader itself when the database failed in between (`repair`). `rev` is the
change's sequence, so "was this applied?" has an exact answer, and applying twice is once. A leader of an older epoch gets nothing
in step 1, and nothing it still does in steps 2 to 4 can stand after `resume` has decided otherwise (docs/decisions/0040).

Rows of a bulk change (`op` many) are one change: one number, one event, one entry of the audit trail.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError

from akela.documents.applying import (
    ENDPOINT_FIELDS,
    ExistsError,
    FencedError,
    StaleError,
    always,
    apply_change,
    lift_ghosts,
)
from akela.documents.model import Change, Content, check

__all__ = [
    "ENDPOINT_FIELDS", "MAX_ROWS", "ChangeLog", "Draft", "ExistsError", "FencedError", "StaleError", "head_seq", "heads",
]  # fmt: skip

log = logging.getLogger(__name__)

HEAD: Final = "changes"
RESUMED: Final = "resumed"  # creations that another than their writer completed: the writer may still be there, frozen
MAX_ROWS: Final = 1000  # of one bulk change: some 400 KB of endpoints, far below the 16 MB of a document
LOCKS: Final = 64
SCAN: Final = 10_000  # numbers looked at in one query


@dataclass(frozen=True, slots=True)
class Draft:
    """A change to be written. `before_rev`: the target's revision, None when it must not exist.

    Of op many `target` is what the rows belong to, and `after` is `{"rows": [...]}`: documents that are made where there are none.
    `who`, `where` (address), `token` and `request` say who asked for it.
    """

    kind: str
    op: Literal["put", "delete", "many"]
    target: str
    after: Content | None
    before_rev: int | None
    who: str
    where: str
    tenant: str | None = None
    app: str | None = None
    before: Content | None = None
    token: str | None = None
    request: str | None = None


class ChangeLog:
    """Writes under one epoch; make a new one for each leadership. `leading` tells whether it still stands."""

    def __init__(self, epoch: int, leading: Callable[[], bool] = always) -> None:
        self._epoch = self.epoch = epoch
        self._leading = leading
        self._changes: Collection[Content] = Change.collection()
        self._heads = heads()
        self._locks = [threading.Lock() for _ in range(LOCKS)]
        self._in_flight: set[int] = set()
        self._gone: set[tuple[str, str | None]] = set()  # applications and tenants that this leader has deleted
        self._broken = False  # the database failed inside a write: a number may be left without its end

    @property
    def broken(self) -> bool:
        """A write was left unfinished because the database failed: `repair` is due."""
        return self._broken

    def write(self, draft: Draft) -> int:
        """Write a change; returns its sequence, which is the target's new `rev`.

        Raises: FencedError, StaleError, ExistsError (nothing was changed); DocumentError for content that does not fit.
        """
        _check(draft)
        # Writes inside one application are one after the other, so that none of them outlives its deletion.
        with self._locks[hash(draft.app or (draft.kind, draft.target)) % LOCKS]:
            if {("application", draft.app), ("tenant", draft.tenant)} & self._gone and draft.op != "delete":
                raise StaleError(f"{draft.kind} {draft.target}: what it belongs to was deleted meanwhile")
            seq = self._recorded_and_applied(draft)
            if draft.kind in ("application", "tenant"):
                change_gone = self._gone.add if draft.op == "delete" else self._gone.discard
                change_gone((draft.kind, draft.target))
            return seq

    def resume(self) -> int:
        """Complete or void what an earlier leader left; returns how many. The first thing that a leader does."""
        head = self._fence()
        finished = self._finish(head)
        if finished:
            log.info("finished what the leader before left", extra={"changes": finished, "epoch": self._epoch})
        return finished

    def repair(self) -> int:
        """Complete or void what this leader left when the database failed; returns how many."""
        self._broken = False
        try:
            return self._finish(self._fence())
        except PyMongoError:
            self._broken = True
            raise

    def tidy(self) -> int:
        """Take away documents that a frozen writer brought back after they were deleted; returns how many. Every now and then."""
        seqs = self._resumed()
        return sum(lift_ghosts(change) for change in self._changes.find({"_id": {"$in": seqs}})) if seqs else 0

    def checked(self) -> int:
        """Up to where the log is known to be whole: no number without a change."""
        head = self._heads.find_one({"_id": HEAD}) or {}
        missing = next(self._missing(head), None)
        return self._set_checked(int(head.get("seq", 0)) if missing is None else missing - 1)

    def set_cut(self, upto: int) -> None:
        """Say that the log begins behind `upto`, before it does. Raises: FencedError."""
        condition = {"_id": HEAD, "epoch": {"$lte": self._epoch}}
        if self._heads.update_one(condition, {"$set": {"cut": upto}}).matched_count == 0:
            raise FencedError("another Control server leads")

    def _recorded_and_applied(self, draft: Draft) -> int:
        with self._number() as seq:
            change = self._pending(seq, draft)
            try:
                self._changes.insert_one(change)
            except DuplicateKeyError as error:
                raise FencedError("another Control server has taken over") from error
            if not self._leading():
                raise FencedError("another Control server may have taken over; it completes what was recorded")
            failure = apply_change(change, self._leading)
            if not self._mark(seq, failure):
                lift_ghosts(change)
                raise FencedError("another Control server has taken over, and ended what this one began")
            if failure is not None:
                raise failure
            return seq

    @contextmanager
    def _number(self) -> Iterator[int]:
        """The next sequence; while it is in use `repair` leaves it alone."""
        try:
            head = self._heads.find_one_and_update(
                {"_id": HEAD, "epoch": {"$lte": self._epoch}},
                {"$inc": {"seq": 1}, "$set": {"epoch": self._epoch}},
                return_document=ReturnDocument.AFTER,
            )
            if head is None:
                raise FencedError("another Control server leads")
            seq = int(head["seq"])
            self._in_flight.add(seq)
            try:
                yield seq
            finally:
                self._in_flight.discard(seq)
        except (PyMongoError, FencedError):
            self._broken = True
            raise

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

    def _finish(self, head: int) -> int:
        """Every number up to `head` gets a change, and every change its end."""
        finished = self._fill_gaps()
        for change in self._changes.find({"state": "pending"}).sort("n", 1):
            if change["_id"] in self._in_flight or change["_id"] > head:
                continue
            if change["op"] == "many" or (change["op"] == "put" and change["before_rev"] is None):
                self._remember(change["_id"])
            failure = apply_change(change, self._leading, resumed=True)
            self._mark(change["_id"], failure)
            finished += 1
        self._set_checked(head)
        return finished

    def _set_checked(self, head: int) -> int:
        whole = min({head + 1, *self._in_flight}) - 1
        self._heads.update_one({"_id": HEAD, "epoch": {"$lte": self._epoch}}, {"$set": {"checked": whole}})
        return whole

    def _fill_gaps(self) -> int:
        """Put a void change where a number was taken and nothing inserted."""
        head = self._heads.find_one({"_id": HEAD}) or {}
        return sum(self._insert_void(seq) for seq in list(self._missing(head)) if seq not in self._in_flight)

    def _missing(self, head: Content) -> Iterator[int]:
        """Numbers without a change; below `checked` there are none."""
        last = int(head.get("seq", 0))
        for low in range(max(int(head.get("checked", 0)), int(head.get("cut", 0))), last, SCAN):
            high = min(low + SCAN, last)
            there = {doc["n"] for doc in self._changes.find({"n": {"$gt": low, "$lte": high}}, {"n": 1})}
            yield from (seq for seq in range(low + 1, high + 1) if seq not in there)

    def _insert_void(self, seq: int) -> bool:
        why = "its writer died before it was recorded"
        void = self._pending(seq, Draft("none", "put", "", None, None, "control", "resume"))
        try:
            self._changes.insert_one(void | {"state": "void", "why": why})
        except DuplicateKeyError:
            return False
        return True

    def _pending(self, seq: int, draft: Draft) -> Content:
        after = draft.after
        if after is not None:
            after = (
                {"rows": [row | {"rev": seq} for row in after["rows"]]} if draft.op == "many" else after | {"rev": seq}
            )
        names = ("who", "where", "token", "request", "tenant", "app", "kind", "op", "target", "before_rev", "before")
        said = {name: getattr(draft, name) for name in names}
        # `n` repeats the sequence: the embedded database takes no `_id` into an index with another field, and sorts it as text.
        return {"_id": seq, "n": seq, "epoch": self._epoch, "at": datetime.now(UTC)} | said | {
            "after": after, "state": "pending", "why": None,
        }  # fmt: skip

    def _mark(self, seq: int, failure: Exception | None) -> bool:
        """Whether this writer ended the change, and nobody had before."""
        state, why = ("done", None) if failure is None else ("void", str(failure))
        ended = self._changes.update_one({"_id": seq, "state": "pending"}, {"$set": {"state": state, "why": why}})
        return ended.matched_count > 0

    def _resumed(self) -> Sequence[int]:
        return list((self._heads.find_one({"_id": RESUMED}) or {}).get("seqs", ()))

    def _remember(self, seq: int) -> None:
        cut = int((self._heads.find_one({"_id": HEAD}) or {}).get("cut", 0))
        seqs = sorted({*(known for known in self._resumed() if known > cut), seq})
        self._heads.update_one({"_id": RESUMED}, {"$set": {"seqs": seqs}}, upsert=True)


def _check(draft: Draft) -> None:
    if draft.op == "many":
        assert draft.after is not None
        rows: Sequence[Content] = draft.after["rows"]
        if not 0 < len(rows) <= MAX_ROWS:
            raise ValueError(f"a bulk change has 1 to {MAX_ROWS} rows, not {len(rows)}")
        for row in rows:
            check(draft.kind, row)
    elif draft.after is not None:
        check(draft.kind, draft.after)


def heads() -> Collection[Content]:
    """Where the log's head is kept: the last number taken, the epoch, how far it was checked and cut."""
    collection: Collection[Content] = Change.collection().database["heads"]
    return collection


def head_seq() -> int:
    """The last number taken."""
    head: Mapping[str, Any] | None = heads().find_one({"_id": HEAD})
    return 0 if head is None else int(head["seq"])
