"""MQTT 5.0: subscriptions, their options, shared ones, and what is refused. Each test names the statements that it shows."""

import itertools

import pytest

from broker import PublishGrant, Reason, Refused, Session, SubscribeGrant
from tests.brokers import Serve
from tests.mqtt import PINGREQ
from tests.mqtt5 import Wire5, acknowledge, publish, unsubscribe

statement = pytest.mark.statement

NO_LOCAL, AS_PUBLISHED, IF_NEW, NO_RETAINED = 0x04, 0x08, 0x10, 0x20


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
    "MQTT-4.8.2-1",
    "MQTT-4.8.2-2",
)
async def test_a_suback_gives_a_reason_for_each_filter(serve: Serve) -> None:
    port = await serve(authorizers=[Gate()], max_subscriptions=3)
    wire = await Wire5.joined(port)
    codes = await wire.subscribed(
        ("a", 2), ("no", 0), ("b/#/c", 0), ("$share/g/c", 1), ("$share//c", 0), ("$share/+/c", 0), ("d", 0), ("e", 0)
    )
    assert codes == [2, 0x87, 0x8F, 1, 0x8F, 0x8F, 0, 0x97]
    codes = await wire.subscribed(*((f"$share/{rest}", 0) for rest in ("a#/c", "g", "g/", "", "/")))
    assert codes == [0x8F] * 5


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


@statement("MQTT-3.3.1-9")
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


@statement("MQTT-4.8.2-3")
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_a_member_of_a_shared_subscription_hears_at_its_own_qos(port: int, sent: int, granted: int) -> None:
    member, sender = await Wire5.joined(port, "m"), await Wire5.joined(port, "s")
    await member.subscribed(("$share/g/t", granted))
    sender.send(publish("t", "x", qos=sent))
    assert (await member.heard()).qos == min(sent, granted)


@statement("MQTT-4.8.2-5")
async def test_a_message_given_to_a_member_that_is_forgotten_goes_to_no_other(port: int) -> None:
    first, sender = await Wire5.joined(port, "first", session_expiry=100), await Wire5.joined(port, "s")
    await first.subscribed(("$share/g/t", 2))
    sender.send(publish("t", "x", qos=2))
    await first.heard()
    second = await Wire5.joined(port, "second")
    await second.subscribed(("$share/g/t", 2))
    first.drop()
    await (await Wire5.joined(port, "first", clean=True)).quiet()
    await second.quiet()


@statement("MQTT-4.8.2-4", "MQTT-4.8.2-6")
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
