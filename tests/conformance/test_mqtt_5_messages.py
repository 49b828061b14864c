"""MQTT 5.0: publishing, subscribing, properties, aliases, flow control. Each test names the statements that it shows."""

import itertools

import pytest

from broker import PublishGrant, Reason, Refused, Session, SubscribeGrant
from tests.brokers import Serve
from tests.mqtt import PINGREQ, Wire, field, packet, puback, pubcomp, pubrec, pubrel
from tests.mqtt import connect as connect_311
from tests.mqtt import publish as publish_311
from tests.mqtt5 import Said, Wire5, acknowledge, publish, subscribe, unsubscribe

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


@statement("MQTT-3.3.4-7", "MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.9.0-3", "MQTT-3.3.4-10")
async def test_the_client_s_receive_maximum_bounds_what_is_in_flight(port: int) -> None:
    listener, sender = await Wire5.joined(port, "l", receive_maximum=2), await Wire5.joined(port, "s")
    await listener.subscribed(("t", 2), ("zero", 0))
    for number in range(4):
        sender.send(publish("t", str(number), qos=2, packet_id=number + 1))
        assert (await sender.acknowledged(0x50)).reason == 0
    first, second = await listener.heard(), await listener.heard()
    await listener.quiet()
    listener.send(acknowledge(0x50, first.packet_id))
    assert (await listener.acknowledged(0x62)).packet_id == first.packet_id
    await listener.quiet()  # a PUBREC frees nothing
    listener.send(pubcomp(first.packet_id))
    assert (await listener.heard()).payload == b"2"
    listener.send(acknowledge(0x50, second.packet_id, 0x97))  # refused: it is done [MQTT-4.4.0-2]
    assert (await listener.heard()).payload == b"3"


@statement("MQTT-3.3.4-7")
async def test_more_than_the_server_s_receive_maximum_is_an_error(serve: Serve) -> None:
    port = await serve(receive_maximum=3)
    wire = await Wire5.joined(port)
    assert wire.welcome.said["receive_maximum"] == 3
    wire.send(*(publish("t", qos=2, packet_id=number) for number in range(1, 5)))
    for _ in range(3):
        await wire.acknowledged(0x50)
    assert (await wire.ended()).reason == 0x93


@statement("MQTT-4.4.0-2", "MQTT-3.4.2-1")
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_that_a_client_refuses_is_not_sent_again(port: int, qos: int) -> None:
    listener, sender = await Wire5.joined(port, "l", session_expiry=100), await Wire5.joined(port, "s")
    await listener.subscribed(("t", 2))
    sender.send(publish("t", "refused", qos=qos))
    message = await listener.heard()
    listener.send(acknowledge(0x40 if qos == 1 else 0x50, message.packet_id, 0x80))
    await listener.quiet()
    listener.drop()
    await (await Wire5.joined(port, "l", clean=False)).quiet()


@statement("MQTT-4.3.3-6", "MQTT-4.3.3-7", "MQTT-4.4.0-1", "MQTT-3.3.1-1")
async def test_a_delivery_is_completed_after_a_reconnect_though_it_has_expired(port: int) -> None:
    listener, sender = await Wire5.joined(port, "l", session_expiry=100), await Wire5.joined(port, "s")
    await listener.subscribed(("t", 2))
    sender.send(publish("t", "x", qos=2, message_expiry=1))
    first = await listener.heard()
    listener.drop()
    tick = await Wire5.joined(port, "tick", session_expiry=2, will=("over", "", 0, False), will_said={"will_delay": 2})
    watcher = await Wire5.joined(port, "watcher")
    await watcher.subscribed(("over", 0))
    tick.drop()
    await watcher.heard()
    back = await Wire5.joined(port, "l", clean=False, session_expiry=100)
    again = await back.heard()
    assert (again.packet_id, again.dup) == (first.packet_id, True)


@statement("MQTT-3.7.2-1", "MQTT-3.6.2-1", "MQTT-4.3.3-4", "MQTT-4.3.3-11")
async def test_unknown_packet_ids_are_named(port: int) -> None:
    wire = await Wire5.joined(port)
    wire.send(pubrel(9), acknowledge(0x50, 8))
    released, rejected = await wire.acknowledged(0x70), await wire.acknowledged(0x62)
    assert (released.packet_id, released.reason) == (9, 0x92)
    assert (rejected.packet_id, rejected.reason) == (8, 0x92)
    wire.send(publish("t", qos=2, packet_id=9), acknowledge(0x62, 9, 0x00), puback(77))
    assert (await wire.acknowledged(0x50)).packet_id == 9
    assert (await wire.acknowledged(0x70)).reason == 0


