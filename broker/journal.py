"""What has to survive a kill: sessions that outlive their connection, what waits for them, retained messages. No file, no clock.

Rules:

- A change is noted where it happens, in dicts; the shell takes all of them as one `Batch` and writes it in one transaction.
- What is undone before it was taken is never written: a message that its receiver acknowledges at once costs no disk.
- An acknowledgement that promises something waits for the batch that holds the promise (`decide`, `when_stored`).
- A batch that cannot be written is merged with what came after it and tried again; meanwhile, who waits to promise is refused.

Messages with a tag are not kept: the host that tagged them knows what became of them and repeats them itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from broker.message import EXPIRES, KEPT, PAYLOAD, PROPERTIES, QOS, RETAIN, TOPIC, Message

if TYPE_CHECKING:
    from broker.retained import Retained
    from broker.session import Session, Subscription

log = logging.getLogger(__name__)

NO_ROOM: Final = "the server cannot store it now"  # what a client is told

Value = int | float | str | bytes | None
Row = tuple[Value, ...]


class Table(Enum):
    """Where a change belongs."""

    SESSION = "session"
    WILL = "will"
    SUBSCRIPTION = "subscription"
    CONTENT = "content"
    WAITING = "waiting"
    RECEIVED = "received"
    RETAINED = "retained"


Changes = Mapping[Table, Mapping[Row, Row | None]]
"""Table -> key -> the row behind the key, or None: it is gone."""


class Content:
    """What all receivers of one message share: written once, gone with the last of them."""

    __slots__ = ("number", "refs")

    def __init__(self, number: int, refs: int = 0) -> None:
        self.number = number
        self.refs = refs


class Kept(NamedTuple):
    """A message's place on disk."""

    number: int
    content: Content


Decide = Callable[[bool], None]
"""Told whether what was noted before is on disk."""


class _Rows:
    """Changes of one table. What was added and dropped since the last batch leaves nothing."""

    __slots__ = ("fresh", "rows")

    def __init__(self) -> None:
        self.rows: dict[Row, Row | None] = {}
        self.fresh: set[Row] = set()

    def add(self, key: Row, row: Row) -> None:
        """A row whose key was never used."""
        self.rows[key] = row
        self.fresh.add(key)

    def drop(self, key: Row) -> None:
        if key in self.fresh:
            self.fresh.remove(key)
            del self.rows[key]
        else:
            self.rows[key] = None

    def behind(self, older: _Rows) -> None:
        """Take in what could not be written before."""
        self.rows = older.rows | self.rows
        self.fresh |= {key for key in older.fresh if self.rows[key] is not None}


class Batch(NamedTuple):
    """What is written in one transaction, and who waits for it."""

    tables: dict[Table, _Rows]
    waiters: list[Decide]

    @property
    def changes(self) -> Changes:
        """The changes, for the store."""
        return {table: found.rows for table, found in self.tables.items() if found.rows}


