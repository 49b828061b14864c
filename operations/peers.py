"""Messages from one Operations server to another, at `$akela/peer`, over MQTT links that are opened when they are needed.

What waits for a server goes out in one publish, in order, as JSON: `{"from": server, "messages": [{"kind": ..., ...}, ...]}`. Kinds are
a registry: whoever wants to hear one says so (`on`); what nobody here knows is counted and passed over, so that servers of different
versions get on. A publish that was not acknowledged is sent again, so a kind must bear to be heard twice. What waits is bounded, and what
cannot be sent is dropped and counted: a kind must bear that, too, or have its own acknowledgement.

Rules: a server that coordination does not list is told nothing; one that has left meanwhile, nothing more.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from akela.contract import topics
from akela.coordination import Member
from akela.link import LinkError, ServerLink
from broker import Session
from operations.principals import PEER_USER

log = logging.getLogger(__name__)

MAX_WAITING: Final = 50_000  # messages for one server
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024  # of them together
ENVELOPE: Final = 512  # bytes of a publish that are not its messages
IDLE_S: Final = 30.0  # a link that is not used for so long is closed
ATTEMPTS: Final = 3
RETRY_S: Final = 0.5

encode = msgspec.json.encode

Message = Mapping[str, Any]
Handler = Callable[[str, Message], None]  # called with the sender's id and the message


class Envelope(msgspec.Struct, rename={"sender": "from"}):
    """One publish at `$akela/peer`."""

    sender: str
    messages: list[dict[str, Any]]


@dataclass(slots=True)
class Counts:
    """Messages since start."""

    sent: int = 0  # and acknowledged
    received: int = 0
    unknown: int = 0  # received, of a kind that nobody here knows, or not to be used
    dropped: int = 0  # too many waited, or the server could not be reached


class Peers:
    """The other Operations servers. `follow` keeps them current. `max_bytes`: the largest payload that they take."""

    def __init__(self, member_id: str, secret: str, max_bytes: int) -> None:
        self._id = member_id
        self._secret = secret
        self._max_bytes = max_bytes - ENVELOPE
        self._members: Mapping[str, Member] = {}
        self._lines: dict[str, _Line] = {}
        self._handlers: dict[str, Handler] = {}
        self.counts = Counts()

    @property
    def links(self) -> int:
        """Links that are open or being opened."""
        return len(self._lines)

    @property
    def waiting(self) -> int:
        """Messages not yet acknowledged, for all servers together."""
        return sum(len(line) for line in self._lines.values())

    def on(self, kind: str, handler: Handler) -> None:
        """Call `handler` with each message of `kind` that another server sends. Raises: ValueError, if the kind is taken."""
        if kind in self._handlers:
            raise ValueError(f"kind {kind!r} is handled already")
        self._handlers[kind] = handler

    def present(self, server: str) -> bool:
        """Whether that other server is there."""
        return server != self._id and server in self._members

    async def follow(self, watch: AsyncIterator[Mapping[str, Member]]) -> None:
        """Keep up with who is there, until cancelled."""
        async for members in watch:
            self._members = members

    def send(self, server: str, message: Message) -> bool:
        """Send `message` (with its `kind`) to another server, later; False when it is not there or it would be too much."""
        if not self.present(server):
            return False
        line = self._lines.get(server)
        if line is None:
            line = self._lines[server] = _Line()
            line.worker = asyncio.create_task(self._serve(server, line))
        encoded = encode(message)
        if len(encoded) > self._max_bytes or not line.put(encoded):
            self.counts.dropped += 1
            return False
        return True

    def receive(self, session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        """The engine's handler of `$akela/peer`. Only the other servers of the cluster get here."""
        try:
            envelope = msgspec.json.decode(payload, type=Envelope)
        except msgspec.DecodeError as error:
            log.warning("another server sent what cannot be read", extra={"error": str(error)})
            return True
        for message in envelope.messages:
            self._take(envelope.sender, message)
        return True

    async def stop(self) -> None:
        """Send nothing more."""
        workers = [line.worker for line in self._lines.values() if line.worker is not None]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def _take(self, sender: str, message: Message) -> None:
        self.counts.received += 1
        kind = message.get("kind")
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            self.counts.unknown += 1
            log.debug("another server sent a kind that is unknown here", extra={"sender": sender, "kind": kind})
            return
        try:
            handler(sender, message)
        except (KeyError, TypeError, ValueError) as error:
            self.counts.unknown += 1
            reason = f"{type(error).__name__}: {error}"
            log.warning("another server's message cannot be used", extra={"kind": kind, "error": reason})

    async def _serve(self, server: str, line: "_Line") -> None:
        """Send what waits for one server until nothing has come for a while."""
        try:
            while line.waiting or await line.rings():
                await self._send(server, line)
        finally:
            del self._lines[server]
            self.counts.dropped += len(line)
            await line.close()

    async def _send(self, server: str, line: "_Line") -> None:
        """Send one batch, or drop it: at once, if the server has gone."""
        batch = line.take(self._max_bytes)
        payload = encode({"from": self._id, "messages": [msgspec.Raw(message) for message in batch]})
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(RETRY_S)
            member = self._members.get(server)
            if member is None:
                break
            try:
                await self._publish(line, member, payload)
            except LinkError as error:
                log.warning("another server is not told", extra={"server": server, "error": str(error)[:200]})
                await line.close()
            else:
                self.counts.sent += line.done()
                return
        self.counts.dropped += line.done()

    async def _publish(self, line: "_Line", member: Member, payload: bytes) -> None:
        if line.link is None:
            address = member.payload["mqtt"]
            line.link = ServerLink(
                address["host"], address["port"], client_id=f"peer-{self._id}", user=PEER_USER, password=self._secret
            )
            await line.link.connect()
        await line.link.publish(topics.PEER, payload)


class _Line:
    """What waits for one server, and the link to it."""

    def __init__(self) -> None:
        self.link: ServerLink | None = None
        self.waiting: deque[bytes] = deque()
        self.worker: asyncio.Task[None] | None = None
        self._bytes = 0
        self._under_way = 0
        self._bell = asyncio.Event()

    def __len__(self) -> int:
        return len(self.waiting) + self._under_way

    def put(self, message: bytes) -> bool:
        """Let a message wait; False when too much waits already."""
        if len(self.waiting) >= MAX_WAITING or self._bytes + len(message) > MAX_WAITING_BYTES:
            return False
        self.waiting.append(message)
        self._bytes += len(message)
        self._bell.set()
        return True

    def take(self, max_bytes: int) -> list[bytes]:
        """The next messages, together at most so long. They are under way until `done`."""
        batch: list[bytes] = []
        size = 0
        while self.waiting and size + len(self.waiting[0]) + len(batch) <= max_bytes:
            batch.append(self.waiting.popleft())
            size += len(batch[-1])
        self._bytes -= size
        self._under_way = len(batch)
        return batch

    def done(self) -> int:
        """What was under way is dealt with; gives how many that were."""
        count, self._under_way = self._under_way, 0
        return count

    async def rings(self) -> bool:
        """Wait for something to send; False when nothing has come for a while."""
        self._bell.clear()
        try:
            async with asyncio.timeout(IDLE_S):
                await self._bell.wait()
        except TimeoutError:
            return bool(self.waiting)
        return True

    async def close(self) -> None:
        """Close the link."""
        link, self.link = self.link, None
        if link is not None:
            await link.close()
