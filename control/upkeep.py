"""What the active Control server does beside answering: finishes writes that the database interrupted, ends leases, keeps the
change log in bounds."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from akela.coordination import Member
from akela.documents import retention
from akela.documents.changelog import ChangeLog, FencedError
from akela.documents.model import DatabaseError
from control.problems import NotActiveError

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5
LEASES_EVERY: Final = 2  # looks: every second
TIDY_EVERY: Final = 60  # looks: every 30 s
CUT_EVERY: Final = 1200  # looks: every 10 min


class Upkeep:
    """Runs for one leadership. `operations` are the servers that follow the log, as coordination lists them."""

    def __init__(
        self,
        changes: ChangeLog,
        keep: timedelta,
        operations: Callable[[], Mapping[str, Member]],
        done: Callable[[], None],
        end_leases: Callable[[], None],
    ) -> None:
        self._changes = changes
        self._keep = keep
        self._operations = operations
        self._end_leases = end_leases
        self._done = done  # called after something in the log has got its end

    async def run(self) -> None:
        """Until it is cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            looks += 1
            try:
                await self._look(looks)
            except (DatabaseError, FencedError, NotActiveError) as error:
                log.warning("the change log cannot be kept up", extra={"error": str(error)[:200]})

    async def _look(self, looks: int) -> None:
        if self._changes.broken:
            await asyncio.to_thread(self._changes.repair)
            self._done()
        if looks % LEASES_EVERY == 0:
            await asyncio.to_thread(self._end_leases)
        if looks % TIDY_EVERY == 0:
            await asyncio.to_thread(self._changes.tidy)
        if looks % CUT_EVERY == 0:
            await asyncio.to_thread(self._cut)

    def _cut(self) -> None:
        needed = [member.payload.get("position") for member in self._operations().values()]
        retention.cut(self._changes, needed, keep=self._keep, now=datetime.now(UTC))