class Gate:
    """Refuses what begins with `no`."""

    name = "gate"

    def authorize_publish(self, session: Session, topic: str) -> PublishGrant | Refused:
        return Refused(Reason.NOT_AUTHORIZED, "not yours " * 9) if topic.startswith("no") else PublishGrant(topic)

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant | Refused:
        return Refused(Reason.NOT_AUTHORIZED, "no") if topic_filter.startswith("no") else SubscribeGrant(topic_filter)


@statement("MQTT-3.4.2-1", "MQTT-3.4.2-2", "MQTT-3.5.2-1", "MQTT-3.5.2-2", "MQTT-3.1.2-29", "MQTT-4.3.3-9")
async def test_a_refused_publish_is_told_with_its_reason(serve: Serve) -> None:
    port = await serve(authorizers=[Gate()])
    wire = await Wire5.joined(port, "a")
    answer = await wire.told("no/1")
    assert (answer.reason, answer.said) == (0x87, {"reason_string": "not yours " * 9})
    wire.send(publish("no/1", qos=2), publish("no/1", qos=2))  # refused: the id is free at once
    assert [(await wire.acknowledged(0x50)).reason for _ in range(2)] == [0x87, 0x87]
    silent = await Wire5.joined(port, "b", request_problem=0)
    assert await silent.told("no/1") == (0x87, {}, False, 77)
    small = await Wire5.joined(port, "c", maximum_packet_size=60)
    assert await small.told("no/1") == (0x87, {}, False, 77)
    assert (await wire.told("yes")).reason == 0x10  # nobody subscribes


@statement(
    "MQTT-3.8.4-1",
    "MQTT-3.8.4-2",
    "MQTT-3.8.4-5",
    "MQTT-3.8.4-6",
    "MQTT-3.8.4-7",
    "MQTT-3.9.3-1",
    "MQTT-3.9.3-2",
    "MQTT-2.2.1-6",
)
async def test_a_suback_gives_a_reason_for_each_filter(serve: Serve) -> None:
    port = await serve(authorizers=[Gate()], max_subscriptions=3)
    wire = await Wire5.joined(port)
    codes = await wire.subscribed(
        ("a", 2), ("no", 0), ("b/#/c", 0), ("$share/g/c", 1), ("$share//c", 0), ("$share/+/c", 0), ("d", 0), ("e", 0)
    )
    assert codes == [2, 0x87, 0x8F, 1, 0x8F, 0x8F, 0, 0x97]


@statement("MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2", "MQTT-3.10.4-1")
async def test_an_unsuback_gives_a_reason_for_each_filter(port: int) -> None:
    wire = await Wire5.joined(port)
    await wire.subscribed(("a", 0), ("$share/g/b", 0))
    wire.send(unsubscribe("b", "a", "$share/g/b", "a"))
    assert await wire.packet() == (0xB0, b"\x00\x0b\x00\x11\x00\x00\x11")


@statement("MQTT-3.8.3-3")
async def test_no_local(port: int) -> None:
    wire, other = await Wire5.joined(port, "a"), await Wire5.joined(port, "b")
    await wire.subscribed(("t", NO_LOCAL))
    wire.send(publish("t", "own"))
    await wire.quiet()
    other.send(publish("t", "other's"))
    assert (await wire.heard()).payload == b"other's"
    await wire.subscribed(("+", 0))  # one that takes its own as well
    wire.send(publish("t", "own"))
    assert (await wire.heard()).payload == b"own"


@statement("MQTT-3.3.1-12", "MQTT-3.3.1-13")
async def test_retain_as_published(port: int) -> None:
    plain, as_published = await Wire5.joined(port, "a"), await Wire5.joined(port, "b")
    await plain.subscribed(("t", 0))
    await as_published.subscribed(("t", AS_PUBLISHED))
    sender = await Wire5.joined(port, "s")
    await sender.told("t", "kept", retain=True)
    await sender.told("t", "passing")
    assert [(await plain.heard()).retain for _ in range(2)] == [False, False]
    assert [(await as_published.heard()).retain for _ in range(2)] == [True, False]


@statement("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11", "MQTT-3.8.4-4", "MQTT-3.8.4-3")
async def test_retain_handling(port: int) -> None:
    wire = await Wire5.joined(port)
    await wire.told("t", "kept", retain=True)
    for options, sent in ((IF_NEW, True), (IF_NEW, False), (NO_RETAINED, False), (0, True), (IF_NEW | 1, False)):
        await wire.subscribed(("t", options))
        if sent:
            assert (await wire.heard()).payload == b"kept"
        await wire.quiet()


