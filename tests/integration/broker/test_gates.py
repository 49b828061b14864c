"""What hosts decide: who connects, what they reach, when their messages are acknowledged. Real sockets, hooks as a host writes them."""

import asyncio
from typing import Any

import pytest

from broker import (
    Accepted,
    Broker,
    BrokerSettings,
    ConnectRequest,
    Listener,
    PublishGrant,
    Reason,
    Refused,
    Session,
    SubscribeGrant,
)
from broker.hooks import Action, DetachCause
from tests.brokers import Serve
from tests.mqtt import Wire, connect, publish, subscribe
from tests.mqtt5 import Wire5


class Passwords:
    """User name = namespace; the password is "right", or the gate misbehaves as the password says."""

    name = "passwords"

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        match request.password:
            case b"right":
                return Accepted(request.username or "", principal=request.username)
            case b"fails":
                raise RuntimeError("the gate broke")
            case b"hangs":
                await asyncio.Event().wait()
            case b"slow":
                await self.open.wait()
                return Accepted(request.username or "", principal=request.username)
        return Refused(Reason.BAD_USER_NAME_OR_PASSWORD, "wrong password")


class Namespaced:
    """Each session sees `me/` for its own `namespace/client/`; topics named after a fault show it."""

    name = "namespaced"

    def __init__(self) -> None:
        self.held: list[tuple[Session, int]] = []
        self.arrived = asyncio.Event()
        self.answers: dict[str, asyncio.Event] = {}

    def authorize_publish(self, session: Session, topic: str) -> Any:
        if topic == "fails":
            raise RuntimeError("the gate broke")
        if topic == "hangs":
            return asyncio.Event().wait()
        if topic == "later":
            return self._later(topic)
        if topic.startswith("forbidden"):
            return Refused(Reason.NOT_AUTHORIZED, "not yours")
        if topic.startswith("held/"):
            return PublishGrant(topic, self._hold)
        if topic.startswith("broken/"):
            return PublishGrant(topic, self._break)
        return PublishGrant(topic.replace("me/", _own(session), 1) if topic.startswith("me/") else topic)

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant | Refused:
        if topic_filter.startswith("me/"):
            own = _own(session)
            return SubscribeGrant(own + topic_filter[3:], max_qos=1, shown=(own, "me/"))
        if topic_filter == "fails":
            raise RuntimeError("the gate broke")
        return (
            SubscribeGrant(topic_filter)
            if session.principal == "operators"
            else Refused(Reason.NOT_AUTHORIZED, "not yours")
        )

    async def _later(self, topic: str) -> PublishGrant:
        await self.answers[topic].wait()
        return PublishGrant(topic)

    def _hold(self, session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        self.held.append((session, ticket))
        self.arrived.set()
        return False

    def _break(self, session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        raise RuntimeError("the handler broke")


class Notes:
    """Every kind of observer; one that fails after it has noted."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_attached(self, session: Session, session_present: bool) -> None:
        self._note("attached", session.client_id, session_present)

    def on_detached(self, session: Session, cause: DetachCause) -> None:
        self._note("detached", session.client_id, cause)

    def on_subscribed(self, session: Session, topic_filter: str, qos: int) -> None:
        self._note("subscribed", session.client_id, topic_filter, qos)

    def on_unsubscribed(self, session: Session, topic_filter: str) -> None:
        self._note("unsubscribed", session.client_id, topic_filter)

    def on_delivered(self, session: Session, tag: object) -> None:
        self._note("delivered", session.client_id, tag)

    def on_dropped(self, session: Session, topic: str, why: str) -> None:
        self._note("dropped", session.client_id, topic)

    def on_refused(self, session: Session, action: Action, topic: str, refused: Refused) -> None:
        self._note("refused", session.client_id, action, topic, refused.reason)

    def on_connect_refused(self, request: ConnectRequest, refused: Refused) -> None:
        self._note("connect refused", request.client_id, refused.reason)

    def _note(self, *what: Any) -> None:
        self.heard.append(what)
        raise RuntimeError("an observer broke")


def _own(session: Session) -> str:
    return f"{session.namespace}/{session.client_id}/"


def _login(client_id: str, who: str = "app", password: str = "right", **options: Any) -> bytes:
    return connect(client_id, username=who, password=password, **options)


async def test_without_an_authenticator_nobody_connects() -> None:
    broker = Broker(BrokerSettings(listeners=(Listener(port=0),)))
    await broker.start()
    wire = await Wire.open(broker.addresses["default"][1])
    wire.send(connect())
    assert await wire.packet() == (0x20, b"\x00\x05")
    await broker.stop(drain_s=0)


class Futures(Passwords):
    """The same, as a gate of many clients does it: it answers with futures."""

    def authenticate(self, request: ConnectRequest) -> Any:
        return asyncio.ensure_future(super().authenticate(request))


@pytest.mark.parametrize("kind", [Passwords, Futures])
@pytest.mark.parametrize(("password", "code"), [("right", 0), ("wrong", 4), ("fails", 3), ("hangs", 3)])
async def test_a_gate_that_refuses_fails_or_hangs_has_refused(
    serve: Serve, kind: type[Passwords], password: str, code: int
) -> None:
    port = await serve(authenticators=[kind()], gate_timeout_s=0.05)
    if code == 0:
        await Wire.connected(port, _login("c", password=password))
        return
    wire = await Wire.open(port)
    wire.send(_login("c", password=password))
    assert await wire.packet() == (0x20, bytes([0, code]))
    await wire.closed()


async def test_a_client_id_of_another_namespace_is_another_session(serve: Serve) -> None:
    port = await serve(authenticators=[Passwords()])
    one = await Wire.connected(port, _login("same", "app1"))
    two = await Wire.connected(port, _login("same", "app2"))
    await one.quiet()
    await two.quiet()


@pytest.mark.parametrize("kind", [Passwords, Futures])
async def test_packets_behind_a_connect_wait_for_its_verdict(serve: Serve, kind: type[Passwords]) -> None:
    gate = kind()
    port = await serve(authenticators=[gate])
    slow, other = await Wire.open(port), await Wire.connected(port, _login("other"))
    slow.send(_login("slow", password="slow"), subscribe(("t", 0)), publish("t", "own"))
    await other.quiet()
    gate.open.set()
    assert [(await slow.packet()).kind for _ in range(3)] == [2, 9, 3]


async def test_topics_are_shown_to_a_session_as_it_named_them(serve: Serve) -> None:
    port = await serve(authenticators=[Passwords()], authorizers=[Namespaced()])
    device = await Wire.connected(port, _login("d1"))
    operator = await Wire.connected(port, _login("o", "operators"))
    assert await device.subscribed(("me/#", 2)) == [1]
    await operator.subscribed(("#", 0))
    device.send(publish("me/up", "x"))
    assert (await operator.message()).topic == "app/d1/up"
    assert (await device.message()).topic == "me/up"


async def test_refusals_are_answered_and_told_and_hurt_nobody_else(serve: Serve) -> None:
    notes = Notes()
    port = await serve(authenticators=[Passwords()], authorizers=[Namespaced()], observers=[notes], gate_timeout_s=0.05)
    device = await Wire.connected(port, _login("d1"))
    operator = await Wire.connected(port, _login("o", "operators"))
    await operator.subscribed(("forbidden/#", 0), ("fails", 0), ("hangs", 0))
    assert await device.subscribed(("#", 1), ("fails", 0), ("me/#", 0)) == [0x80, 0x80, 0]
    for topic in ("forbidden/x", "fails", "hangs"):
        await device.published(topic, "x")  # acknowledged: [MQTT-3.3.5-2]
    await operator.quiet()
    assert ("refused", "d1", Action.SUBSCRIBE, "#", Reason.NOT_AUTHORIZED) in notes.heard
    assert [what[3] for what in notes.heard if what[2:3] == (Action.PUBLISH,)] == ["forbidden/x", "fails", "hangs"]


async def test_a_slow_permission_holds_up_its_own_session_only(serve: Serve) -> None:
    gate = Namespaced()
    gate.answers["later"] = asyncio.Event()
    port = await serve(authenticators=[Passwords()], authorizers=[gate])
    waiting, other = await Wire.connected(port, _login("w")), await Wire.connected(port, _login("o", "operators"))
    await other.subscribed(("#", 0))
    waiting.send(publish("later", "1", qos=1, packet_id=1), publish("after", "2", qos=1, packet_id=2))
    other.send(publish("other", "0"))
    assert (await other.message()).topic == "other"
    gate.answers["later"].set()
    assert [(await other.message()).topic for _ in range(2)] == ["later", "after"]
    assert [(await waiting.packet()).body for _ in range(2)] == [b"\0\1", b"\0\2"]


async def test_a_puback_waits_for_its_handler_and_keeps_the_order(serve: Serve) -> None:
    gate = Namespaced()
    port = await serve(authenticators=[Passwords()], authorizers=[gate])
    device = await Wire.connected(port, _login("d1"))
    device.send(
        publish("held/1", qos=1, packet_id=1), publish("plain", qos=1, packet_id=2), publish("held/2", qos=2, packet_id=3)
    )  # fmt: skip
    while len(gate.held) < 2:
        gate.arrived.clear()
        await gate.arrived.wait()
    await device.quiet()
    session = gate.held[1][0]
    session.settle(gate.held[1][1])
    await device.quiet()  # settled first, but the first one's acknowledgement comes first
    session.settle(gate.held[0][1])
    assert [(p.kind, p.body) for p in [await device.packet() for _ in range(3)]] == [
        (4, b"\0\1"),
        (4, b"\0\2"),
        (5, b"\0\3"),
    ]


async def test_what_a_handler_abandons_is_not_acknowledged(serve: Serve) -> None:
    gate = Namespaced()
    port = await serve(authenticators=[Passwords()], authorizers=[gate])
    device = await Wire.connected(port, _login("d1"))
    device.send(publish("held/1", qos=1))
    await gate.arrived.wait()
    session, ticket = gate.held[0]
    session.abandon(ticket)
    await device.closed()


async def test_a_handler_that_fails_acknowledges_nothing(serve: Serve) -> None:
    notes = Notes()
    port = await serve(authenticators=[Passwords()], authorizers=[Namespaced()], observers=[notes])
    device = await Wire.connected(port, _login("d1"))
    device.send(publish("broken/1", qos=1))
    await device.closed()
    assert ("detached", "d1", DetachCause.HANDLER_FAILED) in notes.heard


async def test_observers_hear_a_session_s_life_and_can_break_nothing(serve: Serve, brokers: list[Broker]) -> None:
    notes = Notes()
    port = await serve(authenticators=[Passwords()], authorizers=[Namespaced()], observers=[notes])
    refused = await Wire.open(port)
    refused.send(_login("nobody", password="wrong"))
    await refused.packet()
    device = await Wire.connected(port, _login("d1"))
    await device.subscribed(("me/x", 1))
    session = brokers[0].session("app", "d1")
    assert session is not None
    assert session.send("app/d1/x", b"down", qos=1, tag="mine")
    assert not session.send("app/d2/x", b"elsewhere")
    message = await device.message()
    assert (message.topic, message.payload) == ("me/x", b"down")
    device.send(b"\x40\x02" + message.packet_id.to_bytes(2, "big"))
    await device.quiet()
    await device.leave()
    assert notes.heard == [
        ("connect refused", "nobody", Reason.BAD_USER_NAME_OR_PASSWORD),
        ("attached", "d1", False),
        ("subscribed", "d1", "app/d1/x", 1),
        ("delivered", "d1", "mine"),
        ("detached", "d1", DetachCause.CLIENT),
    ]


async def test_recheck_takes_back_what_a_session_may_no_more(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(authenticators=[Passwords()], authorizers=[Namespaced()])
    operator = await Wire.connected(port, _login("o", "operators"))
    await operator.subscribed(("#", 0))
    session = brokers[0].session("operators", "o")
    assert session is not None
    session.principal = "nobody"
    session.recheck()
    await (await Wire.connected(port, _login("d"))).published("t", "x")
    await operator.quiet()


async def test_a_will_needs_permission_at_connect(serve: Serve) -> None:
    port = await serve(authenticators=[Passwords()], authorizers=[Namespaced()])
    wire = await Wire.open(port)
    wire.send(_login("d1", will=("forbidden/x", "gone", 0, False)))
    assert await wire.packet() == (0x20, b"\x00\x05")
    await wire.closed()
    operator = await Wire.connected(port, _login("o", "operators"))
    await operator.subscribed(("#", 0))
    (await Wire.connected(port, _login("d2", will=("me/will", "gone", 0, False)))).drop()
    assert (await operator.message()).topic == "app/d2/will"


class AtOnce:
    """Decides without waiting; the password says how."""

    name = "at once"

    def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        if request.password == b"fails":
            raise RuntimeError("the gate broke")
        if request.password == b"wrong":
            return Refused(Reason.BAD_USER_NAME_OR_PASSWORD, "wrong password")
        return Accepted("at once", principal="at once")


@pytest.mark.parametrize("order", [(AtOnce, Passwords), (Passwords, AtOnce)])
@pytest.mark.parametrize(("password", "code"), [("right", 0), ("wrong", 4), ("fails", 3), ("slow", 0)])
async def test_gates_that_wait_and_gates_that_do_not_decide_together(
    serve: Serve, brokers: list[Broker], order: Any, password: str, code: int
) -> None:
    gates = [kind() for kind in order]
    port = await serve(authenticators=gates)
    next(gate for gate in gates if isinstance(gate, Passwords)).open.set()
    wire = await Wire.open(port)
    wire.send(connect("c", username="u", password=password))
    assert await wire.packet() == (0x20, bytes([0, code]))
    namespace = "at once" if order[0] is AtOnce else "u"  # the first one's answer counts
    assert (brokers[0].session(namespace, "c") is not None) == (code == 0)


@pytest.mark.parametrize("topic", ["fails", "hangs"])
async def test_a_gate_that_cannot_decide_on_a_topic_says_not_authorized(serve: Serve, topic: str) -> None:
    port = await serve(authorizers=[Namespaced()], gate_timeout_s=0.05)
    wire = await Wire5.joined(port, "c")
    assert (await wire.told(topic, "x")).reason == 0x87  # a reason that a PUBACK may carry
