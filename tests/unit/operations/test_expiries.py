"""Sessions end at the moment at which what they came with expires; one timer serves all of them. Time is moved by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from akela.contract.topics import app_token, endpoint_id
from broker.connection import Connection
from broker.engine import Engine
from broker.hooks import Accepted, ConnectRequest, DetachCause, Hooks
from broker.settings import BrokerSettings
from operations.expiries import CLEARED_FROM, LONGEST_WAIT_S, Expiries
from operations.principals import Endpoint, Operator, Principal, Server
from tests import mqtt
from tests.socketless import Client

START = datetime(2026, 11, 25, tzinfo=UTC)


class Timer:
    """A timer that has not come yet."""

    def __init__(self, at_s: float, call: Callable[[], None]) -> None:
        self.at_s = at_s
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """An engine whose time and timers are moved by hand."""

    def __init__(self) -> None:
        self.now_s = START.timestamp()
        self.timers: list[Timer] = []
        self.expiries = Expiries(lambda: self.now_s, self.later)
        self.engine = Engine(
            BrokerSettings(), Hooks(observers=(self.expiries,)), lambda: None, lambda *_: None, lambda: self.now_s
        )

    def later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now_s + delay_s, call))
        return self.timers[-1]

    def running(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def advance(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while due := [timer for timer in self.running() if timer.at_s <= end_s]:
            first = min(due, key=lambda timer: timer.at_s)
            self.timers.remove(first)
            self.now_s = first.at_s
            first.call()
        self.now_s = end_s

    def client(self, principal: Principal, name: str = "c", *, clean: bool = True) -> Client:
        return Attached(self.engine, principal, name, clean)


class Attached(Client):
    """A client that has connected as somebody."""

    def __init__(self, engine: Engine, principal: Principal, name: str, clean: bool) -> None:
        super().__init__(engine)
        self._principal = principal
        self.feed(mqtt.connect(name, clean=clean))
        assert self.taken()[:1] == b"\x20"

    def authenticate(self, connection: Connection, request: ConnectRequest) -> None:
        self.engine.admit(connection, request, Accepted("", self._principal))


def endpoint(via: str, seconds: float | None) -> Endpoint:
    made = Endpoint(app_token("demoapp"), endpoint_id("e"), "t", None, limited=False)
    made.via, made.until = via, None if seconds is None else START + timedelta(seconds=seconds)
    return made


def operator(seconds: float) -> Operator:
    return Operator("jo", "t", "k", START + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("principal", "why"),
    [(endpoint("x509", 10), "certificate"), (endpoint("jwt", 10), "JWT"), (operator(10), "API token")],
)
def test_a_session_ends_when_what_it_came_with_expires(principal: Principal, why: str) -> None:
    world = World()
    client = world.client(principal)
    world.advance(9.9)
    assert client.ended is None
    world.advance(0.1)
    assert client.ended is DetachCause.HOST
    if isinstance(principal, Endpoint):
        assert principal.ending == f"the {why} has expired"


def test_what_does_not_expire_has_no_timer() -> None:
    world = World()
    clients = [world.client(endpoint("token", None), "a"), world.client(Server("$control"), "b")]
    world.advance(1e6)
    assert [client.ended for client in clients] == [None, None]
    assert world.timers == []


def test_one_timer_serves_all_in_their_order() -> None:
    world = World()
    clients = {seconds: world.client(operator(seconds), str(seconds)) for seconds in (30, 10, 20, 10.5)}
    assert [timer.at_s - world.now_s for timer in world.running()] == [10]
    for passed, gone in ((10, {10}), (10, {10, 10.5, 20}), (10, {10, 10.5, 20, 30})):
        world.advance(passed)
        assert {seconds for seconds, client in clients.items() if client.ended} == gone
        assert len(world.running()) == (len(gone) < len(clients))


def test_one_that_has_expired_while_it_connected_ends_at_once() -> None:
    world = World()
    client = world.client(operator(-1))
    world.advance(0)
    assert client.ended is DetachCause.HOST


def test_a_connection_with_something_newer_is_not_ended_by_the_old() -> None:
    world = World()
    world.client(endpoint("jwt", 10), clean=False)
    again = world.client(endpoint("jwt", 20), clean=False)
    world.advance(15)
    assert again.ended is None
    world.advance(5)
    assert again.ended is DetachCause.HOST


def test_a_connection_with_what_does_not_expire_stays() -> None:
    world = World()
    world.client(endpoint("jwt", 10), clean=False)
    again = world.client(endpoint("token", None), clean=False)
    world.advance(1000)
    assert again.ended is None


def test_a_distant_moment_is_looked_at_in_steps__clocks_are_set() -> None:
    world = World()
    client = world.client(operator(3 * LONGEST_WAIT_S))
    assert [timer.at_s - world.now_s for timer in world.running()] == [LONGEST_WAIT_S]
    world.advance(3 * LONGEST_WAIT_S - 1)
    assert client.ended is None
    world.advance(1)
    assert client.ended is DetachCause.HOST


def test_sessions_that_come_and_go_leave_nothing_behind() -> None:
    world = World()
    for number in range(2 * CLEARED_FROM):
        world.client(operator(1e6), str(number % 7)).feed(mqtt.DISCONNECT)
    assert len(world.expiries) <= CLEARED_FROM
    assert len(world.running()) <= 1


def test_after_the_stop_nothing_ends() -> None:
    world = World()
    client = world.client(operator(10))
    world.expiries.stop()
    world.advance(20)
    assert client.ended is None
