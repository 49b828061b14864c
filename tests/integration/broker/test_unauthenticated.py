"""An unauthenticated client can end, delete or read nothing of anybody else's, and gets no acknowledgement that is not true.

One test for each of the five findings about another broker's core that led to our own: docs/decisions/0001.
"""

import pytest

from broker import Accepted, Broker, ConnectRequest, PublishGrant, Reason, Refused, Session, SubscribeGrant
from tests import mqtt5
from tests.brokers import Serve
from tests.mqtt import Wire, connect, publish, subscribe
from tests.mqtt5 import Wire5


class Password:
    """Lets in who knows it."""

    name = "password"

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        if request.password == b"right":
            return Accepted("", request.username)
        return Refused(Reason.BAD_USER_NAME_OR_PASSWORD, "wrong password")


class Deciding:
    """Refuses `closed/...` and lets a handler see the rest, which notes what it was given before any acknowledgement."""

    name = "deciding"

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[bytes]]] = []

    def authorize_publish(self, session: Session, topic: str) -> PublishGrant | Refused:
        if topic.startswith("closed/"):
            return Refused(Reason.NOT_AUTHORIZED, "closed")
        return PublishGrant(topic, self._handle)

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant | Refused:
        return SubscribeGrant(topic_filter)

    def _handle(self, session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        assert session.connection is not None
        self.seen.append((topic, list(session.connection.outgoing)))
        if topic == "fails":
            raise RuntimeError("the handler broke")
        return True


def login(client_id: str, password: str = "right", **options: object) -> bytes:
    return connect(client_id, username="u", password=password, **options)  # type: ignore[arg-type]


async def refused(port: int, connecting: bytes) -> None:
    """A CONNECT that is refused, with whatever is sent behind it."""
    wire = await Wire.open(port)
    wire.send(connecting)
    assert (await wire.packet()).body[1] != 0
    await wire.closed()


@pytest.fixture
async def port(serve: Serve) -> int:
    return await serve(authenticators=[Password()], authorizers=[Deciding()])


async def test_finding_1_nobody_is_taken_over_before_authentication(port: int) -> None:
    victim = await Wire.connected(port, login("victim"))
    for thief in (login("victim", "guess"), connect("victim"), mqtt5.connect("victim", username="u", password="guess")):
        await refused(port, thief + subscribe(("#", 0)))
        await victim.quiet()
    half = await Wire.open(port)  # one that never finishes its CONNECT takes nothing either
    half.send(login("victim")[:-3])
    await victim.quiet()


async def test_finding_2_no_session_is_deleted_before_authentication(port: int, brokers: list[Broker]) -> None:
    victim = await Wire.connected(port, login("victim", clean=False))
    await victim.subscribed(("t", 1))
    await victim.leave()
    sender = await Wire.connected(port, login("sender"))
    await sender.published("t", "waits")
    for clean in (True, False):
        await refused(port, login("victim", "guess", clean=clean))
        await refused(port, mqtt5.connect("victim", clean=clean, username="u", password="guess"))
    back = await Wire.connected(port, login("victim", clean=False))
    assert back.session_present
    assert (await back.message()).payload == b"waits"
    assert brokers[0].stats.sessions == 2


async def test_finding_3_nobody_is_sent_retained_messages_of_others_filters(port: int) -> None:
    sender = await Wire.connected(port, login("sender"))
    await sender.published("secret/x", "kept", retain=True)
    owner = await Wire.connected(port, login("owner", clean=False))
    await owner.subscribed(("secret/#", 1))
    assert (await owner.message()).payload == b"kept"
    connecting = await Wire.connected(port, login("stranger"))
    await connecting.quiet()
    await connecting.subscribed(("other/#", 0))
    await connecting.quiet()
    await refused(port, login("owner", "guess", clean=False))
    await refused(port, connect("nobody") + subscribe(("secret/#", 0)))


@pytest.mark.parametrize("topic", ["$SYS/x", "$", "$share/g/t", "$made/up"])
async def test_finding_4_a_publish_to_a_dollar_topic_ends_nothing(port: int, topic: str) -> None:
    listener, wire = (
        await Wire.connected(port, login("l")),
        await Wire5.joined(port, "w", username="u", password="right"),
    )
    await listener.subscribed(("#", 0))
    for number in range(3):
        assert (await wire.told(topic, "x")).reason < 0x80
        await wire.told("t", str(number))
        message = await listener.message()  # # does not match $...: [MQTT-4.7.2-1]
        assert (message.topic, message.payload) == ("t", str(number).encode())


async def test_finding_5_nothing_is_acknowledged_before_it_was_decided_and_handled(serve: Serve) -> None:
    deciding = Deciding()
    port = await serve(authenticators=[Password()], authorizers=[deciding])
    wire = await Wire5.joined(port, "w", username="u", password="right")
    assert (await wire.told("closed/x", "x")).reason == 0x87
    await wire.told("open/x", "x")
    assert deciding.seen == [("open/x", [])]  # it was handled while nothing stood to be written
    wire.send(mqtt5.publish("fails", "x", qos=1, packet_id=9), mqtt5.publish("open/y", "y", qos=1, packet_id=10))
    assert (await wire.ended()).reason == 0x80  # no PUBACK of either
    assert [topic for topic, _ in deciding.seen] == ["open/x", "fails"]
    old = await Wire.connected(port, login("old"))
    old.send(publish("fails", "x", qos=2, packet_id=9))
    await old.closed()
