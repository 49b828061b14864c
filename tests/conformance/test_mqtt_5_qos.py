"""MQTT 5.0: QoS, order, flow control, and what is completed after a reconnect. Each test names the statements that it shows."""

import pytest

from tests.brokers import Serve
from tests.mqtt import PINGREQ, field, puback, pubcomp, pubrec, pubrel
from tests.mqtt5 import Wire5, acknowledge, publish, unsubscribe

statement = pytest.mark.statement


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


@statement("MQTT-4.3.3-7", "MQTT-4.4.0-1", "MQTT-3.3.1-1")
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


@statement("MQTT-4.3.2-4", "MQTT-4.3.2-5")
async def test_a_qos_1_publish_is_acknowledged_and_its_id_free_at_once(port: int) -> None:
    listener, sender = await Wire5.joined(port, "l"), await Wire5.joined(port, "s")
    await listener.subscribed(("t", 0))
    sender.send(publish("t", "x", qos=1, packet_id=5), publish("t", "y", qos=1, dup=True, packet_id=5))
    assert [(await sender.acknowledged(0x40)).packet_id for _ in range(2)] == [5, 5]
    assert [(await listener.heard()).payload for _ in range(2)] == [b"x", b"y"]


@statement("MQTT-4.3.3-13")
async def test_a_qos_2_publish_is_completed_though_it_has_expired(port: int) -> None:
    sender, watcher = await Wire5.joined(port, "s", session_expiry=100), await Wire5.joined(port, "w")
    sender.send(publish("t", "x", qos=2, packet_id=5, message_expiry=1))
    assert (await sender.acknowledged(0x50)).packet_id == 5
    sender.drop()
    tick = await Wire5.joined(port, "tick", session_expiry=2, will=("over", "", 0, False), will_said={"will_delay": 2})
    await watcher.subscribed(("over", 0))
    tick.drop()
    await watcher.heard()  # two seconds have passed on the server's clock
    sender = await Wire5.joined(port, "s", clean=False, session_expiry=100)
    sender.send(publish("t", "x", qos=2, dup=True, packet_id=5, message_expiry=1), pubrel(5))
    assert [(await sender.acknowledged(first)).reason for first in (0x50, 0x70)] == [0, 0]


@statement("MQTT-4.3.3-10", "MQTT-4.3.3-12", "MQTT-2.2.1-5", "MQTT-4.3.3-8")
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


@statement(
    "MQTT-4.6.0-5",
    "MQTT-4.6.0-6",
    "MQTT-4.5.0-1",
    "MQTT-2.2.1-4",
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
    assert 0 not in numbers


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


@statement("MQTT-3.10.4-2", "MQTT-3.10.4-3", "MQTT-4.3.2-3", "MQTT-4.3.3-3", "MQTT-4.3.3-5", "MQTT-4.3.3-6")
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


@statement("MQTT-2.2.1-2")
async def test_a_qos_0_message_has_no_packet_id(port: int) -> None:
    wire = await Wire5.joined(port)
    await wire.subscribed(("t", 0))
    wire.send(publish("t", "x"))
    assert await wire.packet() == (0x30, field("t") + b"\x00" + b"x")
