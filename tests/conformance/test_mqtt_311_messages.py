"""MQTT 3.1.1: publishing, subscribing, retained messages, QoS and ordering. Each test names the statements that it shows."""

import pytest

from broker import PublishGrant, Reason, Refused, Session, SubscribeGrant
from tests.brokers import Serve
from tests.conformance.conftest import Open
from tests.mqtt import (
    PINGREQ,
    Message,
    Packet,
    Wire,
    connect,
    field,
    packet,
    puback,
    pubcomp,
    publish,
    pubrec,
    pubrel,
    subscribe,
    unsubscribe,
)  # fmt: skip

statement = pytest.mark.statement

PROTOCOL_ERRORS = {
    "type 0": b"\x00\x00",
    "type 15": b"\xf0\x00",
    "a server's packet: CONNACK": b"\x20\x02\x00\x00",
    "a server's packet: SUBACK": b"\x90\x03\x00\x01\x00",
    "a server's packet: UNSUBACK": b"\xb0\x02\x00\x01",
    "a server's packet: PINGRESP": b"\xd0\x00",
    "PUBLISH with QoS 3": publish("t", qos=3),
    "PUBLISH with packet id 0": publish("t", qos=1, packet_id=0),
    "PUBLISH without a topic": publish(""),
    "PUBLISH to #": publish("a/#"),
    "PUBLISH to +": publish("a/+/b"),
    "PUBLISH to ill-formed text": publish(b"a\xff"),
    "PUBLISH to a null": publish("a\0"),
    "PUBLISH shorter than its topic": packet(0x30, b"\x00\x05abc"),
    "PUBLISH of one byte": packet(0x30, b"\x00"),
    "PUBLISH without its packet id": packet(0x32, field("t") + b"\x01"),
    "PUBACK with flags": b"\x41\x02\x00\x01",
    "PUBACK of one byte": b"\x40\x01\x00",
    "PUBREL without its flags": b"\x60\x02\x00\x01",
    "SUBSCRIBE without its flags": b"\x80" + subscribe(("t", 0))[1:],
    "SUBSCRIBE without a filter": subscribe(),
    "SUBSCRIBE with QoS 3": subscribe(("t", 3)),
    "SUBSCRIBE with a reserved bit": subscribe(("t", 4)),
    "SUBSCRIBE with packet id 0": subscribe(("t", 0), packet_id=0),
    "SUBSCRIBE to ill-formed text": subscribe((b"\xff", 0)),
    "SUBSCRIBE to a null": subscribe(("a\0", 0)),
    "UNSUBSCRIBE without its flags": b"\xa0" + unsubscribe("t")[1:],
    "UNSUBSCRIBE without a filter": unsubscribe(),
    "UNSUBSCRIBE of ill-formed text": unsubscribe(b"\xff"),
    "PINGREQ with flags": b"\xc1\x00",
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "a packet above the limit": b"\x30\xff\xff\xff\x7f",
}


@statement(
    "MQTT-1.5.3-1", "MQTT-1.5.3-2", "MQTT-2.2.2-2", "MQTT-2.3.1-1", "MQTT-3.3.1-4", "MQTT-3.3.2-1", "MQTT-3.3.2-2",
    "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.8.3-1", "MQTT-3.8.3-3", "MQTT-3-8.3-4", "MQTT-3.10.1-1", "MQTT-3.10.3-1",
    "MQTT-3.10.3-2", "MQTT-4.7.3-1", "MQTT-4.7.3-2", "MQTT-4.8.0-1",
)  # fmt: skip
@pytest.mark.parametrize("bad", PROTOCOL_ERRORS.values(), ids=list(PROTOCOL_ERRORS))
async def test_a_protocol_error_ends_that_connection_only(join: Open, bad: bytes) -> None:
    other, wrong = await join("other"), await join("wrong")
    wrong.send(bad, PINGREQ)
    await wrong.closed()
    await other.quiet()


@statement("MQTT-3.3.4-1", "MQTT-4.3.1-1", "MQTT-2.3.1-5", "MQTT-3.3.1-2", "MQTT-3.3.2-3")
async def test_qos_0_is_delivered_once_without_an_answer(join: Open) -> None:
    listener, sender = await join("listener"), await join("sender")
    await listener.subscribed(("a/+", 2))
    sender.send(publish("a/b", "x"))
    await sender.quiet()
    assert await listener.message() == Message("a/b", b"x", 0, False, False, 0)
    await listener.quiet()


