"""Step 3 of a write: bring the stored documents to what a change says. Applying again is once.

Every write here has a condition that a change of a later number makes false: the target's `rev`, which never repeats. The exception is
a creation, which finds nothing to compare: whoever completes another's creation asks the log whether it was deleted since, and what a
frozen writer brings back after a deletion is taken away again (`lift_ghosts`; docs/decisions/0040).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from akela.documents.model import DEPENDENTS, KINDS, Change, ClaimCount, Content
from akela.errors import AkelaError

# Of an endpoint: what Control owns.
ENDPOINT_FIELDS: Final = ("tenant", "credentials", "retired", "revoked", "server_profile", "owner", "retry", "decided")
BATCH: Final = 250  # rows in one insert: a leader that lost its session stops after at most so many
DUPLICATE_KEY: Final = 11000

ChangeDocument = Mapping[str, Any]


class FencedError(AkelaError):
    """Another Control server leads under a newer epoch, or may: this one does not go on."""


class StaleError(AkelaError):
    """The target is not, or no longer, at the revision that the write was based on."""


class ExistsError(AkelaError):
    """The target is there already, or something else has its unique name."""


Failure = StaleError | ExistsError


def always() -> bool:
    """A leader that nobody doubts."""
    return True


def apply_change(
    change: ChangeDocument, leading: Callable[[], bool] = always, *, resumed: bool = False
) -> Failure | None:
    """Apply; returns why it cannot be. `resumed`: by another than its writer, so later changes may have been applied already.

    Raises: FencedError inside a bulk change when `leading` says no; it is left pending.
    """
    collection = KINDS[change["kind"]].collection()
    if resumed and (failure := _superseded(change)):
        return failure
    if change["op"] == "many":
        _insert_rows(collection, change, leading, resumed=resumed)
        return None
    if change["op"] == "delete":
        return _delete(collection, change)
    if change["before_rev"] is None:
        return None if resumed and _deleted_later(change, [change["target"]]) else _insert(collection, change)
    return _replace(collection, change)


def lift_ghosts(change: ChangeDocument) -> int:
    """Take away what `change` made and somebody deleted later, if it is there again; returns how many documents."""
    if change["op"] == "delete" or change["kind"] not in KINDS:
        return 0
    collection = KINDS[change["kind"]].collection()
    seq = change["_id"]
    targets = [row["_id"] for row in _rows(change)]
    if _superseded(change) is None:
        targets = sorted(_deleted_later(change, targets))
    if not targets:
        return 0
    return collection.delete_many({"_id": {"$in": targets}, "rev": seq}).deleted_count


def _rows(change: ChangeDocument) -> Sequence[Content]:
    rows: Sequence[Content] = change["after"]["rows"] if change["op"] == "many" else [change["after"]]
    return rows


def _superseded(change: ChangeDocument) -> StaleError | None:
    """Why nothing of a change may stand any more: what it belongs to was deleted later."""
    app = change["app"]
    if app is None or change["kind"] == "application":
        return None
    later = {"kind": "application", "target": app, "n": {"$gt": change["_id"]}, "op": "delete", "state": "done"}
    if Change.collection().find_one(later) is None:
        return None
    return StaleError(f"{change['kind']} {change['target']}: its application was deleted meanwhile")


def _deleted_later(change: ChangeDocument, targets: Sequence[str]) -> set[str]:
    """Those of `targets` that a later change has deleted."""
    later = {
        "kind": change["kind"], "target": {"$in": list(targets)}, "n": {"$gt": change["_id"]}, "op": "delete", "state": "done",
    }  # fmt: skip
    return {found["target"] for found in Change.collection().find(later, {"target": 1})}


def _is_mine(collection: Collection[Content], change: ChangeDocument) -> bool:
    """Whether the target is as `change` left it: it was applied before."""
    found = collection.find_one({"_id": change["target"]})
    return found is not None and found.get("rev") == change["_id"]


def _insert(collection: Collection[Content], change: ChangeDocument) -> ExistsError | None:
    try:
        collection.insert_one(dict(change["after"]))
    except DuplicateKeyError:
        if not _is_mine(collection, change):
            return ExistsError(f"{change['kind']} {change['target']}: it is there already, or its name is taken")
    if change["kind"] == "endpoint":
        _readmit(change, [change["target"]])
    return None


def _readmit(change: ChangeDocument, targets: Sequence[str]) -> None:
    """Endpoints that are made again are no longer departed."""
    KINDS["departure"].collection().delete_many({"_id": {"$in": list(targets)}, "rev": {"$lt": change["_id"]}})


def _depart(change: ChangeDocument, endpoint: Content) -> None:
    """Remember that an endpoint was deleted, before it is: it must not register again by itself. Repeating harms nothing."""
    departures = KINDS["departure"].collection()
    fields = {
        "app": endpoint["app"], "ep": endpoint["ep"], "tenant": endpoint["tenant"], "by": change["who"], "departed": change["at"],
        "format": 1, "rev": change["_id"],
    }  # fmt: skip
    try:
        departures.insert_one({"_id": change["target"], **fields})
    except DuplicateKeyError:
        departures.update_one({"_id": change["target"], "rev": {"$lt": change["_id"]}}, {"$set": fields})


def _insert_rows(
    collection: Collection[Content], change: ChangeDocument, leading: Callable[[], bool], *, resumed: bool
) -> None:
    """Insert the rows; one whose document is there stays as it is. Resumed, it goes on with those that are missing."""
    rows = _rows(change)
    for start in range(0, len(rows), BATCH):
        if not leading():
            raise FencedError("another Control server may have taken over; it completes what was recorded")
        batch = rows[start : start + BATCH]
        gone = _deleted_later(change, [row["_id"] for row in batch]) if resumed else set()
        wanted = [dict(row) for row in batch if row["_id"] not in gone]
        try:
            if wanted:
                collection.insert_many(wanted, ordered=False)
        except BulkWriteError as error:
            problems = error.details.get("writeErrors", ())
            if not problems or any(problem.get("code") != DUPLICATE_KEY for problem in problems):
                raise
    if change["kind"] == "endpoint":
        _readmit(change, [row["_id"] for row in rows])


def _replace(collection: Collection[Content], change: ChangeDocument) -> Failure | None:
    """Write the whole, which keeps times as times also in the embedded database; of an endpoint only what Control owns."""
    condition, after = {"_id": change["target"], "rev": change["before_rev"]}, change["after"]
    try:
        if change["kind"] == "endpoint":
            owned = {key: after[key] for key in (*ENDPOINT_FIELDS, "rev") if key in after}
            matched = collection.update_one(condition, {"$set": owned}).matched_count
        else:
            matched = collection.replace_one(condition, after).matched_count
    except DuplicateKeyError:
        return ExistsError(f"{change['kind']} {change['target']}: its name is taken")
    if matched == 0 and not _is_mine(collection, change):
        return StaleError(f"{change['kind']} {change['target']} was changed meanwhile")
    return None


def _delete(collection: Collection[Content], change: ChangeDocument) -> StaleError | None:
    found = collection.find_one({"_id": change["target"]})
    if found is None:
        return None
    if found.get("rev") != change["before_rev"]:
        return StaleError(f"{change['kind']} {change['target']} was changed meanwhile")
    if change["kind"] == "application":
        # Many documents, one change: each step repeats harmlessly, the application goes last. Its token is never given again.
        for kind in DEPENDENTS:
            KINDS[kind].collection().delete_many({"app": change["target"]})
        ClaimCount.collection().delete_many({"app": change["target"]})
    elif change["kind"] == "configuration":
        # A layer may be made again under its name: what is younger than this change belongs to that one.
        older = {"layer": change["target"], "rev": {"$lt": change["_id"]}}
        KINDS["configuration-version"].collection().delete_many(older)
    elif change["kind"] == "endpoint":
        _depart(change, found)  # before it goes: at no moment it is neither there nor departed
    collection.delete_one({"_id": change["target"], "rev": change["before_rev"]})
    return None
