"""MQTT 5.0: publishing, subscribing, properties, aliases, flow control. Each test names the statements that it shows."""

import pytest

from tests.mqtt import PINGREQ, Wire, field, packet
from tests.mqtt import connect as connect_311
from tests.mqtt import publish as publish_311
from tests.mqtt5 import Said, Wire5, publish, subscribe, unsubscribe

statement = pytest.mark.statement

NO_LOCAL, AS_PUBLISHED, IF_NEW, NO_RETAINED = 0x04, 0x08, 0x10, 0x20

ERRORS = {
    "QoS 3": (publish("t", qos=3), 0x81),
    "packet id 0": (publish("t", qos=1, packet_id=0), 0x81),
    "no topic and no alias": (publish(""), 0x82),
    "an alias that stands for nothing": (publish("", topic_alias=3), 0x82),
    "alias 0": (publish("t", topic_alias=0), 0x82),
    "alias above the maximum": (publish("t", topic_alias=33), 0x94),
    "a wildcard": (publish("a/#"), 0x90),
    "ill-formed topic": (publish(b"\xff"), 0x81),
    "null in the topic": (publish("a\0"), 0x81),
    "subscription identifier": (publish("t", subscription_identifier=1), 0x81),
    "payload format 2": (publish("t", payload_format=2), 0x82),
    "message expiry twice": (publish("t", block=b"\x0a" + b"\x02\0\0\0\1" * 2), 0x82),
    "wildcard in the response topic": (publish("t", response_topic="a/+"), 0x82),
    "empty response topic": (publish("t", response_topic=""), 0x82),
    "ill-formed response topic": (publish("t", block=b"\x04\x08\x00\x01\xff"), 0x81),
    "ill-formed content type": (publish("t", block=b"\x04\x03\x00\x01\xff"), 0x81),
    "properties longer than the packet": (publish("t", block=b"\x7f"), 0x81),
    "no properties at all": (packet(0x30, field("t")), 0x81),
    "a property cut short": (publish("t", block=b"\x02\x02\x00"), 0x81),
    "a property length that does not end": (publish("t", block=b"\xff\xff\xff\xff\x01"), 0x81),
    "SUBSCRIBE flags": (b"\x80" + subscribe(("t", 0))[1:], 0x81),
    "SUBSCRIBE without a filter": (subscribe(), 0x82),
    "SUBSCRIBE with QoS 3": (subscribe(("t", 3)), 0x81),
    "SUBSCRIBE with reserved bits": (subscribe(("t", 0x40)), 0x81),
    "retain handling 3": (subscribe(("t", 0x30)), 0x82),
    "no local on a shared subscription": (subscribe(("$share/g/t", NO_LOCAL)), 0x82),
    "subscription identifier 0": (subscribe(("t", 0), subscription_identifier=0), 0x82),
    "two subscription identifiers": (subscribe(("t", 0), subscription_identifier=[1, 2]), 0x82),
    "ill-formed filter": (subscribe((b"\xff", 0)), 0x81),
    "null in a filter": (subscribe(("a\0", 0)), 0x81),
    "UNSUBSCRIBE of ill-formed text": (packet(0xA2, b"\x00\x0b\x00" + field(b"\xff")), 0x81),
    "UNSUBSCRIBE flags": (b"\xa0" + unsubscribe("t")[1:], 0x81),
    "UNSUBSCRIBE without a filter": (unsubscribe(), 0x82),
    "PUBREL flags": (b"\x60\x02\x00\x01", 0x81),
    "PUBACK of one byte": (b"\x40\x01\x00", 0x81),
    "bytes behind a PUBACK": (packet(0x40, b"\x00\x01\x00\x00x"), 0x81),
    "too large": (b"\x30\xff\xff\xff\x7f", 0x95),
}