@statement("MQTT-3.3.4-1", "MQTT-4.3.2-2", "MQTT-2.3.1-6")
async def test_qos_1_is_acknowledged_with_its_id(join: Open) -> None:
    sender = await join("sender")
    sender.send(publish("a", "x", qos=1, packet_id=0xFFFE))
    assert await sender.packet() == (0x40, b"\xff\xfe")


@statement("MQTT-4.3.2-1", "MQTT-3.3.1-1", "MQTT-4.4.0-1", "MQTT-4.6.0-1", "MQTT-2.3.1-4")
async def test_what_a_client_did_not_acknowledge_comes_again_in_order_with_dup(join: Open) -> None:
    listener, sender = await join("listener", clean=False), await join("sender")
    await listener.subscribed(("a", 1))
    for text in "123":
        await sender.published("a", text)
    first = [await listener.message() for _ in range(3)]
    assert len({message.packet_id for message in first}) == 3
    listener.send(puback(first[1].packet_id))
    await listener.quiet()
    listener.drop()
    listener = await join("listener", clean=False)
    again = [await listener.message() for _ in range(2)]
    assert [(m.payload, m.dup, m.packet_id) for m in again] == [
        (b"1", True, first[0].packet_id),
        (b"3", True, first[2].packet_id),
    ]
    await listener.quiet()


@statement("MQTT-3.3.1-3")
async def test_dup_of_a_publisher_is_not_passed_on(join: Open) -> None:
    listener, sender = await join("listener"), await join("sender")
    await listener.subscribed(("a", 1))
    sender.send(publish("a", "x", qos=1, dup=True))
    assert not (await listener.message()).dup


@statement("MQTT-4.3.3-2", "MQTT-3.3.4-1")
async def test_a_qos_2_publish_is_taken_once(join: Open) -> None:
    listener, sender = await join("listener"), await join("sender", clean=False)
    await listener.subscribed(("a", 0))
    sender.send(publish("a", "x", qos=2, packet_id=7), publish("a", "x", qos=2, dup=True, packet_id=7))
    assert [await sender.packet(), await sender.packet()] == [(0x50, b"\x00\x07")] * 2
    sender.drop()
    sender = await join("sender", clean=False)
    sender.send(publish("a", "x", qos=2, dup=True, packet_id=7))
    assert await sender.packet() == (0x50, b"\x00\x07")
    sender.send(pubrel(7), pubrel(7))
    assert [await sender.packet(), await sender.packet()] == [(0x70, b"\x00\x07")] * 2
    assert (await listener.message()).payload == b"x"
    await listener.quiet()
    sender.send(publish("a", "new", qos=2, packet_id=7))  # released: the id may be used again
    assert (await listener.message()).payload == b"new"


@statement("MQTT-4.3.3-1", "MQTT-4.4.0-1")
async def test_a_qos_2_delivery_goes_on_where_it_stood(join: Open) -> None:
    listener, sender = await join("listener", clean=False), await join("sender")
    await listener.subscribed(("a", 2))
    sender.send(publish("a", "x", qos=2), pubrel(1))
    message = await listener.message()
    assert message.qos == 2
    listener.send(pubrec(message.packet_id))
    released = Packet(0x62, message.packet_id.to_bytes(2, "big"))
    assert await listener.packet() == released
    listener.drop()
    listener = await join("listener", clean=False)
    assert await listener.packet() == released  # PUBREL again, never the message: it was received
    listener.send(pubcomp(message.packet_id))
    await listener.quiet()
    listener.drop()
    await (await join("listener", clean=False)).quiet()