@statement("MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4")
async def test_subscription_identifiers(port: int) -> None:
    wire, sender = await Wire5.joined(port, "a"), await Wire5.joined(port, "s")
    await sender.told("t/1", "kept", retain=True)
    await wire.subscribed(("t/#", 0), subscription_identifier=268_435_455)
    assert (await wire.heard()).said == {"subscription_identifier": [268_435_455]}
    await wire.subscribed(("t/+", 1 | NO_RETAINED), subscription_identifier=7)
    await wire.subscribed(("+/1", 0 | NO_RETAINED))
    await sender.told("t/1", "x", user=[("a", "b")])
    message = await wire.heard()
    assert message.qos == 1
    assert sorted(message.said["subscription_identifier"]) == [7, 268_435_455]
    assert message.said["user"] == [("a", "b")]
    await wire.quiet()
    await wire.subscribed(("t/#", 0 | NO_RETAINED))  # replaced, without one
    await sender.told("t/1", "y")
    assert (await wire.heard()).said == {"subscription_identifier": [7]}


@statement("MQTT-4.8.2-3", "MQTT-3.3.1-9")
async def test_the_members_of_a_shared_subscription_take_turns(port: int) -> None:
    members = [await Wire5.joined(port, f"m{number}") for number in range(3)]
    alone, sender = await Wire5.joined(port, "alone"), await Wire5.joined(port, "s")
    await sender.told("jobs/0", "kept", retain=True)
    for wire in members:
        await wire.subscribed(("$share/g/jobs/#", 1))
        await wire.quiet()  # nothing of what is retained
    await alone.subscribed(("$share/other/jobs/#", 0 | NO_RETAINED))
    for number in range(9):
        assert (await sender.told("jobs/1", str(number))).reason == 0
    heard = [[int((await wire.heard()).payload) for _ in range(3)] for wire in members]
    assert sorted(itertools.chain(*heard)) == list(range(9))
    assert [int((await alone.heard()).payload) for _ in range(9)] == list(range(9))
    members[0].send(unsubscribe("$share/g/jobs/#"))
    assert (await members[0].packet()).first == 0xB0
    members[1].drop()
    while (await sender.told("jobs/1", "last")).reason == 0 and not await said_soon(members[2]):
        pass


async def said_soon(wire: Wire5) -> bool:
    """Whether a message came before the answer to a ping."""
    wire.send(PINGREQ)
    first, _ = await wire.packet()
    if first == 0xD0:
        return False
    assert (await wire.packet()).first == 0xD0
    return True


@statement("MQTT-4.8.2-4", "MQTT-4.8.2-5", "MQTT-4.8.2-6")
async def test_a_message_given_to_a_member_stays_its_own(port: int) -> None:
    first, sender = await Wire5.joined(port, "first", session_expiry=100), await Wire5.joined(port, "s")
    await first.subscribed(("$share/g/t", 2))
    sender.send(publish("t", "x", qos=2))
    assert (await sender.acknowledged(0x50)).reason == 0
    message = await first.heard()
    second = await Wire5.joined(port, "second")
    await second.subscribed(("$share/g/t", 2))
    first.drop()
    first = await Wire5.joined(port, "first", clean=False, session_expiry=100)
    assert (await first.heard()).packet_id == message.packet_id
    first.send(acknowledge(0x50, message.packet_id, 0x80))
    await first.quiet()
    await second.quiet()


async def test_a_message_for_a_group_waits_for_who_comes_back(port: int) -> None:
    member, sender = await Wire5.joined(port, "m", session_expiry=100), await Wire5.joined(port, "s")
    await member.subscribed(("$share/g/t", 1))
    member.drop()
    for number in range(3):
        await sender.told("t", str(number))
    back = await Wire5.joined(port, "m", clean=False)
    assert [(await back.heard()).payload for _ in range(3)] == [b"0", b"1", b"2"]