@statement(
    "MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-2.1.3-1", "MQTT-2.2.1-3", "MQTT-3.3.1-4", "MQTT-3.3.2-1", "MQTT-3.3.2-2", "MQTT-3.3.2-8",
    "MQTT-3.3.2-9", "MQTT-3.3.2-13", "MQTT-3.3.2-14", "MQTT-3.3.2-19", "MQTT-3.3.4-6", "MQTT-3.6.1-1", "MQTT-3.8.1-1",
    "MQTT-3.8.3-1", "MQTT-3.8.3-2", "MQTT-3.8.3-4", "MQTT-3.8.3-5", "MQTT-3.10.1-1", "MQTT-3.10.3-1", "MQTT-3.10.3-2",
    "MQTT-3.2.2-15", "MQTT-3.2.2-17", "MQTT-4.7.0-1", "MQTT-4.7.3-1", "MQTT-4.7.3-2", "MQTT-4.13.1-1", "MQTT-4.13.2-1",
)  # fmt: skip
@pytest.mark.parametrize(("bad", "reason"), ERRORS.values(), ids=list(ERRORS))
async def test_an_error_is_told_and_ends_that_connection_only(port: int, bad: bytes, reason: int) -> None:
    other, wrong = await Wire5.joined(port, "other"), await Wire5.joined(port, "wrong")
    wrong.send(bad, PINGREQ)
    assert (await wrong.ended()).reason == reason
    await other.quiet()


@statement(
    "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20", "MQTT-3.3.2-3"
)
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_properties_are_passed_on_unaltered(port: int, qos: int) -> None:
    listener, sender = await Wire5.joined(port, "l"), await Wire5.joined(port, "s")
    await listener.subscribed(("t", 2))
    said: Said = {
        "payload_format": 1, "content_type": "application/json", "response_topic": "answers/1", "correlation_data": b"\0\xff",
        "user": [("b", "1"), ("a", "2"), ("b", ""), ("b", "1")],
    }  # fmt: skip
    sender.send(publish("t", "{}", qos=qos, **said))
    message = await listener.heard()
    assert (message.payload, message.qos, message.said) == (b"{}", qos, said)


async def test_each_version_hears_the_other(port: int) -> None:
    old, new = await Wire.connected(port, connect_311("old")), await Wire5.joined(port, "new")
    await old.subscribed(("t", 1))
    await new.subscribed(("t", 1))
    new.send(publish("t", "from new", content_type="text"))
    assert (await old.message()).payload == b"from new"
    assert (await new.heard()).said == {"content_type": "text"}
    old.send(publish_311("t", "from old"))
    assert (await old.message()).payload == b"from old"
    assert (await new.heard()).said == {}


@statement("MQTT-3.3.2-5", "MQTT-3.3.2-6")
async def test_a_message_waits_no_longer_than_it_says(port: int) -> None:
    away = await Wire5.joined(port, "l", session_expiry=1000)
    await away.subscribed(("t", 1), ("clock", 0))
    away.drop()
    sender = await Wire5.joined(port, "s")
    await sender.told("t", "short", message_expiry=1)
    await sender.told("t", "long", message_expiry=1000)
    await sender.told("t", "for ever")
    await sender.told("kept/short", "short", message_expiry=1, retain=True)
    await sender.told("kept/long", "long", message_expiry=1000, retain=True)
    tick = await Wire5.joined(port, "tick", session_expiry=2, will=("over", "", 0, False), will_said={"will_delay": 2})
    await sender.subscribed(("over", 0))
    tick.drop()
    await sender.heard()  # two seconds have passed on the server's clock
    back = await Wire5.joined(port, "l", clean=False, session_expiry=1000)
    first, second = await back.heard(), await back.heard()
    assert (first.payload, second.payload) == (b"long", b"for ever")
    assert 990 < first.said["message_expiry"] < 1000
    assert "message_expiry" not in second.said
    await back.subscribed(("kept/#", 0))
    kept = await back.heard()
    assert (kept.payload, kept.retain) == (b"long", True)
    assert 990 < kept.said["message_expiry"] < 1000
    await back.quiet()