@statement("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-7", "MQTT-3.3.1-8", "MQTT-3.3.1-9", "MQTT-3.3.1-12")
async def test_the_last_retained_message_meets_each_new_subscription(join: Open) -> None:
    established, sender = await join("established"), await join("sender")
    await established.subscribed(("a/#", 1))
    await sender.published("a/b", "old", retain=True)
    await sender.published("a/b", "new", retain=True)
    await sender.published("a/b", "passing")
    assert [(m.payload, m.retain) for m in [await established.message() for _ in range(3)]] == [
        (b"old", False),
        (b"new", False),
        (b"passing", False),
    ]
    late = await join("late")
    await late.subscribed(("a/#", 1))
    assert (await late.message())[:4] == ("a/b", b"new", 1, True)
    await late.quiet()


@statement("MQTT-3.3.1-10", "MQTT-3.3.1-11")
async def test_an_empty_retained_message_forgets_and_is_delivered(join: Open) -> None:
    established, sender = await join("established"), await join("sender")
    await sender.published("a", "kept", retain=True)
    await established.subscribed(("a", 0))
    assert (await established.message()).payload == b"kept"
    await sender.published("a", b"", retain=True)
    assert (await established.message())[:4] == ("a", b"", 0, False)
    late = await join("late")
    await late.subscribed(("a", 0))
    await late.quiet()


@statement(
    "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.3.1-7", "MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.9.3-2"
)
async def test_one_suback_answers_each_filter_in_order(join: Open) -> None:
    wire = await join()
    wire.send(subscribe(("a", 2), ("b/#/c", 1), ("c", 0), ("+x", 0), ("d/+", 1), packet_id=0x1234))
    assert await wire.packet() == (0x90, b"\x12\x34\x02\x80\x00\x80\x01")


@statement("MQTT-3.8.4-6", "MQTT-3.3.5-1")
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_delivery_is_at_the_lower_qos(join: Open, sent: int, granted: int) -> None:
    listener, sender = await join("listener"), await join("sender")
    await listener.subscribed(("a", granted))
    sender.send(publish("a", "x", qos=sent))
    assert (await listener.message()).qos == min(sent, granted)


@statement("MQTT-3.3.5-1")
async def test_overlapping_subscriptions_get_the_highest_qos(join: Open) -> None:
    listener, sender = await join("listener"), await join("sender")
    await listener.subscribed(("a/#", 0), ("a/b", 1), ("a/+", 0))
    await sender.published("a/b", "x")
    assert (await listener.message()).qos == 1
    await listener.quiet()


@statement("MQTT-3.8.4-3")
async def test_the_same_filter_again_replaces_and_repeats_what_is_retained(join: Open) -> None:
    listener, sender = await join("listener"), await join("sender")
    await sender.published("a", "kept", retain=True)
    for qos in (1, 0):
        assert await listener.subscribed(("a", qos)) == [qos]
        assert (await listener.message())[:4] == ("a", b"kept", qos, True)
    await sender.published("a", "x")
    assert (await listener.message()).qos == 0
    await listener.quiet()


@statement("MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6")
async def test_unsubscribe_ends_exactly_the_named_filters(join: Open) -> None:
    listener, sender = await join("listener"), await join("sender")
    await listener.subscribed(("a/#", 0), ("b", 0), ("c", 0))
    listener.send(unsubscribe("a/b", "A/#", "nowhere", "b", "c", packet_id=0x0102))
    assert await listener.packet() == (0xB0, b"\x01\x02")
    for topic in ("b", "c", "a/x"):
        await sender.published(topic, topic)
    assert (await listener.message()).topic == "a/x"
    await listener.quiet()


@statement("MQTT-3.10.4-3")
async def test_a_delivery_that_began_is_completed_after_unsubscribe(join: Open) -> None:
    listener, sender = await join("listener", clean=False), await join("sender")
    await listener.subscribed(("a", 1))
    await sender.published("a", "x")
    message = await listener.message()
    listener.send(unsubscribe("a"))
    assert (await listener.packet()).first == 0xB0
    listener.drop()
    listener = await join("listener", clean=False)
    assert (await listener.message()).packet_id == message.packet_id


@statement("MQTT-4.6.0-2", "MQTT-4.6.0-3", "MQTT-4.6.0-4", "MQTT-4.6.0-5", "MQTT-4.6.0-6")
async def test_messages_and_answers_keep_their_order(join: Open) -> None:
    listener, sender = await join("listener"), await join("sender")
    await listener.subscribed(("a", 2))
    count = 90  # of QoS 1 and 2, within the default window
    sender.send(*(publish("a", str(n), qos=1 + n % 2, packet_id=n + 1) for n in range(count)))
    answers = [await sender.packet() for _ in range(count)]
    assert [(a.kind, int.from_bytes(a.body, "big")) for a in answers] == [(4 + n % 2, n + 1) for n in range(count)]
    assert [int((await listener.message()).payload) for _ in range(count)] == list(range(count))


