"""Messages from one Operations server to another, at `$akela/peer`, over MQTT links that are opened when they are needed.

What waits for a server goes out in one publish, in order, as JSON: `{"from": server, "messages": [{"kind": ..., ...}, ...]}`. Kinds are
a registry: whoever wants to hear one says so (`on`), what nobody knows is counted and passed over, so that servers of different
versions get on. Queues are bounded; what cannot be sent is dropped and counted: kinds are such that a loss is repaired otherwise.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import msgspec

from akela.contract import topics
from akela.coordination import Member
from akela.link import LinkError, ServerLink
from broker import Session
from operations.principals import PEER_USER

log = logging.getLogger(__name__)

MAX_WAITING: Final = 50_000  # messages for one server
ENVELOPE: Final = 512  # bytes of a payload that are not its messages
IDLE_S: Final = 30.0  # a link that is not used is closed
ATTEMPTS: Final = 3
RETRY_S: Final = 0.5

encode = msgspec.json.encode

Message = Mapping[str, Any]
Handler = Callable[[Message], None]


class Peers:
    """The other Operations servers. `follow` keeps them current. `max_bytes`: the largest payload that they take."""

    def __init__(self, member_id: str, secret: str, max_bytes: int) -> None:
        self._id = member_id
        self._secret = secret
        self._max_bytes = max_bytes - ENVELOPE
        self._members: Mapping[str, Member] = {}
        self._lines: dict[str, _Line] = {}
        self._handlers: dict[str, Handler] = {}
        self.sent = self.received = self.dropped = 0

    def on(self, kind: str, handler: Handler) -> None:
        """Call `handler` with each message of `kind` that another server sends."""
        self._handlers[kind] = handler

    def present(self, server: str) -> bool:
        """Whether that other server is there."""
        return server != self._id and server in self._members

    async def follow(self, watch: AsyncIterator[Mapping[str, Member]]) -> None:
        """Keep up with who is there, until cancelled."""
        async for members in watch:
            self._members = members

    def send(self, server: str, message: Message) -> bool:
        """Send `message` (with its `kind`) to another server; False when it is not there or too much waits for it."""
        if not self.present(server):
            return False
        line = self._lines.get(server)
        if line is None:
            line = self._lines[server] = _Line()
            line.worker = asyncio.create_task(self._serve(server, line))
        if len(line.waiting) >= MAX_WAITING:
            self.dropped += 1
            return False
        line.waiting.append(encode(message))
        line.bell.set()
        return True

    def receive(self, session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        """The engine's handler of `$akela/peer`. Only the other servers of the cluster get here."""
        try:
            for message in msgspec.json.decode(payload)["messages"]:
                self._take(message["kind"], message)
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            log.warning("another server sent what cannot be read", extra={"error": str(error)})
        return True

    async def stop(self) -> None:
        """Send nothing more."""
        workers = [line.worker for line in self._lines.values() if line.worker is not None]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def _take(self, kind: str, message: Message) -> None:
        self.received += 1
        handler = self._handlers.get(kind)
        if handler is None:
            log.info("another server sent a kind that is unknown here", extra={"kind": kind})
            return
        try:
            handler(message)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("another server's message cannot be used", extra={"kind": kind, "error": str(error)})

    async def _serve(self, server: str, line: "_Line") -> None:
        """Send what waits for one server, over one link, until nothing has come for a while."""
        link: ServerLink | None = None
        try:
            while line.waiting or await line.rings():
                link = await self._send(server, line, link)
        finally:
            del self._lines[server]
            self.dropped += len(line.waiting)
            if link is not None:
                await link.close()

    async def _send(self, server: str, line: "_Line", link: ServerLink | None) -> ServerLink | None:
        """Send one batch; gives the link to go on with, None when it is given up."""
        batch = line.take(self._max_bytes)
        payload = encode({"from": self._id, "messages": [msgspec.Raw(message) for message in batch]})
        for attempt in range(ATTEMPTS):
            try:
                link = link or await self._linked(server)
                await link.publish(topics.PEER, payload)
            except LinkError as error:
                log.warning("another server is not told", extra={"server": server, "error": str(error)[:200]})
                if link is not None:
                    await link.close()
                link = None
                if attempt + 1 < ATTEMPTS:
                    await asyncio.sleep(RETRY_S)
            else:
                self.sent += len(batch)
                return link
        self.dropped += len(batch)
        return None

    async def _linked(self, server: str) -> ServerLink:
        member = self._members.get(server)
        if member is None:
            raise LinkError("it is no longer there")
        address = member.payload["mqtt"]
        link = ServerLink(
            address["host"], address["port"], client_id=f"peer-{self._id}", user=PEER_USER, password=self._secret
        )
        try:
            await link.connect()
        except LinkError:
            await link.close()
            raise
        return link


class _Line:
    """What waits for one server."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.bell = asyncio.Event()
        self.worker: asyncio.Task[None] | None = None

    def take(self, max_bytes: int) -> list[bytes]:
        """The next messages, together at most so long; one alone may be longer."""
        batch: list[bytes] = []
        size = 0
        while self.waiting and (not batch or size + len(self.waiting[0]) < max_bytes):
            batch.append(self.waiting.popleft())
            size += len(batch[-1]) + 1
        return batch

    async def rings(self) -> bool:
        """Wait for something to send; False when nothing has come for a while."""
        self.bell.clear()
        try:
            async with asyncio.timeout(IDLE_S):
                await self.bell.wait()
        except TimeoutError:
            return bool(self.waiting)
        return True
