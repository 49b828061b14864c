"""The journal against a dict that is written as it says: what is on disk is always a state that was, and at rest the present one."""

from hypothesis import given
from hypothesis import strategies as st

from broker.engine import Engine
from broker.hooks import Hooks
from broker.journal import Journal, Kept, Row, Table
from broker.message import KEPT, Message
from broker.session import Session
from broker.settings import BrokerSettings


class Disk:
    """What a store would hold."""

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.journal = Journal(self.asked.append, lambda: 0.0)
        self.tables: dict[Table, dict[Row, Row]] = {table: {} for table in Table}
        self.engine = Engine(
            BrokerSettings(), Hooks(), lambda: None, lambda *_: None, lambda: 0.0, journal=self.journal
        )

    def session(self, client_id: str) -> Session:
        session = Session(self.engine, "", client_id, None)
        session.expiry_s = 60.0
        self.journal.session(session)
        return session

    def write(self, *, works: bool = True) -> int:
        """Gives how many rows were touched."""
        batch = self.journal.take()
        if not works:
            self.journal.not_written(batch)
            return 0
        for table, rows in batch.changes.items():
            for key, row in rows.items():
                if row is None:
                    self.tables[table].pop(key, None)
                else:
                    self.tables[table][key] = row
        self.journal.written(batch)
        return sum(map(len, batch.changes.values()))


def message(payload: bytes, qos: int = 1) -> Message:
    return (b"t", payload, qos, False, None, b"", None, None)


def kept(made: Message) -> Kept:
    found = made[KEPT]
    assert found is not None
    return found


def test_what_is_acknowledged_before_it_was_taken_is_never_written() -> None:
    disk = Disk()
    session = disk.session("c")
    disk.write()
    for _ in range(10):
        disk.journal.drop(disk.journal.keep(session, message(b"x")))
    assert disk.write() == 0


def test_deliveries_of_one_publish_share_their_content() -> None:
    disk = Disk()
    sessions = [disk.session(str(number)) for number in range(5)]
    one = message(b"x")
    made = [disk.journal.keep(session, one) for session in sessions]
    disk.write()
    assert (len(disk.tables[Table.CONTENT]), len(disk.tables[Table.WAITING])) == (1, 5)
    for delivery in made:
        disk.journal.drop(delivery)
    disk.write()
    assert (len(disk.tables[Table.CONTENT]), len(disk.tables[Table.WAITING])) == (0, 0)


def test_who_decides_is_told_of_one_try_and_who_waits_of_success_only() -> None:
    disk = Disk()
    told: list[bool | str] = []
    disk.journal.decide(told.append)
    disk.journal.when_stored(lambda: told.append("stored"))
    disk.write(works=False)
    assert told == [False]
    assert disk.journal.failing
    disk.write()
    assert told == [False, "stored"]
    assert not disk.journal.failing


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    kinds = st.sampled_from(["keep", "keep", "drop", "sent", "end", "write", "fail"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 2), st.integers(0, 50)), max_size=60))


@given(steps())
def test_at_rest_the_disk_holds_the_present(todo: list[tuple[str, int, int]]) -> None:
    disk = Disk()
    sessions = [disk.session(str(number)) for number in range(3)]
    waiting: list[tuple[Session, Message]] = []
    sent: dict[int, int] = {}
    for kind, who, number in todo:
        session = sessions[who]
        if kind == "keep":
            made = disk.journal.keep(session, message(bytes([number % 3]), 2))
            session.restore(made, None, released=False)
            waiting.append((session, made))
        elif kind in ("drop", "sent") and waiting:
            owner, made = waiting[number % len(waiting)]
            if kind == "sent":
                disk.journal.sent(owner, made, number + 1, released=False)
                sent[kept(made).number] = number + 1
            else:
                waiting.remove((owner, made))
                assert owner.queue is not None
                owner.queue.remove(made)
                disk.journal.drop(made)
        elif kind == "end":
            disk.journal.forget(session)
            waiting = [(owner, made) for owner, made in waiting if owner is not session]
            sessions[who] = disk.session(str(who))
        elif kind in ("write", "fail"):
            disk.write(works=kind == "write")
    disk.write()
    rows = {key[0]: (row[0], row[4]) for key, row in disk.tables[Table.WAITING].items()}
    assert rows == {kept(m).number: (owner.stored, sent.get(kept(m).number)) for owner, m in waiting}
    assert disk.tables[Table.CONTENT].keys() == {(kept(m).content.number,) for _, m in waiting}
    assert disk.tables[Table.SESSION].keys() == {(session.stored,) for session in sessions}
