"""Write-behind of two servers: whatever is held back and batched in whichever way, an older connection changes nothing of a newer one's.

The database is a dictionary here that takes each update as `akela.documents.store` states it; that the real ones take it in the same way
is shown by tests/integration/storage/test_late_writes.py.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from akela.documents.store import EndpointUpdate
from operations.endpoint_writer import coalesced
from operations.generations import Generations

AT = datetime(2026, 1, 2, tzinfo=UTC)
KEY = "app/ep"


def presence(generation: str, server: str, *, away: bool = False) -> EndpointUpdate:
    value = {"at": AT, "server": None if away else server, "generation": generation, "by": server}
    return EndpointUpdate(KEY, {"presence": value}, newest=generation)


def ledger(server: str, **fields: Any) -> EndpointUpdate:
    return EndpointUpdate(KEY, fields, by=server)


class Stored:
    """The stored endpoint."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    @property
    def generation(self) -> str:
        return str(self.fields.get("presence", {}).get("generation", ""))

    def take(self, updates: Sequence[EndpointUpdate]) -> None:
        for update in updates:
            known = self.fields.get("presence", {})
            late = update.newest is not None and self.generation > update.newest
            foreign = update.by is not None and known.get("by") != update.by
            if not (late or foreign):
                self.fields |= update.fields


class Writer:
    """One server's write-behind, written when the test says so."""

    def __init__(self, name: str, stored: Stored) -> None:
        self.name = name
        self.generations = Generations(name, lambda: 1000.0)  # a clock that stands: the counter alone must do
        self._stored = stored
        self.queue: list[EndpointUpdate] = []

    def write(self, count: int) -> None:
        batch, self.queue = self.queue[:count], self.queue[count:]
        self._stored.take(coalesced(batch))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("attach"), st.sampled_from("ab")),
        st.tuples(st.sampled_from(["detach", "report"]), st.just("")),
        st.tuples(st.sampled_from(["write a", "write b"]), st.integers(1, 6)),
    ),
    min_size=10,
    max_size=30,
)


@given(STEPS)
def test_the_newest_connection_wins_whatever_is_held_back(steps: Sequence[tuple[str, Any]]) -> None:
    stored = Stored()
    writers = {name: Writer(name, stored) for name in "ab"}
    history: list[tuple[str, str, int | None]] = []  # of each connection: generation, server, what it reported last
    for number, (what, more) in enumerate(steps):
        if what == "attach":
            writer = writers[more]
            generation = writer.generations.next(max([stored.generation, *(g for g, s, _ in history if s == more)]))
            history.append((generation, more, None))
            writer.queue.append(presence(generation, more))
        elif what.startswith("write"):
            writers[what[-1]].write(more)
        elif history:
            generation, server, reported = history[-1]
            if what == "report":
                writers[server].queue.append(ledger(server, applied=number, of=generation))
                history[-1] = (generation, server, number)
            else:
                writers[server].queue.append(presence(generation, server, away=True))
        known = stored.fields
        if "of" in known:  # of the connection whose presence is stored, or of an older one until it writes its own
            assert known["of"] <= known["presence"]["generation"]
    newest = max(history)[1] if history else "a"
    for writer in sorted(writers.values(), key=lambda writer: writer.name != newest):  # the older ones' last
        writer.write(len(writer.queue))
    if history:
        generation, server, reported = max(history)
        assert stored.generation == generation
        if reported is not None:
            assert (stored.fields["applied"], stored.fields["of"]) == (reported, generation)


def test_neighbours_become_one_and_equal_steps_stand_together() -> None:
    def fresh(key: str) -> list[EndpointUpdate]:
        return [
            EndpointUpdate(key, {"presence": {"generation": "1"}}, newest="1"),
            EndpointUpdate(key, {"config.assigned": 1}, by="a"),
            EndpointUpdate(key, {"config.sent": 1}, by="a"),
        ]

    one, other = fresh("app/1"), fresh("app/2")
    assert [(update.key, update.fields) for update in coalesced([*one, *other])] == [
        ("app/1", {"presence": {"generation": "1"}}),
        ("app/2", {"presence": {"generation": "1"}}),
        ("app/1", {"config.assigned": 1, "config.sent": 1}),
        ("app/2", {"config.assigned": 1, "config.sent": 1}),
    ]


def test_what_an_earlier_connection_reported_goes_out_before_the_presence_of_the_next() -> None:
    """After it, it would be taken for the next connection's."""
    stored = Stored()
    stored.take([presence("1-a", "a"), presence("2-b", "b"), ledger("b", applied="y")])
    stored.take(coalesced([ledger("a", applied="x"), presence("3-a", "a")]))
    assert (stored.fields["applied"], stored.generation) == ("y", "3-a")


def test_an_older_presence_does_not_come_back_by_being_written_with_a_newer_one() -> None:
    (update,) = coalesced([presence("2-a", "a"), presence("1-a", "a", away=True)])
    assert (update.fields["presence"]["generation"], update.newest) == ("2-a", "2-a")