class Journal:
    """Notes changes and hands them on. `due(urgent)` is called when there is something to take."""

    def __init__(self, due: Callable[[bool], None], wall_offset_s: Callable[[], float]) -> None:
        self._due = due
        self._wall_offset_s = wall_offset_s  # Unix time minus the engine's clock
        self._tables = {table: _Rows() for table in Table}
        self._waiters: list[Decide] = []
        self._number = 0  # the last one given to a session, a content or a waiting message
        self._last: tuple[Message, Content] | None = None
        self.mark = 0  # grows with each change that an acknowledgement may have to wait for
        self.failing = False  # the last batch could not be written

    def start_at(self, number: int) -> None:
        """Numbers up to this one are taken."""
        self._number = number

    # Sessions.

    def session(self, session: Session) -> None:
        """Note what a session is now; one that does not outlive its connection is forgotten."""
        if not session.durable:
            if session.journal is not None:
                self.forget(session)
            return
        fresh = session.journal is None
        if fresh:
            session.stored, session.journal = self._next(), self
        detached_at = None if session.detached_s is None else session.detached_s + self._wall_offset_s()
        row = (session.namespace, session.client_id, session.expiry_s, detached_at)
        self._tables[Table.SESSION].rows[(session.stored,)] = row
        if session.will is not None or not fresh:
            self._note_will(session)
        if fresh:
            for subscription in session.subscriptions.values():
                self.subscribed(subscription)
        self._due(False)

    def forget(self, session: Session) -> None:
        """A session ends, with everything that waits for it."""
        self._tables[Table.SESSION].drop((session.stored,))
        self._tables[Table.WILL].drop((session.stored,))
        for key in session.subscriptions:
            self._tables[Table.SUBSCRIPTION].drop((session.stored, key))
        for message in session.messages():
            self.drop(message)
        for packet_id in session.received:
            self._tables[Table.RECEIVED].drop((session.stored, packet_id))
        session.journal = None
        self._due(False)

    def subscribed(self, subscription: Subscription) -> None:
        """A subscription is granted."""
        s = subscription
        prefix, shown = s.shown or (None, None)
        key = (s.session.stored, s.key)
        self._tables[Table.SUBSCRIPTION].rows[key] = (
            s.topic_filter, s.qos, prefix, shown, s.requested, s.group, s.no_local, s.retain_as_published, s.identifier,
        )  # fmt: skip
        self._promise()

    def unsubscribed(self, subscription: Subscription) -> None:
        """A subscription has ended."""
        self._tables[Table.SUBSCRIPTION].drop((subscription.session.stored, subscription.key))
        self._promise()

    # Messages to sessions.

    def keep(self, session: Session, message: Message) -> Message:
        """A message of QoS 1 or 2 is for a session: the message with its place on disk."""
        content = self._content(message)
        content.refs += 1
        kept = Kept(self._next(), content)
        row = (session.stored, content.number, message[QOS], message[RETAIN], None, False)
        self._tables[Table.WAITING].add((kept.number,), row)
        self._promise()
        return (*message[:KEPT], kept)

    def sent(self, session: Session, message: Message, packet_id: int, *, released: bool) -> None:
        """The packet id of a QoS 2 message; `released`: the client has it, PUBREL follows."""
        kept = message[KEPT]
        if kept is not None:
            row = (session.stored, kept.content.number, message[QOS], message[RETAIN], packet_id, released)
            self._tables[Table.WAITING].rows[(kept.number,)] = row
            self._promise()

    def drop(self, message: Message) -> None:
        """A message waits no longer: it is acknowledged, has expired or found no room."""
        kept = message[KEPT]
        if kept is None:
            return
        self._tables[Table.WAITING].drop((kept.number,))
        kept.content.refs -= 1
        if not kept.content.refs:
            self._tables[Table.CONTENT].drop((kept.content.number,))
        self._due(False)

    # Messages from sessions, retained messages.

    def received(self, session: Session, packet_id: int) -> None:
        """A QoS 2 message of a client is taken."""
        self._tables[Table.RECEIVED].rows[(session.stored, packet_id)] = ()
        self._promise()

    def released(self, session: Session, packet_id: int) -> None:
        """Its packet id is free again."""
        self._tables[Table.RECEIVED].drop((session.stored, packet_id))
        self._promise()

    def retained(self, topic: str, message: Retained | None) -> None:
        """A topic's retained message, or None: it is forgotten. The server's own topics are not kept."""
        if topic.startswith("$"):
            return
        row: Row | None = None
        if message is not None:
            row = (message.payload, message.qos, message.properties, self._wall(message.expires_s))
        self._tables[Table.RETAINED].rows[(topic,)] = row
        self._promise()

    # Promises.

    def decide(self, call: Decide) -> None:
        """Tell `call` whether what was noted up to now could be written, after one try."""
        self._waiters.append(call)
        self._due(True)

    def when_stored(self, call: Callable[[], None]) -> None:
        """Call when what was noted up to now is written, however long it takes."""

        def decided(stored: bool) -> None:
            if stored:
                call()
            else:
                self._waiters.append(decided)

        self.decide(decided)

    # What the shell uses.

    def take(self) -> Batch:
        """All that is to be written now."""
        batch = Batch(self._tables, self._waiters)
        self._tables = {table: _Rows() for table in Table}
        self._waiters = []
        return batch

    def written(self, batch: Batch) -> None:
        """A batch is on disk."""
        self.failing = False
        _tell(batch.waiters, stored=True)

    def not_written(self, batch: Batch) -> None:
        """A batch could not be written: keep its changes for the next one."""
        self.failing = True
        for table, rows in self._tables.items():
            rows.behind(batch.tables[table])
        _tell(batch.waiters, stored=False)

    def _note_will(self, session: Session) -> None:
        will, wills = session.will, self._tables[Table.WILL]
        if will is None:
            wills.drop((session.stored,))
            return
        wills.rows[(session.stored,)] = (
            will.topic, will.payload, will.qos, will.retain, will.delay_s, will.properties, will.expiry_s,
        )  # fmt: skip

    def _content(self, message: Message) -> Content:
        """The content of a message; the deliveries of one publish come one after the other and share it."""
        if self._last is not None:
            last, content = self._last
            same = last[PAYLOAD] is message[PAYLOAD] and last[TOPIC] == message[TOPIC]
            if same and last[PROPERTIES] == message[PROPERTIES] and last[EXPIRES] == message[EXPIRES] and content.refs:
                return content
        content = Content(self._next())
        self._last = message, content
        row = (message[TOPIC], message[PAYLOAD], message[PROPERTIES], self._wall(message[EXPIRES]))
        self._tables[Table.CONTENT].add((content.number,), row)
        return content

    def _wall(self, at_s: float | None) -> float | None:
        return None if at_s is None else at_s + self._wall_offset_s()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _promise(self) -> None:
        self.mark += 1
        self._due(False)


def _tell(waiters: Sequence[Decide], *, stored: bool) -> None:
    for waiter in waiters:
        try:
            waiter(stored)
        except Exception:
            log.exception("an acknowledgement could not be carried out")
