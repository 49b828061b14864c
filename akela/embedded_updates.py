"""Many documents that get the same values, set by one statement of SQLite.

nx-27017 reads, sets and reads each document by itself. What Operations servers write of endpoints (ledger, presence) is the same
for many of them, so here `{"_id": text}` and `{"_id": {"$in": [text, ...]}}` with nothing but `$set` become one UPDATE with the same
functions of SQLite; any other update is nx-27017's. Stored form and result are the same: tests/integration/storage/test_embedded_writes.py
compares them.
"""

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from neosqlite.collection.json_helpers import neosqlite_json_dumps
from neosqlite.sql_utils import quote_table_name

UPDATE_KEYS: Final = frozenset({"q", "u", "multi", "upsert"})
_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def same_for_many(updates: Sequence[Mapping[str, Any]]) -> bool:
    """Whether `set_same` can do all of these updates of a command."""
    return bool(updates) and all(_simple(update) for update in updates)


def set_same(database: sqlite3.Connection, collection: str, updates: Sequence[Mapping[str, Any]]) -> int:
    """Do them, in their order; gives how many documents they met, each as often as it was met."""
    table = quote_table_name(collection)
    met = 0
    for update in updates:
        paths, values = zip(*(_assignment(path, value) for path, value in update["u"]["$set"].items()), strict=True)
        command = (
            f"UPDATE {table} SET data = json_set(data, {', '.join(paths)}) "  # noqa: S608  paths are plain, values are bound
            "WHERE _id IN (SELECT value FROM json_each(?))"
        )
        met += database.execute(command, (*values, json.dumps(_ids(update["q"])))).rowcount
    return met


def _simple(update: Mapping[str, Any]) -> bool:
    if update.get("upsert") or update.keys() - UPDATE_KEYS or _ids(update["q"]) is None:
        return False
    change = update["u"]
    if not isinstance(change, Mapping) or change.keys() != {"$set"} or not change["$set"]:
        return False
    return all(_settable(path, value) for path, value in change["$set"].items())


def _ids(query: Mapping[str, Any]) -> list[str] | None:
    """The ids that a query names, where it does nothing else and all are text."""
    if query.keys() != {"_id"}:
        return None
    wanted = query["_id"]
    wanted = (wanted["$in"] if wanted.keys() == {"$in"} else None) if isinstance(wanted, Mapping) else [wanted]
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        return None
    return wanted


def _settable(path: str, value: object) -> bool:
    """Times and bytes at the top have forms of their own in nx-27017."""
    plain = value is None or type(value) in (str, int, float, bool, dict, list)
    return plain and _PATH.fullmatch(path) is not None


def _assignment(path: str, value: object) -> tuple[str, object]:
    if isinstance(value, (dict, list)):
        return f"'$.{path}', json(?)", neosqlite_json_dumps(value)
    return f"'$.{path}', ?", value