MATCHES = [
    ("sport/#", "sport", True),
    ("sport/#", "sport/a/b", True),
    ("#", "a/b", True),
    ("+", "a", True),
    ("+", "/a", False),
    ("/+", "/a", True),
    ("+/+", "/a", True),
    ("a/+", "a/", True),
    ("a/+", "a", False),
    ("a/+/b", "a//b", True),
    ("a//b", "a/b", False),
    ("A", "a", False),
    ("a ", "a", False),
    ("#", "$SYS/x", False),
    ("+/x", "$SYS/x", False),
    ("$SYS/#", "$SYS/x", True),
    ("$SYS/+", "$SYS/x", True),
    ("\ufeffa", "\ufeffa", True),
    ("\ufeffa", "a", False),
    ("\u00e4", "a\u0308", False),
    ("t/" + "x" * 65533, "t/" + "x" * 65533, True),
]


@statement(
    "MQTT-1.5.3-3", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.2-1", "MQTT-4.7.3-3", "MQTT-4.7.3-4", "MQTT-3.8.3-2",
)  # fmt: skip
@pytest.mark.parametrize(("topic_filter", "topic", "taken"), MATCHES)
async def test_topic_matching(join: Open, topic_filter: str, topic: str, taken: bool) -> None:
    listener, sender = await join("listener"), await join("sender")
    await listener.subscribed((topic_filter, 0))
    await sender.published(topic, "x", retain=True)
    again = await join("again")
    await again.subscribed((topic_filter, 0))
    for wire in (listener, again):
        if taken:
            assert (await wire.message()).topic == topic
        await wire.quiet()


@statement("MQTT-2.2.2-1", "MQTT-2.3.1-5")
async def test_the_server_s_packets_have_the_flags_of_their_kind(join: Open) -> None:
    wire = await join()
    wire.send(
        subscribe(("t", 2)),
        publish("t", "0"),
        publish("t", "1", qos=1, packet_id=7),
        publish("t", "2", qos=2, packet_id=8),
    )
    seen = [await wire.packet() for _ in range(6)]
    assert sorted(packet.first for packet in seen) == [0x30, 0x32, 0x34, 0x40, 0x50, 0x90]
    assert Packet(0x30, field("t") + b"0") in seen  # without a packet id
    given = next(packet.body[3:5] for packet in seen if packet.first == 0x34)
    wire.send(pubrec(int.from_bytes(given, "big")), pubrel(8), unsubscribe("t"), PINGREQ)
    assert [(await wire.packet()).first for _ in range(4)] == [0x62, 0x70, 0xB0, 0xD0]


class Deciding:
    """Refuses what is not for the client, and fails at what it cannot do."""

    name = "deciding"

    def authorize_publish(self, session: Session, topic: str) -> PublishGrant | Refused:
        if topic == "forbidden":
            return Refused(Reason.NOT_AUTHORIZED, "not yours")
        return PublishGrant(topic, _failing if topic == "fails" else None)

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant:
        return SubscribeGrant(topic_filter)


def _failing(session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
    raise RuntimeError("out of order for the moment")


@statement("MQTT-3.3.5-2", "MQTT-4.8.0-2")
async def test_what_is_refused_is_acknowledged_and_what_fails_ends_the_connection(serve: Serve) -> None:
    port = await serve(authorizers=[Deciding()])
    listener, sender = await Wire.connected(port, connect("l")), await Wire.connected(port, connect("s"))
    await listener.subscribed(("#", 0))
    for qos, first in ((1, 0x40), (2, 0x50)):
        sender.send(publish("forbidden", "x", qos=qos, packet_id=qos))
        assert await sender.packet() == (first, bytes([0, qos]))
    await listener.quiet()
    sender.send(publish("fails", "x", qos=1, packet_id=9))
    await sender.closed()
    await listener.quiet()
