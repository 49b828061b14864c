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
LOOK_AFTER_S: Final = 5.0
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
        self._fresh: list[str] = []  # keys of those that attached since the last look
        peers.on(KIND, self._elsewhere)

    def on_attached(self, endpoint: Endpoint) -> None:
        """The endpoint has connected here: the server that had it is told."""
        self._fresh.append(endpoint.key)
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
            due, self._fresh = self._fresh, []
            await asyncio.sleep(LOOK_AFTER_S)
            for start in range(0, len(due), BATCH):
                await self._look(due[start : start + BATCH])

    async def _look(self, keys: Sequence[str]) -> None:
        try:
            found = await self._source.find_presence(keys)
        except StoreError as error:
            log.warning("no second look without the database", extra={"error": str(error)})
            self._fresh += keys
            return
        for document in found:
            app, _, ep = document["_id"].partition("/")
            self._end_older(app, ep, (document.get("presence") or {}).get("generation") or "")

    def _elsewhere(self, message: Message) -> None:
        self._end_older(str(message["app"]), str(message["ep"]), str(message["generation"]))

    def _end_older(self, app: str, ep: str, generation: str) -> None:
        endpoint = self._attached.find(app, ep)
        if endpoint is not None and endpoint.session is not None and endpoint.generation < generation:
            endpoint.session.disconnect(Reason.SESSION_TAKEN_OVER, "attached to another server")