@statement(
    "MQTT-4.3.2-5", "MQTT-4.3.3-10", "MQTT-4.3.3-12", "MQTT-4.3.3-13", "MQTT-2.2.1-5", "MQTT-4.3.2-4", "MQTT-4.3.3-8"
)
async def test_exactly_once_over_a_reconnect(port: int) -> None:
    listener, sender = await Wire5.joined(port, "l"), await Wire5.joined(port, "s", session_expiry=100)
    await listener.subscribed(("t", 0))
    sender.send(publish("t", "x", qos=2, packet_id=5, message_expiry=1))
    assert (await sender.acknowledged(0x50)).packet_id == 5
    sender.drop()
    sender = await Wire5.joined(port, "s", clean=False, session_expiry=100)
    sender.send(publish("t", "x", qos=2, dup=True, packet_id=5), pubrel(5), publish("t", "y", qos=2, packet_id=5))
    assert [(await sender.acknowledged(first)).packet_id for first in (0x50, 0x70, 0x50)] == [5, 5, 5]
    assert [(await listener.heard()).payload for _ in range(2)] == [b"x", b"y"]


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


@statement("MQTT-1.5.4-3", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.2-1", "MQTT-4.7.3-3", "MQTT-4.7.3-4")
async def test_topic_rules_are_those_of_3_1_1(port: int) -> None:
    wire = await Wire5.joined(port)
    codes = await wire.subscribed(
        ("\ufeffa", 0), ("a#", 0), ("a/#/b", 0), ("+a", 0), ("t/" + "x" * 65_533, 0), ("#", 0)
    )
    assert codes == [0, 0x8F, 0x8F, 0x8F, 0, 0]
    await wire.told("$SYS/x")
    for topic in ("a", "\ufeffa"):
        wire.send(publish(topic, topic))
        assert (await wire.heard()).topic == topic


@statement(
    "MQTT-4.6.0-5",
    "MQTT-4.6.0-6",
    "MQTT-4.5.0-1",
    "MQTT-4.3.1-1",
    "MQTT-4.3.2-1",
    "MQTT-4.3.2-2",
    "MQTT-4.3.3-1",
    "MQTT-4.3.3-2",
)
async def test_messages_keep_their_order(port: int) -> None:
    listener, sender = await Wire5.joined(port, "l"), await Wire5.joined(port, "s")
    await listener.subscribed(("t", 2))
    sender.send(*(publish("t", str(n), qos=n % 3, packet_id=n + 1) for n in range(90)))
    heard = [await listener.heard() for _ in range(90)]
    assert [int(message.payload) for message in heard] == list(range(90))
    assert not any(message.dup for message in heard)
    numbers = [message.packet_id for message in heard if message.qos]
    assert len(set(numbers)) == len(numbers) == 60


@statement("MQTT-3.3.1-2", "MQTT-3.3.1-3", "MQTT-3.3.4-1", "MQTT-3.8.4-8")
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_delivery_is_at_the_lower_qos_and_dup_is_not_passed_on(port: int, sent: int, granted: int) -> None:
    listener, sender = await Wire5.joined(port, "l"), await Wire5.joined(port, "s")
    await listener.subscribed(("t", granted))
    sender.send(publish("t", "x", qos=sent, dup=sent > 0))
    if sent:
        assert (await sender.acknowledged(0x40 if sent == 1 else 0x50)).reason == 0
    message = await listener.heard()
    assert (message.qos, message.dup) == (min(sent, granted), False)


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


@statement("MQTT-3.10.4-2", "MQTT-3.10.4-3", "MQTT-4.3.2-3", "MQTT-4.3.3-3", "MQTT-4.3.3-5")
@pytest.mark.parametrize("qos", [1, 2])
async def test_what_began_is_completed_after_unsubscribe_and_nothing_new_begins(port: int, qos: int) -> None:
    listener, sender = await Wire5.joined(port, "l", session_expiry=100), await Wire5.joined(port, "s")
    await listener.subscribed(("t", 2))
    sender.send(publish("t", "x", qos=qos))
    message = await listener.heard()
    listener.send(unsubscribe("t"))
    assert (await listener.packet()).first == 0xB0
    sender.send(publish("t", "new"), PINGREQ)
    await listener.quiet()
    listener.drop()
    back = await Wire5.joined(port, "l", clean=False, session_expiry=100)
    assert (await back.heard()).packet_id == message.packet_id
    if qos == 2:  # its PUBREL is repeated, too, until it is answered
        back.send(pubrec(message.packet_id))
        assert (await back.acknowledged(0x62)).packet_id == message.packet_id
        back.drop()
        back = await Wire5.joined(port, "l", clean=False, session_expiry=100)
        assert (await back.acknowledged(0x62)).packet_id == message.packet_id
    await back.quiet()


@statement("MQTT-3.12.4-1")
async def test_pings_are_answered(port: int) -> None:
    wire = await Wire5.joined(port)
    await wire.quiet()
