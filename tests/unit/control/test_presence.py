"""An endpoint is attached where its stored presence says, if that server is there and has run since."""

from datetime import UTC, datetime, timedelta
from typing import Any

from akela.coordination import Member
from control.presence import server_of

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def servers(started: datetime | None) -> dict[str, Member]:
    payload: dict[str, Any] = {} if started is None else {"started": started.isoformat()}
    return {"a": Member("a", 3, payload)}


def test_presence_on_a_server_that_runs() -> None:
    stored = {"presence": {"at": AT, "server": "a"}}
    assert server_of(stored, servers(AT - timedelta(hours=1))) == "a"
    assert server_of(stored, servers(AT)) == "a"
    assert server_of(stored, servers(None)) == "a"  # a server that does not say when it was started


def test_presence_of_a_server_that_is_gone_or_was_started_anew_is_none() -> None:
    stored = {"presence": {"at": AT, "server": "a"}}
    assert server_of(stored, {}) is None
    assert server_of(stored, servers(AT + timedelta(milliseconds=1))) is None


def test_an_endpoint_that_is_away_or_was_never_there() -> None:
    assert server_of({"presence": {"at": AT, "server": None}}, servers(None)) is None
    assert server_of({"presence": None}, servers(None)) is None
    assert server_of({}, servers(None)) is None
