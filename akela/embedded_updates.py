"""Many documents that get the same values, set by one statement of SQLite.

nx-27017 reads, sets and reads each document by itself. What Operations servers write of endpoints (ledger, presence) is the same
for many of them, so here an update by `_id` with nothing but `$set` and `$unset` becomes one UPDATE, with the condition that nx-27017 makes
of the query and the functions of SQLite that it uses; any other update is its own. Stored form and result are the same:
tests/integration/storage/test_embedded_writes.py compares them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from neosqlite import Connection
from neosqlite.collection.json_helpers import neosqlite_json_dumps
from neosqlite.sql_utils import quote_table_name

from akela.embedded_queries import bracketed

Update = Mapping[str, Any]
Condition = tuple[str, Sequence[Any]]  # a WHERE clause and what is bound in it

UPDATE_KEYS: Final = frozenset({"q", "u", "multi", "upsert"})
_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def conditions(connection: Connection, collection: str, updates: Sequence[Update]) -> list[Condition] | None:
    """The condition of each of a command's updates; None where one of them is not for `set_same`."""
    if not updates or not all(_simple(update) for update in updates):
        return None
    translator = connection[collection].query_engine.sql_translator
    found: list[Condition] = [translator.translate_match(bracketed(update["q"])) for update in updates]
    return found if all(where for where, _ in found) else None


def set_same(connection: Connection, collection: str, updates: Sequence[Update], where: Sequence[Condition]) -> int:
    """Do the updates, in their order; gives how many documents they met, each as often as it was met."""
    table = quote_table_name(collection)
    met = 0
    for update, (clause, bound) in zip(updates, where, strict=True):
        changed, values = _changed(update["u"])
        command = f"UPDATE {table} SET data = {changed} {clause}"  # noqa: S608  paths are plain, values are bound
        met += connection.db.execute(command, (*values, *bound)).rowcount
    return met


def _changed(change: Update) -> tuple[str, list[object]]:
    """The document after the change, in SQL, and what is bound in that."""
    data = "data"
    if gone := change.get("$unset"):
        data = f"json_remove({data}, {', '.join(_place(path) for path in gone)})"
    if not change.get("$set"):
        return data, []
    paths, values = zip(*(_assignment(path, value) for path, value in change["$set"].items()), strict=True)
    return f"json_set({data}, {', '.join(paths)})", list(values)


def _simple(update: Update) -> bool:
    if update.get("upsert") or update.keys() - UPDATE_KEYS:
        return False
    by, change = update["q"].get("_id"), update["u"]
    named = isinstance(by, str) or (update.get("multi") and isinstance(by, Mapping) and by.keys() == {"$in"})
    if not named or not isinstance(change, Mapping) or not change or change.keys() - {"$set", "$unset"}:
        return False
    gone = change.get("$unset", {})
    return all(map(_PATH.fullmatch, gone)) and all(
        _settable(path, value) for path, value in change.get("$set", {}).items()
    )


def _settable(path: str, value: object) -> bool:
    """Times and bytes at the top have forms of their own in nx-27017."""
    plain = value is None or type(value) in (str, int, float, bool, dict, list)
    return plain and _PATH.fullmatch(path) is not None


def _assignment(path: str, value: object) -> tuple[str, object]:
    if isinstance(value, (dict, list)):
        return f"{_place(path)}, json(?)", neosqlite_json_dumps(value)
    return f"{_place(path)}, ?", value


def _place(path: str) -> str:
    return f"'$.{path}'"
