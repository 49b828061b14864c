"""Brings the stored groups of whole applications to their filters, in the background of the active Control server.

What is due is not told but seen: an application is due while the digest of its groups' names and filters is not the one that its last
evaluation ended with. So a change is never missed, whoever made it and whatever died in between, and a newer change makes the running
evaluation begin again. How far it is, is stored; whoever leads next goes on from there.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from akela.documents import history, members, model
from akela.documents.base import Content
from akela.documents.model import DatabaseError
from control import stored_groups
from control.core import now
from control.stored_groups import COMPILED, Counts, Filters, digest_of, refresh

log = logging.getLogger(__name__)

BATCH: Final = 1000  # endpoints
SAVE_EVERY_S: Final = 0.25
LOOK_EVERY_S: Final = 30.0
RETRY_S: Final = 1.0
RECENT: Final = 200  # changes of endpoints whose writer may have died before it stored the groups


class SupersededError(Exception):
    """The filters are others now, or another server leads."""


class Evaluator:
    """Runs for one leadership. `batch`: endpoints read at once."""

    def __init__(self, epoch: int, leading: Callable[[], bool], *, batch: int = BATCH) -> None:
        self._epoch = epoch
        self._leading = leading
        self._batch = batch
        self._stopped = threading.Event()
        self._changed: set[str] = set()  # applications that may have other filters since they were looked at
        self._bell = asyncio.Event()

    def ring(self, app: str) -> None:
        """A group of this application was written. Call it in the loop's thread."""
        self._changed.add(app)
        self._bell.set()

    async def run(self) -> None:
        """Until it is cancelled; the batch under way is then the last."""
        try:
            await self._until_it_works(self._catch_up)
            while True:
                self._bell.clear()
                await self._until_it_works(self.bring_all)
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._bell.wait()
                except TimeoutError:
                    continue
        finally:
            self._stopped.set()

    async def _until_it_works(self, work: Callable[[], None]) -> None:
        while True:
            try:
                return await asyncio.to_thread(work)
            except DatabaseError as error:
                log.warning("groups cannot be evaluated", extra={"error": str(error)[:200]})
                await asyncio.sleep(RETRY_S)

    def _catch_up(self) -> None:
        """Endpoints that were changed last: their writer may have died before their stored groups followed."""
        where = {"kind": "endpoint"}
        for change in history.newest(where, since=None, until=None, before=None, limit=RECENT):
            if change["op"] == "put" and change["state"] == "done":
                app, _, ep = change["target"].partition("/")
                refresh(app, ep)

    def bring_all(self) -> None:
        """Evaluate every application that is due."""
        for app in list(due()):
            while not self._given_up():
                self._changed.discard(app)
                try:
                    self._evaluate(app)
                    break
                except SupersededError:
                    continue

    def _given_up(self) -> bool:
        return self._stopped.is_set() or not self._leading()

    def _evaluate(self, app: str) -> None:
        """Raises: SupersededError."""
        filters = COMPILED.of(app)
        state = self._begun(app, filters)
        counts = _counts(state)
        started_s = saved_s = time.monotonic()
        before = counts.done
        for batch in members.batches(app, self._batch, filters.wanted, after=state["cursor"]):
            stored_groups.bring(app, filters, batch, counts)
            state |= {"done": counts.done, "written": counts.written, "cursor": batch[-1]["ep"]}
            if time.monotonic() - saved_s >= SAVE_EVERY_S:
                self._save(state, counts, filters)
                saved_s = time.monotonic()
            if self._given_up() or (app in self._changed and not self._same(app, filters)):
                raise SupersededError
        state |= {"state": "done", "ended": now(), "total": counts.done}
        self._save(state, counts, filters)
        spent_s = max(time.monotonic() - started_s, 1e-9)
        log.info(
            "groups evaluated",
            extra={"app": app, "endpoints": counts.done, "written": counts.written, "per_s": round((counts.done - before) / spent_s)},
        )  # fmt: skip

    def _same(self, app: str, filters: Filters) -> bool:
        self._changed.discard(app)
        return digest_of(members.groups_of(app)) == filters.digest

    def _begun(self, app: str, filters: Filters) -> Content:
        """Where the evaluation stands: at its beginning, or where an earlier leader has left it."""
        found = members.evaluation(app)
        if found is not None and found["filters"] == filters.digest and found["state"] == "running":
            return found | {"epoch": self._epoch}
        fresh: Content = {
            "_id": app, "epoch": self._epoch, "filters": filters.digest, "state": "running", "cursor": None, "done": 0,
            "written": 0, "total": members.count(app), "counts": [], "started": now(), "ended": None,
        }  # fmt: skip
        self._save(fresh, Counts(), filters)
        return fresh

    def _save(self, state: Content, counts: Counts, filters: Filters) -> None:
        state["counts"] = counts.rows(filters.weights)
        if not members.save_evaluation(state):
            raise SupersededError


def due() -> Iterator[str]:
    """Applications whose endpoints may have other groups stored than their filters say."""
    groups: dict[str, list[Content]] = {}
    for document in members.filters():
        groups.setdefault(document["app"], []).append(document)
    known = {state["_id"]: state for state in members.evaluations()}
    members.forget_evaluations(app for app in known.keys() - groups.keys() if model.find("application", app) is None)
    for app in sorted(groups.keys() | known.keys()):
        state = known.get(app)
        digest = digest_of(groups.get(app, ()))
        if state is None or state["state"] != "done" or state["filters"] != digest:
            yield app


def _counts(state: Content) -> Counts:
    matched = Counter({row["group"]: int(row["matched"]) for row in state["counts"]})
    errors = Counter({row["group"]: int(row["errors"]) for row in state["counts"]})
    return Counts(int(state["done"]), int(state["written"]), matched, errors)
