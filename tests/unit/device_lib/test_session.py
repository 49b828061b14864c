"""The endpoint's side of the contract, without a socket: what it says, and what it makes of what it hears, right or wrong."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from akela.contract.canonical import config_id
from akela.contract.delta import diff
from device_lib.session import Answered, EndpointSession, NewConfiguration, Publish, Registered
from device_lib.store import EndpointState
from tests.unit.contract.strategies import NO_NULL_OBJECTS

CONFIG = {"interval": 10, "net": {"retry": 3}}


def said(step: object) -> tuple[str, Any]:
    assert isinstance(step, Publish)
    return step.topic, json.loads(step.payload) if step.payload else None


def push(value: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"id": config_id(value), "seq": 1, "full": value} | more).encode()


def holding(value: dict[str, Any]) -> EndpointSession:
    return EndpointSession(EndpointState(config_id=config_id(value), config=value))


def test_hello_says_what_it_holds() -> None:
    (hello,) = holding(CONFIG).connected()
    topic, body = said(hello)
    assert topic == "a1/me/u/hello/r1"
    assert body["config"] == config_id(CONFIG)


def test_a_profile_is_sent_when_the_server_may_not_have_it() -> None:
    session = EndpointSession(EndpointState(), profile={"model": "m"})
    _, profile = session.connected()
    assert said(profile) == ("a1/me/u/profile/r2", {"model": "m"})
    session.received("a1/me/d/re/r2/200", json.dumps({"profile": config_id({"model": "m"})}).encode())
    assert len(session.connected()) == 1
    answer = session.received("a1/me/d/re/r3/200", b'{"wants": ["profile"]}')
    assert said(answer[1])[1] == {"model": "m"}


def test_it_registers_once_and_keeps_its_credential() -> None:
    state = EndpointState()
    session = EndpointSession(state, register=True)
    register, _ = session.connected()
    assert said(register)[0] == "a1/me/u/reg/r1"
    steps = session.received("a1/me/d/re/r1/201", b'{"id": "c1", "credential": "secret"}')
    assert Registered("secret") in steps
    assert state.credential == "secret"
    assert [said(step)[0] for step in session.connected()] == ["a1/me/u/hello/r3"]


def test_k28_full_then_delta_then_nothing_to_do() -> None:
    session = EndpointSession(EndpointState())
    (full,) = session.received("a1/me/d/config", push(CONFIG))
    assert full == NewConfiguration(config_id(CONFIG), CONFIG)
    assert isinstance(full, NewConfiguration)
    (report,) = session.applied(full.id, full.value)
    assert said(report) == ("a1/me/u/config/applied", {"id": config_id(CONFIG), "code": 200})
    changed = CONFIG | {"interval": 20}
    delta = {"id": config_id(changed), "seq": 2, "base": config_id(CONFIG), "delta": {"interval": 20}}
    (second,) = session.received("a1/me/d/config", json.dumps(delta).encode())
    assert second == NewConfiguration(config_id(changed), changed)


@pytest.mark.parametrize(
    "push_",
    [
        {"id": "0" * 16, "seq": 1, "full": CONFIG},
        {"id": "0" * 16, "seq": 1, "base": "unknown", "delta": {}},
        {"id": "0" * 16, "seq": 1, "base": config_id(CONFIG), "delta": {"interval": 1}},
    ],
)
def test_what_does_not_fit_its_id_is_asked_for_whole(push_: dict[str, Any]) -> None:
    (step,) = holding(CONFIG).received("a1/me/d/config", json.dumps(push_).encode())
    assert said(step)[0].startswith("a1/me/u/config/get/")


def test_a_refused_configuration_is_reported_and_not_kept() -> None:
    session = holding(CONFIG)
    (report,) = session.refused("abc", "no such sensor", "/sensor")
    assert said(report)[1] == {"id": "abc", "code": 422, "key": "/sensor", "reason": "no such sensor"}
    assert session.state.config == CONFIG


def test_refusals_are_told() -> None:
    session = EndpointSession(EndpointState())
    (told,) = session.received("a1/me/d/err/422", b'{"plane": "data", "reason": "bad", "key": "/v"}')
    assert told == Answered(None, 422, {"plane": "data", "reason": "bad", "key": "/v"})


@given(st.lists(NO_NULL_OBJECTS, min_size=1, max_size=5))
def test_any_sequence_of_deltas_arrives_at_the_server_s_value(values: list[dict[str, Any]]) -> None:
    session = EndpointSession(EndpointState())
    held: dict[str, Any] | None = None
    for value in values:
        body = {"full": value} if held is None else {"base": config_id(held), "delta": diff(held, value)}
        (step,) = session.received("a1/me/d/config", json.dumps({"id": config_id(value), "seq": 1} | body).encode())
        assert isinstance(step, NewConfiguration)
        session.applied(step.id, step.value)
        held = value
        assert session.state.config_id == config_id(value)


@given(st.sampled_from(["config", "re/r1/200", "re/r1/201", "err/400", "x", "re/r1/x", ""]), st.binary(max_size=60))
def test_no_message_breaks_it(leaf: str, payload: bytes) -> None:
    session = EndpointSession(EndpointState(), profile={"a": 1}, register=True)
    session.connected()
    assert isinstance(session.received(f"a1/me/d/{leaf}", payload), list)


@given(
    st.sampled_from(["config", "re/r1/200", "re/r1/201", "err/400"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "full", "delta", "base", "seq", "profile", "wants", "credential", "reason"]), inner),
        max_leaves=8,
    ),
)  # fmt: skip
def test_no_json_breaks_it(leaf: str, value: Any) -> None:
    session = EndpointSession(EndpointState(), profile={"a": 1}, register=True)
    session.connected()
    assert isinstance(session.received(f"a1/me/d/{leaf}", json.dumps(value).encode()), list)


def test_it_reports_what_the_device_set() -> None:
    session = holding(CONFIG)
    assert said(session.report({"interval": 5})) == ("a1/me/u/config/report/r1", {"values": {"interval": 5}})
    moment = datetime(2030, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    for until, shown in ((60, 60), (moment, "2030-01-01T00:00:00+00:00")):
        assert said(session.report({"net": {"retry": None}}, until))[1] == {
            "values": {"net": {"retry": None}},
            "until": shown,
        }
    (answer,) = session.received("a1/me/d/re/r1/403", b'{"rejected": ["/interval"]}')
    assert answer == Answered("r1", 403, {"rejected": ["/interval"]})


def test_it_says_with_what_is_applied_what_the_device_set_otherwise() -> None:
    session = holding(CONFIG)
    (step,) = session.applied("c1", CONFIG, {"interval": 5})
    assert said(step) == ("a1/me/u/config/applied", {"id": "c1", "code": 200, "values": {"interval": 5}})
    (step,) = session.applied("c1", CONFIG, {})
    assert said(step)[1] == {"id": "c1", "code": 200}
