"""MQTT 3.1.1: CONNECT, sessions, wills, keep-alive and the end of connections. Each test names the statements that it shows."""

import pytest

from tests.conformance.conftest import Open
from tests.mqtt import DISCONNECT, PINGREQ, Wire, connect, field, packet, publish, pubrel, subscribe, unsubscribe

statement = pytest.mark.statement

MALFORMED_CONNECTS = {
    "reserved flag": connect(flags=0x03),
    "will QoS 3": connect(will=("t", "x", 3, False)),
    "will QoS without will": connect(flags=0x0A),
    "will retain without will": connect(flags=0x22),
    "password without user name": connect(password="p"),
    "user name flag without user name": connect(flags=0x82),
    "will flag without will": connect(flags=0x06),
    "ill-formed client id": connect(b"\xc3\x28"),
    "surrogate in client id": connect(b"\xed\xa0\x80"),
    "null in client id": connect("a\0b"),
    "ill-formed user name": connect(username=b"\xff"),
    "null in user name": connect(username="a\0"),
    "ill-formed will topic": connect(will=(b"\xff", "x", 0, False)),
    "no client id": packet(0x10, field("MQTT") + b"\x04\x02\x00\x3c"),
    "bytes behind": connect(behind=b"x"),
    "wrong protocol name": connect(name="MQTX"),
    "flags of the fixed header": b"\x11" + connect()[1:],
}


@statement("MQTT-3.1.0-1")
@pytest.mark.parametrize(
    "first", [PINGREQ, DISCONNECT, publish("t", "x"), subscribe(("#", 0))], ids=["pingreq", "disconnect", "pub", "sub"]
)
async def test_the_first_packet_is_connect(port: int, first: bytes) -> None:
    wire = await Wire.open(port)
    wire.send(first, connect())
    await wire.closed()


@statement("MQTT-3.1.0-2")
async def test_a_second_connect_ends_the_connection(join: Open) -> None:
    wire = await join("one")
    wire.send(connect("one"))
    await wire.closed()


@statement(
    "MQTT-1.5.3-1", "MQTT-1.5.3-2", "MQTT-2.2.2-2", "MQTT-3.1.2-1", "MQTT-3.1.2-3", "MQTT-3.1.2-11", "MQTT-3.1.2-13",
    "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21", "MQTT-3.1.2-22",
    "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11", "MQTT-3.1.4-1", "MQTT-3.2.2-6", "MQTT-4.8.0-1",
)  # fmt: skip
@pytest.mark.parametrize("bad", MALFORMED_CONNECTS.values(), ids=list(MALFORMED_CONNECTS))
async def test_a_malformed_connect_gets_no_connack(port: int, bad: bytes) -> None:
    wire = await Wire.open(port)
    wire.send(bad)
    await wire.closed()


@statement("MQTT-3.1.2-2")
@pytest.mark.parametrize("level", [0, 1, 3, 0x84])
async def test_an_unknown_protocol_level_is_refused_with_1(port: int, level: int) -> None:
    wire = await Wire.open(port)
    wire.send(connect(level=level))
    assert await wire.packet() == (0x20, b"\x00\x01")
    await wire.closed()


async def test_mqtt_31_is_spoken_too(port: int) -> None:
    wire = await Wire.connected(port, connect("old", level=3, name="MQIsdp"))
    assert await wire.subscribed(("t", 1)) == [1]


def repeated(packet: bytes) -> bytes:
    """The packet with DUP, as MQTT 3.1 has it also for packets other than PUBLISH."""
    return bytes([packet[0] | 0x08]) + packet[1:]


REPEATED = {"SUBSCRIBE": subscribe(("t", 1)), "UNSUBSCRIBE": unsubscribe("t"), "PUBREL": pubrel(3)}


@pytest.mark.parametrize("packet", REPEATED.values(), ids=list(REPEATED))
async def test_mqtt_31_may_repeat_what_is_answered(port: int, packet: bytes) -> None:
    old = await Wire.connected(port, connect("old", level=3, name="MQIsdp"))
    old.send(publish("t", qos=2, packet_id=3), packet, repeated(packet))
    assert (await old.packet()).first == 0x50
    assert (await old.packet()).body == (await old.packet()).body
    newer = await Wire.connected(port, connect("newer"))
    newer.send(repeated(packet))
    await newer.closed()  # [MQTT-2.2.2-2]
    wrong = await Wire.connected(port, connect("wrong", level=3, name="MQIsdp"))
    wrong.send(bytes([packet[0] | 0x01]) + packet[1:])
    await wrong.closed()


@statement("MQTT-3.1.3-7", "MQTT-3.1.3-8", "MQTT-3.1.3-9", "MQTT-3.2.2-4", "MQTT-3.2.2-5", "MQTT-3.1.4-5")
async def test_an_empty_client_id_needs_a_clean_session(port: int) -> None:
    listener = await Wire.connected(port, connect("listener"))
    await listener.subscribed(("t", 0))
    wire = await Wire.open(port)
    wire.send(connect("", clean=False), publish("t", "not to be heard"))
    assert await wire.packet() == (0x20, b"\x00\x02")
    await wire.closed()
    await listener.quiet()


@statement("MQTT-3.1.3-6")
async def test_an_empty_client_id_is_given_one_of_its_own(join: Open) -> None:
    one, two = await join(""), await join("")
    await one.quiet()
    await two.quiet()


