"""Puts back what was on disk when the last broker ended, however it ended.

To the sessions a restart is a lost connection: those that were connected are without one from now on, their wills are published
after their delay, their time runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from broker.engine import Engine
from broker.hooks import Will
from broker.journal import Content, Journal, Kept, Row, Table
from broker.retained import Retained
from broker.session import Session, Subscription

Rows = Mapping[Table, Sequence[Row]]


def restore(engine: Engine, journal: Journal, rows: Rows, unix_s: float) -> None:
    """Fill an empty engine with the rows of its store. `unix_s`: the present. `Engine.tick` then ends whose time ran out."""
    past_s = unix_s - engine.clock()  # Unix time minus the engine's clock
    sessions = {row[0]: _session(engine, journal, row, past_s) for row in rows[Table.SESSION]}
    for row in rows[Table.SUBSCRIPTION]:
        engine.subscribing.restore(_subscription(sessions[row[0]], row))
    for owner, packet_id in rows[Table.RECEIVED]:
        sessions[owner].received[_int(packet_id)] = None
    _messages(sessions, rows, past_s)
    for topic, payload, qos, properties, expires_at in rows[Table.RETAINED]:
        if expires_at is not None and _float(expires_at) <= unix_s:
            journal.retained(str(topic), None)
        else:
            kept = Retained(_bytes(payload), _int(qos), _bytes(properties), _clock(expires_at, past_s))
            engine.delivery.retained.restore(str(topic), kept)
    for row in rows[Table.WILL]:
        sessions[row[0]].will = _will(row)
    for session in sessions.values():
        engine.restore(session)
        engine.wills.restored(session)
    numbers = [row[0] for table in (Table.SESSION, Table.CONTENT, Table.WAITING) for row in rows[table]]
    journal.start_at(max((_int(number) for number in numbers), default=0))


def _session(engine: Engine, journal: Journal, row: Row, past_s: float) -> Session:
    number, namespace, client_id, expiry_s, detached_at = row
    session = Session(engine, str(namespace), str(client_id), None)
    session.stored, session.journal = _int(number), journal
    session.expiry_s = _float(expiry_s)
    detached_s = _clock(detached_at, past_s)
    session.detached_s = engine.clock() if detached_s is None else min(detached_s, engine.clock())
    return session


def _subscription(session: Session, row: Row) -> Subscription:
    _, _, topic_filter, qos, prefix, shown, requested, group, no_local, as_published, identifier = row
    return Subscription(
        session=session,
        topic_filter=str(topic_filter),
        levels=tuple(str(topic_filter).split("/")),
        qos=_int(qos),
        shown=None if prefix is None else (str(prefix), str(shown)),
        requested=str(requested),
        group=None if group is None else str(group),
        no_local=bool(no_local),
        retain_as_published=bool(as_published),
        identifier=None if identifier is None else _int(identifier),
        stored=True,
    )


def _messages(sessions: Mapping[Any, Session], rows: Rows, past_s: float) -> None:
    contents = {row[0]: (Content(_int(row[0])), row) for row in rows[Table.CONTENT]}
    for number, owner, content_number, qos, retain, packet_id, released in rows[Table.WAITING]:
        content, (_, topic, payload, properties, expires_at) = contents[content_number]
        content.refs += 1
        message = (
            _bytes(topic), _bytes(payload), _int(qos), bool(retain), None, _bytes(properties), _clock(expires_at, past_s),
            Kept(_int(number), content),
        )  # fmt: skip
        sessions[owner].restore(message, None if packet_id is None else _int(packet_id), released=bool(released))


def _will(row: Row) -> Will:
    _, topic, payload, qos, retain, delay_s, properties, expiry_s = row
    return Will(
        str(topic), _bytes(payload), _int(qos), bool(retain), _int(delay_s), _bytes(properties),
        None if expiry_s is None else _int(expiry_s),
    )  # fmt: skip


def _clock(at: object, past_s: float) -> float | None:
    return None if at is None else _float(at) - past_s


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _float(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
