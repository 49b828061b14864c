"""A session: what the engine remembers of a client, whether it is connected or not (MQTT 5.0, section 4.1).

Subscriptions, messages in flight and messages that wait. A session knows its connection, if it has one, only as a place to put messages;
it knows no socket. Rules:

- At most `window` messages of QoS 1 and 2 are on their way at a time; the rest wait in order.
- What waits is bounded by count and bytes. To make room the oldest QoS 0 message goes first, then the new message itself.
- After a reconnect, what was in flight goes out again, first and in its order, with DUP [MQTT-4.4.0-1].
- Where the session is kept on disk (`journal`), a packet that ends or begins a step of exactly-once goes out after the step is
  written: a QoS 2 PUBLISH, PUBREL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from broker import topics
from broker.hooks import Peer, Will
from broker.message import EXPIRES, KEPT, PAYLOAD, PROPERTIES, QOS, TAG, TOPIC, Message
from broker.packets import Kind, acknowledgement, acknowledgement_5
from broker.properties import NONE, Properties
from broker.reasons import Reason

if TYPE_CHECKING:
    from broker.connection import Connection
    from broker.engine import Engine
    from broker.incoming import Pending
    from broker.journal import Journal

MAX_PACKET_ID: Final = 0xFFFF


@dataclass(slots=True, eq=False)
class Subscription:
    """One granted subscription."""

    session: Session
    topic_filter: str  # canonical, without $share
    levels: tuple[str, ...]
    qos: int
    shown: tuple[str, str] | None
    requested: str  # as the session wrote it
    group: str | None = None  # of a shared subscription
    no_local: bool = False
    retain_as_published: bool = False
    identifier: int | None = None
    stored: bool = False  # it is on disk, where sessions are kept there

    def same(self, other: Subscription) -> bool:
        """Whether another subscription of the session changes nothing."""
        return _terms(self) == _terms(other)

    @property
    def key(self) -> str:
        """What the session knows it by: a second one with the same key takes its place."""
        return self.topic_filter if self.group is None else f"{topics.SHARE}{self.group}/{self.topic_filter}"


class Session:
    """One client's session, in the application's `namespace`. Hooks get it and may use what is public here."""

    __slots__ = (
        "_engine", "_inflight", "_next_id", "_queued_bytes", "_queued_qos_0", "_released", "account", "client_id", "connection",
        "detached_s", "expiry_s", "incoming", "journal", "namespace", "pending", "principal", "queue", "received", "stored",
        "subscriptions", "ticket", "will", "will_due_s", "window",
    )  # fmt: skip

    def __init__(self, engine: Engine, namespace: str, client_id: str, principal: object) -> None:
        self._engine = engine
        self.namespace = namespace
        self.client_id = client_id
        self.principal = principal
        self.account = namespace  # whose rate its messages count for
        self.expiry_s = 0.0  # how long it is kept without a connection; 0: it ends with the connection
        self.window = engine.settings.max_inflight
        self.connection: Connection | None = None
        self.detached_s: float | None = None  # engine's clock, while there is no connection
        self.subscriptions: dict[str, Subscription] = {}  # by key
        self.will: Will | None = None
        self.will_due_s: float | None = None  # when a delayed will is published, while there is no connection
        self.incoming: Properties | None = None  # MQTT 5.0 properties of the message that a handler is given
        self.received: dict[int, None] = {}  # QoS 2 packet ids taken and not yet released
        self.pending: dict[int, Pending] = {}  # by ticket: messages that a handler has not settled
        self.ticket = 0
        self._inflight: dict[int, Message] = {}  # by packet id, in the order of sending
        self._released: dict[int, None] = {}  # of these, QoS 2 ones for which PUBREL is out
        self.queue: deque[Message] | None = None  # made when something waits: most sessions never need it
        self._queued_bytes = 0
        self._queued_qos_0 = 0  # how many of those that wait
        self._next_id = 0
        self.journal: Journal | None = None  # where it is kept on disk
        self.stored = 0  # its number there

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
        return len(self.queue) if self.queue else 0

    @property
    def inflight(self) -> int:
        """Messages of QoS 1 and 2 that the client has been sent and has not acknowledged."""
        return len(self._inflight)

    @property
    def durable(self) -> bool:
        """Whether it outlives its connection."""
        return self.expiry_s > 0

    def takes(self, topic: str) -> Subscription | None:
        """The subscription with the highest QoS that takes `topic`, or None."""
        best = None
        for subscription in self.subscriptions.values():
            if (best is None or subscription.qos > best.qos) and topics.matches(subscription.levels, topic):
                best = subscription
        return best

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        tag: object | None = None,
        properties: Properties | None = None,
    ) -> bool:
        """Send to this session alone; False when none of its subscriptions takes `topic` (canonical).

        A `tag` comes back in `DeliveryObserver.on_delivered` when the client has acknowledged.
        """
        subscription = self.takes(topic)
        if subscription is None:
            return False
        name = shown_name(topic, subscription.shown).encode()
        said = b"" if properties is None else properties.encode()
        self.deliver((name, payload, min(qos, subscription.qos), retain, tag, said, None, None))
        return True

    def settle(self, ticket: int, reason: Reason = Reason.SUCCESS, text: str | None = None) -> None:
        """End a message that a handler held: it is acknowledged with `reason`, and routed unless that is a refusal."""
        self._engine.settle(self, ticket, reason, text)

    def abandon(self, ticket: int) -> None:
        """End a message that a handler held without an acknowledgement: the connection closes, the client sends again."""
        self._engine.abandon(self, ticket)

    def disconnect(
        self, reason: Reason = Reason.ADMINISTRATIVE_ACTION, text: str = "", server_reference: str | None = None
    ) -> None:
        """End the connection, if there is one; an MQTT 5.0 client is told why, and where to go instead."""
        self._engine.disconnect(self, reason, text, server_reference)

    def recheck(self) -> None:
        """Ask the authorizers anew: for each subscription now, for each topic when it is next published."""
        self._engine.subscribing.recheck(self)

    # What the engine uses.

    def deliver(self, message: Message) -> None:
        """Put a message on its way, or where it waits."""
        connection = self.connection
        if connection is None and (not self.expiry_s or message[QOS] == 0):
            return
        if self.journal is not None and message[QOS] and message[TAG] is None:
            message = self.journal.keep(self, message)
        if connection is not None and not connection.congested and not self.queue:
            if message[QOS] == 0:
                if not connection.publish(message, 0):
                    self._too_large(message)
                return
            if len(self._inflight) < self.window:
                self._send(message, connection)
                return
        self._enqueue(message)

    def push(self, connection: Connection, made: tuple[Message, bytes, bytes]) -> bool:
        """Send a message of QoS 1 or 2 whose packet is made, but for the packet id in its middle; False when the window is full."""
        inflight = self._inflight
        if len(inflight) >= self.window:
            return False
        packet_id = self._next_id % MAX_PACKET_ID + 1
        while packet_id in inflight:
            packet_id = packet_id % MAX_PACKET_ID + 1
        self._next_id = packet_id
        inflight[packet_id], head, tail = made
        if connection.dirty:
            connection.outgoing.append(head + packet_id.to_bytes(2, "big") + tail)
        else:
            connection.put(head + packet_id.to_bytes(2, "big") + tail)
        return True

    def resume(self) -> None:
        """The client is back: send again what was in flight, then what waits."""
        connection = self.connection
        assert connection is not None
        for packet_id, message in list(self._inflight.items()):
            if packet_id in self._released:
                self._put_pubrel(packet_id, message)
            elif message[QOS] == 2 and self.journal is not None:
                self._publish_when_stored(message, packet_id, dup=True)
            elif not connection.publish(message, packet_id, dup=True):
                del self._inflight[packet_id]
                self._too_large(message)
        self.drain()

    def drain(self) -> None:
        """Send what waits, as far as the client takes it; what has expired meanwhile is passed over [MQTT-3.3.2-5]."""
        connection, queue = self.connection, self.queue
        if connection is None or not queue:
            return
        while queue and not connection.congested:
            message = queue[0]
            if message[QOS] and len(self._inflight) >= self.window:
                return
            queue.popleft()
            self._queued_bytes -= _size(message)
            self._queued_qos_0 -= message[QOS] == 0
            expires_s = message[EXPIRES]
            if expires_s is not None and self._engine.clock() >= expires_s:
                self._engine.stats.expired += 1
                self._unkeep(message)
            elif message[QOS]:
                self._send(message, connection)
            elif not connection.publish(message, 0):
                self._too_large(message)

    def puback(self, packet_id: int) -> None:
        """PUBACK for a message of ours. One that fits none is ignored: it may be a repeated answer."""
        message = self._inflight.get(packet_id)
        if message is None or message[QOS] != 1:
            return
        if message[TAG] is not None or message[KEPT] is not None:
            self._done(packet_id, message)
            return
        del self._inflight[packet_id]
        if self.queue:
            self.drain()

    def pubcomp(self, packet_id: int) -> None:
        """PUBCOMP for a message of ours, or for none."""
        message = self._inflight.get(packet_id)
        if message is not None and message[QOS] == 2:
            self._done(packet_id, message)

    def received_by_client(self, packet_id: int, reason: int) -> None:
        """PUBREC for a QoS 2 message of ours: answer PUBREL, also when it is repeated [MQTT-4.3.3-4]. A refusal ends it."""
        message, connection = self._inflight.get(packet_id), self.connection
        if reason >= Reason.UNSPECIFIED:
            if message is not None and packet_id not in self._released:
                self._done(packet_id, message)
            return
        if message is not None:
            if self.journal is not None and packet_id not in self._released:
                self.journal.sent(self, message, packet_id, released=True)
            self._released[packet_id] = None
            self._put_pubrel(packet_id, message)
        elif connection is not None and connection.level == 5:
            unknown = Reason.PACKET_IDENTIFIER_NOT_FOUND
            connection.put(acknowledgement_5(Kind.PUBREL, packet_id, unknown, NONE))
        elif connection is not None:
            connection.put(acknowledgement(Kind.PUBREL, packet_id))

    def messages(self) -> Iterator[Message]:
        """All that is on its way or waits, in its order."""
        yield from self._inflight.values()
        yield from self.queue or ()

    def restore(self, message: Message, packet_id: int | None, *, released: bool) -> None:
        """Put back what was read from disk; a QoS 2 message that was on its way keeps its packet id."""
        if packet_id is None:
            self.queue = self.queue or deque()
            self.queue.append(message)
            self._queued_bytes += _size(message)
            return
        self._inflight[packet_id] = message
        self._next_id = packet_id
        if released:
            self._released[packet_id] = None

    def when_stored(self, call: Callable[[], None]) -> None:
        """Call when what was noted of this session is on disk; at once if it is not kept there."""
        if self.journal is None:
            call()
        else:
            self.journal.when_stored(call)

    def _put_pubrel(self, packet_id: int, message: Message) -> None:
        connection = self.connection

        def put() -> None:
            if connection is not None and connection.open and self._inflight.get(packet_id) is message:
                connection.put(acknowledgement(Kind.PUBREL, packet_id))

        self.when_stored(put)

    def _publish_when_stored(self, message: Message, packet_id: int, *, dup: bool) -> None:
        """A QoS 2 PUBLISH leaves when its packet id is written: after a kill it must go out under the same one."""
        connection = self.connection

        def publish() -> None:
            if connection is None or not connection.open or self._inflight.get(packet_id) is not message:
                return
            if packet_id not in self._released and not connection.publish(message, packet_id, dup=dup):
                del self._inflight[packet_id]
                self._too_large(message)

        self.when_stored(publish)

    def _unkeep(self, message: Message) -> None:
        if self.journal is not None:
            self.journal.drop(message)

    def _done(self, packet_id: int, message: Message) -> None:
        del self._inflight[packet_id]
        self._released.pop(packet_id, None)
        if message[KEPT] is not None:
            self._unkeep(message)
        if message[TAG] is not None:
            self._engine.observers.delivered(self, message[TAG])
        if self.queue:
            self.drain()

    def _send(self, message: Message, connection: Connection) -> None:
        packet_id = self._next_id
        while True:
            packet_id = packet_id % MAX_PACKET_ID + 1
            if packet_id not in self._inflight:  # [MQTT-2.2.1-4]
                break
        if message[QOS] == 2 and self.journal is not None:
            self.journal.sent(self, message, packet_id, released=False)
            self._publish_when_stored(message, packet_id, dup=False)
        elif not connection.publish(message, packet_id):
            self._too_large(message)
            return
        self._next_id = packet_id
        self._inflight[packet_id] = message

    def _enqueue(self, message: Message) -> None:
        settings = self._engine.settings
        if self.queue is None:
            self.queue = deque()
        queue, size = self.queue, _size(message)
        while len(queue) >= settings.max_queued or self._queued_bytes + size > settings.max_queued_bytes:
            if not self._queued_qos_0:
                self._unkeep(message)
                self._engine.observers.dropped(self, message[TOPIC], "the session's queue is full")
                return
            oldest = next(index for index, waiting in enumerate(queue) if waiting[QOS] == 0)
            dropped = queue[oldest]
            del queue[oldest]
            self._queued_bytes -= _size(dropped)
            self._queued_qos_0 -= 1
            self._engine.observers.dropped(self, dropped[TOPIC], "made room in the session's queue")
        queue.append(message)
        self._queued_bytes += size
        self._queued_qos_0 += message[QOS] == 0

    def _too_large(self, message: Message) -> None:
        self._unkeep(message)
        self._engine.observers.dropped(self, message[TOPIC], "larger than the client takes")


def _terms(s: Subscription) -> tuple[object, ...]:
    return (s.topic_filter, s.qos, s.shown, s.requested, s.group, s.no_local, s.retain_as_published, s.identifier)


def shown_name(topic: str, shown: tuple[str, str] | None) -> str:
    """`topic` as a session with this rewriting sees it."""
    if shown is not None and topic.startswith(shown[0]):
        return shown[1] + topic[len(shown[0]) :]
    return topic


def _size(message: Message) -> int:
    return len(message[PAYLOAD]) + len(message[PROPERTIES])