@statement("MQTT-3.1.3-2", "MQTT-3.1.3-5")
@pytest.mark.parametrize("client_id", ["a", "0123456789abcdefghijklm", "ABCDEFGHIJKLMNOPQRSTUVW", "ä/日本", "x" * 500])
async def test_client_ids_that_are_served(join: Open, client_id: str) -> None:
    assert not (await join(client_id)).session_present


@statement("MQTT-3.1.4-4", "MQTT-3.2.0-1", "MQTT-3.2.2-1")
async def test_the_first_answer_is_connack(port: int) -> None:
    wire = await Wire.open(port)
    wire.send(connect(), subscribe(("t", 0)), PINGREQ)  # a client need not wait: section 3.1.4
    assert await wire.packet() == (0x20, b"\x00\x00")
    assert (await wire.packet()).first == 0x90
    assert (await wire.packet()).first == 0xD0


@statement("MQTT-3.1.4-2")
async def test_the_same_client_id_takes_over(join: Open) -> None:
    old = await join("same")
    new = await join("same")
    await old.closed()
    await new.quiet()


@statement(
    "MQTT-3.1.2-4",
    "MQTT-3.1.2-5",
    "MQTT-3.1.4-3",
    "MQTT-3.2.2-2",
    "MQTT-3.2.2-3",
    "MQTT-4.1.0-1",
    "MQTT-4.1.0-2",
    "MQTT-4.5.0-1",
)
async def test_a_session_outlives_its_connection(join: Open) -> None:
    wire = await join("kept", clean=False)
    assert not wire.session_present
    await wire.subscribed(("t/#", 2))
    wire.drop()
    sender = await join("sender")
    for number in range(3):
        await sender.published("t/x", str(number))
    wire = await join("kept", clean=False)
    assert wire.session_present
    assert [(await wire.message()).payload for _ in range(3)] == [b"0", b"1", b"2"]


@statement("MQTT-3.1.2-6", "MQTT-3.2.2-1")
async def test_a_clean_session_forgets(join: Open) -> None:
    wire = await join("kept", clean=False)
    await wire.subscribed(("t", 1))
    await wire.leave()
    await (await join("sender")).published("t", "missed")
    wire = await join("kept", clean=True)
    assert not wire.session_present
    await wire.quiet()
    await wire.leave()
    assert not (await join("kept", clean=False)).session_present


@statement("MQTT-3.1.2-7")
async def test_retained_messages_are_no_part_of_a_session(join: Open) -> None:
    wire = await join("one")
    await wire.published("t", "kept", retain=True)
    await wire.leave()
    wire = await join("one")
    await wire.subscribed(("t", 0))
    assert (await wire.message()).payload == b"kept"


@statement("MQTT-3.1.2-8", "MQTT-3.1.2-9", "MQTT-3.1.2-16", "MQTT-3.1.2-17")
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_will_is_published_for_a_lost_connection(join: Open, qos: int, retain: bool) -> None:
    listener = await join("listener")
    await listener.subscribed(("w", 2))
    dying = await join("dying", will=("w", "gone", qos, retain))
    dying.drop()
    assert (await listener.message())[:4] == ("w", b"gone", qos, False)
    late = await join("late")
    await late.subscribed(("w", 2))
    if retain:
        assert (await late.message())[:4] == ("w", b"gone", qos, True)
    else:
        await late.quiet()


@statement("MQTT-3.1.2-8")
async def test_a_will_is_published_after_a_protocol_error_and_a_take_over(join: Open) -> None:
    listener = await join("listener")
    await listener.subscribed(("w", 0))
    dying = await join("dying", will=("w", "error", 0, False))
    dying.send(b"\x00\x00")
    assert (await listener.message()).payload == b"error"
    await join("dying", will=("w", "taken over", 0, False))
    await join("dying")
    assert (await listener.message()).payload == b"taken over"


@statement("MQTT-3.1.2-10", "MQTT-3.1.2-12", "MQTT-3.14.4-3")
async def test_a_will_is_dropped_by_disconnect(join: Open) -> None:
    listener = await join("listener")
    await listener.subscribed(("w", 0))
    await (await join("leaving", will=("w", "gone", 0, False))).leave()
    (await join("no will")).drop()
    sentinel = await join("sentinel")
    await sentinel.published("w", "the end")
    assert (await listener.message()).payload == b"the end"


@statement("MQTT-3.1.2-24")
async def test_silence_of_one_and_a_half_keep_alives_ends_the_connection(join: Open) -> None:
    listener = await join("listener")
    await listener.subscribed(("w", 0))
    silent = await join("silent", keep_alive=1, will=("w", "silent", 0, False))
    await silent.closed()
    assert (await listener.message()).payload == b"silent"


@statement("MQTT-3.12.4-1")
async def test_a_ping_is_answered(join: Open) -> None:
    wire = await join()
    wire.send(PINGREQ, PINGREQ)
    assert [await wire.packet(), await wire.packet()] == [(0xD0, b""), (0xD0, b"")]


@statement("MQTT-3.14.1-1", "MQTT-2.2.2-2")
async def test_a_disconnect_with_flags_is_an_error(join: Open) -> None:
    listener = await join("listener")
    await listener.subscribed(("w", 0))
    wire = await join("wrong", will=("w", "wrong", 0, False))
    wire.send(b"\xe1\x00")
    await wire.closed()
    assert (await listener.message()).payload == b"wrong"
