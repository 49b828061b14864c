"""Records as they are queried: newest first, by endpoint and time."""

from datetime import datetime
from typing import Any

from akela.documents.model import Change, Content
from akela.documents.store import records_collection


def query(
    app: str,
    stream: str,
    *,
    endpoint: str | None,
    since: datetime | None,
    until: datetime | None,
    before: str | None,
    limit: int,
) -> list[Content]:
    """Up to `limit` records of a stream that come before the record with id `before`.

    Ids begin with the time of reception, so a range of time is a range of ids.
    """
    bounds: dict[str, Any] = {}
    if since is not None:
        bounds["$gte"] = id_at(since)
    if until is not None:
        bounds["$lt"] = id_at(until)
    if before is not None:
        bounds["$lt"] = min(before, bounds.get("$lt", before))
    key = "_id" if endpoint is None else "n"
    where: dict[str, Any] = {} if endpoint is None else {"ep": endpoint}
    if bounds:
        where[key] = bounds
    collection = Change.collection().database[records_collection(app, stream)]
    return list(collection.find(where).sort(key, -1).limit(limit))


def id_at(moment: datetime) -> str:
    """The least id of records received at or after `moment`."""
    return f"{int(moment.timestamp() * 1_000_000):014x}"
