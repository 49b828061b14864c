"""MQTT 5.0: wills. Each test names the statements that it shows."""

import pytest

from broker import Authorizer, PublishGrant, Reason, Refused, Session, SubscribeGrant
from tests.brokers import Serve
from tests.mqtt5 import Wire5, connect, disconnect

statement = pytest.mark.statement


@statement(
    "MQTT-3.1.2-7",
    "MQTT-3.1.2-8",
    "MQTT-3.1.2-10",
    "MQTT-3.1.2-14",
    "MQTT-3.1.2-15",
    "MQTT-3.1.3-10",
    "MQTT-3.14.4-3",
)
@pytest.mark.parametrize(
    ("end", "published"), [(None, True), (disconnect(0x04), True), (disconnect(0x00), False), (b"\xe0\x00", False)]
)
async def test_a_will_with_its_properties(port: int, end: bytes | None, published: bool) -> None:
    listener = await Wire5.joined(port, "listener")
    await listener.subscribed(("w", 1))
    said = {
        "content_type": "text",
        "user": [("b", "1"), ("a", "2"), ("b", "3")],
        "message_expiry": 50,
        "response_topic": "r",
    }
    dying = await Wire5.joined(port, "dying", will=("w", "gone", 1, True), will_said=said)
    if end is None:
        dying.drop()
    else:
        dying.send(end)
        await dying.closed()
    await (await Wire5.joined(port, "sender")).told("w", "sentinel")
    first = await listener.heard()
    assert first.payload == (b"gone" if published else b"sentinel")
    if published:
        assert first.said.pop("message_expiry") in (49, 50)
        assert first.said == {name: value for name, value in said.items() if name != "message_expiry"}
    late = await Wire5.joined(port, "late")
    await late.subscribed(("w", 0))
    if published:
        assert (await late.heard()).retain
    await late.quiet()


@statement("MQTT-3.1.3-9", "MQTT-3.1.2-8")
async def test_a_client_back_in_time_takes_its_delayed_will_back(port: int) -> None:
    listener = await Wire5.joined(port, "listener")
    await listener.subscribed(("w", 0))
    dying = await Wire5.joined(
        port, "d", session_expiry=100, will=("w", "gone", 0, False), will_said={"will_delay": 100}
    )
    dying.drop()
    back = await Wire5.joined(port, "d", clean=False, session_expiry=100)
    assert back.welcome.present
    await back.told("w", "sentinel")
    assert (await listener.heard()).payload == b"sentinel"
    delayed = await Wire5.joined(
        port, "e", session_expiry=100, will=("w", "late", 0, False), will_said={"will_delay": 1}
    )
    delayed.drop()
    assert (await listener.heard()).payload == b"late"


@statement("MQTT-3.1.2-8")
async def test_a_clean_start_ends_the_session_and_publishes_its_delayed_will(port: int) -> None:
    listener = await Wire5.joined(port, "listener")
    await listener.subscribed(("w", 0))
    dying = await Wire5.joined(
        port, "d", session_expiry=100, will=("w", "gone", 0, False), will_said={"will_delay": 100}
    )
    dying.drop()
    await Wire5.joined(port, "d", clean=True)
    assert (await listener.heard()).payload == b"gone"


class NoWills:
    """Refuses what is called forbidden."""

    name = "no wills"

    def authorize_publish(self, session: Session, topic: str) -> PublishGrant | Refused:
        return Refused(Reason.NOT_AUTHORIZED, "not yours") if topic == "forbidden" else PublishGrant(topic)

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant:
        return SubscribeGrant(topic_filter)


async def test_a_will_without_permission_is_refused_at_connect(serve: Serve) -> None:
    gates: list[Authorizer] = [NoWills()]
    port = await serve(authorizers=gates)
    wire = await Wire5.open(port)
    wire.send(connect(will=("forbidden", "x", 0, False)))
    assert (await wire.connack()).reason == 0x87
    await wire.closed()
