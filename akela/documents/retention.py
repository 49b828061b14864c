"""How long the change log is kept: by age, and never less than what a server still needs.

The head says how far the log was cut before anything is taken away, so whoever stands below knows that it must read the documents
themselves again instead of the log.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from akela.documents.changelog import HEAD, ChangeLog, heads
from akela.documents.history import position_at
from akela.documents.model import Change

log = logging.getLogger(__name__)

KEPT: Final = 1000  # the newest changes stay, however old
BATCH: Final = 1000  # changes in one deletion


def cut(
    changes: ChangeLog, needed_from: Iterable[int | None], *, keep: timedelta, now: datetime, newest: int = KEPT
) -> int:
    """Take away what is older than `keep`, but not the `newest` changes; returns how many changes went.

    `needed_from`: for each server that follows the log the number it stands at; None for one that does not say, which keeps everything.
    Raises: FencedError when another leads.
    """
    positions = list(needed_from)
    if any(position is None for position in positions):
        return 0
    checked = changes.checked()
    by_age = position_at(now - keep) - 1
    upto = min([by_age, checked - newest, *(position for position in positions if position is not None)])
    known = heads().find_one({"_id": HEAD}) or {}
    before = int(known.get("cut", 0))
    pending = Change.collection().find_one({"state": "pending"}, {"n": 1}, sort=[("n", 1)])
    if pending is not None:
        upto = min(upto, int(pending["n"]) - 1)
    if upto <= before:
        return 0
    changes.set_cut(upto)
    gone = 0
    for low in range(before, upto, BATCH):
        high = min(low + BATCH, upto)
        gone += Change.collection().delete_many({"n": {"$gt": low, "$lte": high}}).deleted_count
    log.info("old changes taken away", extra={"changes": gone, "upto": upto})
    return gone
