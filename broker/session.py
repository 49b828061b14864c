"""A session: what the engine remembers of a client, whether it is connected or not (MQTT 3.1.1, section 3.1.2.4).

Subscriptions, messages in flight and messages that wait. A session knows its connection, if it has one, only as a place to put bytes;
it knows no socket and no clock. Rules:

- At most `max_inflight` messages of QoS 1 and 2 are on their way at a time; the rest wait in order.
- What waits is bounded by count and bytes. To make room the oldest QoS 0 message goes first, then the new message itself.
- After a reconnect, what was in flight goes out again, first and in its order, with DUP [MQTT-4.4.0-1].
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from broker import topics
from broker.hooks import Peer, Will
from broker.packets import Kind, acknowledgement, publish_head
from broker.reasons import Reason

if TYPE_CHECKING:
    from broker.connection import Connection, Pending
    from broker.engine import Engine

MAX_PACKET_ID: Final = 0xFFFF

Message = tuple[bytes, bytes, int, bool, object | None]
"""(topic as shown, payload, QoS, retain, tag)"""


@dataclass(slots=True, eq=False)
class Subscription:
    """One granted subscription."""

    session: Session
    topic_filter: str  # canonical
    levels: tuple[str, ...]
    qos: int
    shown: tuple[str, str] | None
    requested: str  # as the session wrote it


class Session:
    """One client's session, in the application's `namespace`. Hooks get it and may use what is public here."""

    __slots__ = (
        "_engine", "_inflight", "_next_id", "_queue", "_queued_bytes", "_released", "clean", "client_id", "connection",
        "detached_s", "namespace", "pending", "principal", "received", "subscriptions", "ticket", "will",
    )  # fmt: skip

    def __init__(self, engine: Engine, namespace: str, client_id: str, principal: object) -> None:
        self._engine = engine
        self.namespace = namespace
        self.client_id = client_id
        self.principal = principal
        self.clean = True
        self.connection: Connection | None = None
        self.detached_s: float | None = None  # engine's clock, while there is no connection
        self.subscriptions: dict[str, Subscription] = {}  # by canonical filter
        self.will: Will | None = None
        self.received: set[int] = set()  # QoS 2 packet ids taken and not yet released
        self.pending: dict[int, Pending] = {}  # by ticket: messages that a handler has not settled
        self.ticket = 0
        self._inflight: dict[int, Message] = {}  # by packet id, in the order of sending
        self._released: set[int] = set()  # of these, QoS 2 ones for which PUBREL is out
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._next_id = 0

    # What hooks use.

    @property
    def connected(self) -> bool:
        """Whether the client is there at the moment."""
        return self.connection is not None

    @property
    def peer(self) -> Peer | None:
        """The other end of the connection, while there is one."""
        return self.connection.peer if self.connection is not None else None

    @property
    def protocol_level(self) -> int | None:
        """3, 4 or 5: the version that the client speaks, while it is there."""
        return self.connection.level if self.connection is not None else None

    @property
    def queued(self) -> int:
        """Messages that wait for this session."""
        return len(self._queue)

    def takes(self, topic: str) -> Subscription | None:
        """The subscription with the highest QoS that takes `topic`, or None."""
        best = None
        for subscription in self.subscriptions.values():
            if (best is None or subscription.qos > best.qos) and topics.matches(subscription.levels, topic):
                best = subscription
        return best

    def send(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, tag: object | None = None
    ) -> bool:
        """Send to this session alone; False when none of its subscriptions takes `topic` (canonical).

        A `tag` comes back in `DeliveryObserver.on_delivered` when the client has acknowledged.
        """
        subscription = self.takes(topic)
        if subscription is None:
            return False
        name = shown_name(topic, subscription.shown).encode()
        self.deliver(name, payload, min(qos, subscription.qos), retain, tag)
        return True

    def settle(self, ticket: int, reason: Reason = Reason.SUCCESS) -> None:
        """End a message that a handler held: it is acknowledged, and routed unless `reason` is a refusal."""
        self._engine.settle(self, ticket, reason)

    def abandon(self, ticket: int) -> None:
        """End a message that a handler held without an acknowledgement: the connection closes, the client sends again."""
        self._engine.abandon(self, ticket)

    def disconnect(self, reason: Reason = Reason.ADMINISTRATIVE_ACTION, text: str = "") -> None:
        """End the connection, if there is one."""
        self._engine.disconnect(self, reason, text)

    def recheck(self) -> None:
        """Ask the authorizers anew: for each subscription now, for each topic when it is next published."""
        self._engine.recheck(self)

    # What the engine uses.

    def deliver(self, topic: bytes, payload: bytes, qos: int, retain: bool, tag: object | None) -> None:
        """Put a message on its way, or where it waits."""
        connection = self.connection
        if connection is not None and not connection.congested and not self._queue:
            if qos == 0:
                connection.put(publish_head(topic, len(payload), qos=0, retain=retain) + payload)
                return
            if len(self._inflight) < self._engine.settings.max_inflight:
                self._send((topic, payload, qos, retain, tag), connection)
                return
        elif connection is None and (self.clean or qos == 0):
            return
        self._enqueue((topic, payload, qos, retain, tag))

    def resume(self) -> None:
        """The client is back: send again what was in flight, then what waits."""
        connection = self.connection
        assert connection is not None
        for packet_id, message in self._inflight.items():
            if packet_id in self._released:
                connection.put(acknowledgement(Kind.PUBREL, packet_id))
            else:
                connection.put(_packet(message, packet_id, dup=True))
        self.drain()

    def drain(self) -> None:
        """Send what waits, as far as the client takes it."""
        connection = self.connection
        if connection is None:
            return
        limit = self._engine.settings.max_inflight
        while self._queue and not connection.congested:
            message = self._queue[0]
            if message[2] and len(self._inflight) >= limit:
                return
            self._queue.popleft()
            self._queued_bytes -= len(message[1])
            if message[2]:
                self._send(message, connection)
            else:
                connection.put(_packet(message, 0))

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK, or PUBCOMP, for a message of ours. An unknown one is ignored: it may be a repeated answer."""
        message = self._inflight.pop(packet_id, None)
        self._released.discard(packet_id)
        if message is None:
            return
        if message[4] is not None:
            self._engine.delivered(self, message[4])
        if self._queue:
            self.drain()

    def received_by_client(self, packet_id: int) -> None:
        """PUBREC for a QoS 2 message of ours: answer PUBREL, also when it is repeated [MQTT-4.3.3-1]."""
        if packet_id in self._inflight:
            self._released.add(packet_id)
        if self.connection is not None:
            self.connection.put(acknowledgement(Kind.PUBREL, packet_id))

    def _send(self, message: Message, connection: Connection) -> None:
        packet_id = self._next_id
        while True:
            packet_id = packet_id % MAX_PACKET_ID + 1
            if packet_id not in self._inflight:  # [MQTT-2.3.1-4]
                break
        self._next_id = packet_id
        self._inflight[packet_id] = message
        connection.put(_packet(message, packet_id))

    def _enqueue(self, message: Message) -> None:
        settings = self._engine.settings
        size = len(message[1])
        while len(self._queue) >= settings.max_queued or self._queued_bytes + size > settings.max_queued_bytes:
            oldest = next((index for index, waiting in enumerate(self._queue) if waiting[2] == 0), None)
            if oldest is None:
                self._engine.dropped(self, message[0], "the session's queue is full")
                return
            dropped = self._queue[oldest]
            del self._queue[oldest]
            self._queued_bytes -= len(dropped[1])
            self._engine.dropped(self, dropped[0], "made room in the session's queue")
        self._queue.append(message)
        self._queued_bytes += size


def shown_name(topic: str, shown: tuple[str, str] | None) -> str:
    """`topic` as a session with this rewriting sees it."""
    if shown is not None and topic.startswith(shown[0]):
        return shown[1] + topic[len(shown[0]) :]
    return topic


def _packet(message: Message, packet_id: int, *, dup: bool = False) -> bytes:
    topic, payload, qos, retain, _ = message
    head = publish_head(topic, len(payload), qos=qos, retain=retain, dup=dup and qos > 0)
    return head + packet_id.to_bytes(2, "big") + payload if qos else head + payload
