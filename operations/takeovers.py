"""One endpoint, one connection, on whichever Operations server: an endpoint that attaches elsewhere is detached here.

The new server tells the one that the stored presence names (`peers`). That may be stale, since presence is written behind, and a
message may be lost; so each server looks once more, some seconds after endpoints attached, whether their stored presence has become
somebody else's with a newer generation. Thousands that attached together share one query.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from akela.documents.store import StoreError
from broker import Reason
from operations.attached import Attached
from operations.peers import Message, Peers
from operations.principals import Endpoint

log = logging.getLogger(__name__)

KIND: Final = "attached"
LOOK_AFTER_S: Final = 5.0  # to twice that
BATCH: Final = 1000

Document = Mapping[str, Any]


class PresenceSource(Protocol):
    """Where presence is read."""

    async def find_presence(self, ids: Sequence[str]) -> Sequence[Document]:
        """`_id` and `presence` of the stored endpoints among `ids`."""
        ...


class Takeovers:
    """Attends endpoints (`operations.planes.Attending`) and hears of other servers."""

    def __init__(self, attached: Attached, peers: Peers, source: PresenceSource) -> None:
        self._attached = attached
        self._peers = peers
        self._source = source
        self._fresh: dict[str, Endpoint] = {}  # those that attached since the last look
        peers.on(KIND, self._heard)

    def on_attached(self, endpoint: Endpoint) -> None:
        """The endpoint has connected here: the server that had it is told."""
        self._fresh[endpoint.key] = endpoint
        if endpoint.server_before is not None:
            message = {"kind": KIND, "app": endpoint.app, "ep": endpoint.ep, "generation": endpoint.generation}
            self._peers.send(endpoint.server_before, message)

    def on_detached(self, endpoint: Endpoint) -> None:
        """Nothing follows from it."""

    def on_reachable(self, endpoint: Endpoint) -> None:
        """Nothing follows from it."""

    async def look_again(self) -> None:
        """Look after those that attached, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_AFTER_S)
            due, self._fresh = self._fresh, {}
            await asyncio.sleep(LOOK_AFTER_S)
            await self.look(due)

    async def look(self, due: Mapping[str, Endpoint]) -> None:
        """End the sessions of those whose stored presence is of a newer connection."""
        there = [key for key, endpoint in due.items() if endpoint.session is not None]
        for start in range(0, len(there), BATCH):
            keys = there[start : start + BATCH]
            try:
                found = await self._source.find_presence(keys)
            except StoreError as error:
                log.warning("no second look without the database", extra={"error": str(error)})
                self._fresh = {key: due[key] for key in keys} | self._fresh
                continue
            for document in found:
                presence = document.get("presence") or {}
                app, _, ep = document["_id"].partition("/")
                self._end_older(app, ep, presence.get("generation") or "", presence.get("by") or "")

    def _heard(self, sender: str, message: Message) -> None:
        self._end_older(message["app"], message["ep"], message["generation"], sender)

    def _end_older(self, app: str, ep: str, generation: str, server: str) -> None:
        self._attached.heard_of(generation)
        endpoint = self._attached.find(app, ep)
        if endpoint is None or endpoint.session is None or generation <= endpoint.generation:
            return
        endpoint.moved_to = server
        endpoint.session.disconnect(Reason.SESSION_TAKEN_OVER, "attached to another server")