@statement("MQTT-3.3.2-7", "MQTT-3.3.2-12")
async def test_topic_aliases_of_a_client(port: int) -> None:
    listener, sender = await Wire5.joined(port, "l"), await Wire5.joined(port, "s")
    await listener.subscribed(("#", 0))
    sender.send(
        publish("a/b", "1", topic_alias=32), publish("", "2", topic_alias=32), publish("c", "3", topic_alias=32)
    )
    sender.send(publish("", "4", qos=1, topic_alias=32))
    assert [(m.topic, m.payload) for m in [await listener.heard() for _ in range(4)]] == [
        ("a/b", b"1"), ("a/b", b"2"), ("c", b"3"), ("c", b"4"),
    ]  # fmt: skip
    assert (await sender.acknowledged(0x40)).reason == 0
    again = await Wire5.joined(port, "s", clean=False)
    again.send(publish("", "5", topic_alias=32))
    assert (await again.ended()).reason == 0x82


@statement("MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-11", "MQTT-3.3.2-7")
async def test_topic_aliases_of_the_server(port: int) -> None:
    plain, aliased = await Wire5.joined(port, "p"), await Wire5.joined(port, "a", topic_alias_maximum=1)
    sender = await Wire5.joined(port, "s")
    for wire in (plain, aliased):
        await wire.subscribed(("#", 0))
    for topic in ("one", "two", "one", "two"):
        await sender.told(topic)
    assert [("topic_alias" in m.said, m.topic) for m in [await plain.heard() for _ in range(4)]] == [
        (False, "one"), (False, "two"), (False, "one"), (False, "two"),
    ]  # fmt: skip
    heard = [await aliased.heard() for _ in range(4)]
    assert [(m.said.get("topic_alias"), m.topic) for m in heard] == [(1, "one"), (None, "two"), (1, ""), (None, "two")]


@statement("MQTT-3.1.2-24", "MQTT-3.1.2-25")
async def test_what_is_larger_than_a_client_takes_is_left_out(port: int) -> None:
    small = await Wire5.joined(port, "small", maximum_packet_size=60, topic_alias_maximum=5)
    sender = await Wire5.joined(port, "s")
    await small.subscribed(("t", 1), ("u", 0))
    for payload in ("x" * 100, "small"):
        await sender.told("t", payload)
        await sender.told("u", payload)
    first, second = await small.heard(), await small.heard()
    assert [(m.topic, m.payload) for m in (first, second)] == [("t", b"small"), ("u", b"small")]


@statement("MQTT-1.5.5-1")
@pytest.mark.parametrize("size", [0, 1, 120, 121, 127, 128, 16_000, 16_383, 16_384, 200_000])
async def test_lengths_are_written_in_the_fewest_bytes(port: int, size: int) -> None:
    wire = await Wire5.joined(port)
    await wire.subscribed(("t", 0))
    wire.send(publish("t", b"x" * size))
    message = await wire.heard()  # a reader that counts bytes: an overlong length would not fit what follows
    assert len(message.payload) == size
    await wire.quiet()


async def test_request_and_response(port: int) -> None:
    server, client = await Wire5.joined(port, "server"), await Wire5.joined(port, "client")
    await server.subscribed(("ask", 1))
    await client.subscribed(("answers/client", 1))
    await client.told("ask", "6*7", response_topic="answers/client", correlation_data=b"1")
    asked = await server.heard()
    await server.told(asked.said["response_topic"], "42", correlation_data=asked.said["correlation_data"])
    answer = await client.heard()
    assert (answer.payload, answer.said["correlation_data"]) == (b"42", b"1")


@statement("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-7", "MQTT-3.3.1-8")
async def test_the_retained_message_of_a_topic(port: int) -> None:
    sender = await Wire5.joined(port, "s")
    for payload, retain, kept in (
        ("a", True, b"a"),
        ("b", True, b"b"),
        ("c", False, b"b"),
        ("", True, None),
        ("", False, None),
    ):
        await sender.told("t", payload, retain=retain, content_type="text")
        late = await Wire5.joined(port, "late")
        await late.subscribed(("t", 0))
        if kept is not None:
            message = await late.heard()
            assert (message.payload, message.retain, message.said) == (kept, True, {"content_type": "text"})
        await late.quiet()


@statement("MQTT-3.12.4-1")
async def test_pings_are_answered(port: int) -> None:
    wire = await Wire5.joined(port)
    await wire.quiet()
