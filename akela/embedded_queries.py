"""Queries as the embedded database reads them right.

nx-27017 makes `a AND b OR c` of `{a, "$or": [b, c]}`, without brackets: what is meant to be one document may be any. An `$or` beside other
conditions is therefore put under an `$and`, which gets its brackets.
"""

from collections.abc import Mapping
from typing import Any, Final

QUERIES: Final = ("filter", "query", "q")  # in find; count, distinct and findAndModify; each update and deletion


def bracketed(query: Mapping[str, Any]) -> dict[str, Any]:
    """The same query, with each `$or` by itself."""
    parts = {
        key: [bracketed(part) for part in value] if key in ("$or", "$and", "$nor") else value
        for key, value in query.items()
    }
    if len(parts) > 1 and ("$or" in parts or "$nor" in parts):
        return {"$and": [{key: value} for key, value in parts.items()]}
    return parts


def put_brackets(body: dict[str, Any]) -> None:
    """In all queries of a command, or of one of its updates or deletions."""
    for name in QUERIES:
        if isinstance(body.get(name), Mapping):
            body[name] = bracketed(body[name])
    for stage in body.get("pipeline", ()):
        if isinstance(stage, dict) and isinstance(stage.get("$match"), Mapping):
            stage["$match"] = bracketed(stage["$match"])
