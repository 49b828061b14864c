"""The change log as it is read: in sequence for those who follow it, newest first for those who ask who did what."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from akela.documents.model import Change, Content

ENVELOPE: Final = {"before": 0, "after": 0}  # all but the contents


def read(after_seq: int, limit: int, where: Mapping[str, Any] | None = None) -> Iterator[Content]:
    """Changes behind `after_seq`, in sequence."""
    condition = {"n": {"$gt": after_seq}} | dict(where or {})
    return iter(Change.collection().find(condition).sort("n", 1).limit(limit))


def envelopes(after_seq: int, limit: int) -> Iterator[Content]:
    """Changes behind `after_seq`, in sequence, without what they contain."""
    return iter(Change.collection().find({"n": {"$gt": after_seq}}, ENVELOPE).sort("n", 1).limit(limit))


def newest(
    where: Mapping[str, Any], *, since: datetime | None, until: datetime | None, before: int | None, limit: int
) -> list[Content]:
    """Up to `limit` changes that fit `where`, newest first, older than number `before`, written from `since` to before `until`."""
    bounds: dict[str, int] = {}
    if since is not None:
        bounds["$gte"] = position_at(since)
    below = [seq for seq in (before, None if until is None else position_at(until)) if seq is not None]
    if below:
        bounds["$lt"] = min(below)
    condition = dict(where) | ({"n": bounds} if bounds else {})
    return list(Change.collection().find(condition).sort("n", -1).limit(limit))


def position_at(moment: datetime) -> int:
    """The number of the first change written at or after `moment`; one more than the last when there is none.

    Numbers grow with time, as far as the Control servers' clocks agree: a binary search, some twenty reads in a million.
    """
    low, high = _end(1), _end(-1)
    if low is None or high is None:
        return 1
    first, last = int(low["_id"]), int(high["_id"]) + 1
    while first < last:
        middle = (first + last) // 2
        found = Change.collection().find_one({"n": {"$gte": middle}}, ENVELOPE, sort=[("n", 1)])
        if found is None or found["at"] >= moment:
            last = middle
        else:
            first = int(found["_id"]) + 1
    return first


def _end(order: int) -> Content | None:
    found: Content | None = Change.collection().find_one({}, ENVELOPE, sort=[("n", order)])
    return found
