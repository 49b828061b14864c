"""MQTT 5.0: CONNECT, sessions, wills, authentication and the end of connections. Each test names the statements that it shows."""

from typing import Any

import pytest

from broker import Accepted, ConnectRequest, Reason, Refused
from broker.properties import Properties
from tests.brokers import Serve
from tests.mqtt import PINGREQ, field, packet
from tests.mqtt5 import Wire5, auth, connect, disconnect, publish, subscribe

statement = pytest.mark.statement

MALFORMED = {
    "reserved flag": (connect(flags=0x03), 0x81),
    "will QoS 3": (connect(will=("t", "x", 3, False)), 0x81),
    "will QoS without will": (connect(flags=0x0A), 0x81),
    "will retain without will": (connect(flags=0x22), 0x81),
    "user name flag without user name": (connect(flags=0x82), 0x81),
    "password flag without password": (connect(flags=0x42), 0x81),
    "user name without its flag": (connect(username="u", flags=0x02), 0x81),
    "ill-formed client id": (connect(b"\xc3\x28"), 0x81),
    "surrogate": (connect(b"\xed\xa0\x80"), 0x81),
    "null in client id": (connect("a\0"), 0x81),
    "bytes behind": (connect(behind=b"x"), 0x81),
    "will flag without will": (connect(flags=0x06), 0x81),
    "ill-formed will topic": (connect(flags=0x06, behind=b"\x00\x00\x01\xff\x00\x00"), 0x81),
    "ill-formed user name": (connect(flags=0x82, behind=b"\x00\x01\xff"), 0x81),
    "null in the user name": (connect(username="a\0"), 0x81),
    "no client id": (packet(0x10, field("MQTT") + b"\x05\x02\x00\x3c\x00"), 0x81),
    "a property of PUBLISH": (connect(topic_alias=1), 0x81),
    "an unknown property": (connect(block=b"\x02\x7f\x00"), 0x81),
    "a block longer than the packet": (connect(block=b"\x7f"), 0x81),
    "a property cut short": (connect(block=b"\x02\x11\x00"), 0x81),
    "a property twice": (connect(block=b"\x06\x21\x00\x01\x21\x00\x01"), 0x82),
    "receive maximum 0": (connect(receive_maximum=0), 0x82),
    "maximum packet size 0": (connect(maximum_packet_size=0), 0x82),
    "request problem information 2": (connect(request_problem=2), 0x82),
    "request response information 2": (connect(request_response=2), 0x82),
    "authentication data without method": (connect(authentication_data=b"x"), 0x82),
    "null in a user property": (connect(user=("a", "b\0")), 0x81),
}


@statement(
    "MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-1.5.7-1", "MQTT-3.1.2-3", "MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-12",
    "MQTT-3.1.2-13", "MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-1", "MQTT-3.1.3-3",
    "MQTT-3.1.3-4", "MQTT-3.1.3-11", "MQTT-3.1.3-12", "MQTT-3.1.4-1", "MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-3.14.0-1",
    "MQTT-4.13.1-1", "MQTT-4.13.2-1",
)  # fmt: skip
@pytest.mark.parametrize(("bad", "reason"), MALFORMED.values(), ids=list(MALFORMED))
async def test_a_malformed_connect_is_answered_and_closed(port: int, bad: bytes, reason: int) -> None:
    wire = await Wire5.open(port)
    wire.send(bad, PINGREQ)
    answer = await wire.connack()
    assert (answer.reason, answer.present) == (reason, False)
    assert answer.said["reason_string"]
    await wire.closed()


@statement("MQTT-3.1.2-1", "MQTT-3.1.2-2")
async def test_other_protocols_are_refused(port: int) -> None:
    wire = await Wire5.open(port)
    wire.send(packet(0x10, field("MQTT") + b"\x06\x02\x00\x3c\x00" + field("c")))
    assert (await wire.connack()).reason == 0x84
    await wire.closed()
    wire = await Wire5.open(port)
    wire.send(packet(0x10, field("MQXX") + b"\x05\x02\x00\x3c\x00" + field("c")))
    await wire.closed()


@statement("MQTT-3.1.0-1", "MQTT-3.14.0-1")
@pytest.mark.parametrize(
    "first", [PINGREQ, publish("t"), subscribe(("#", 0)), disconnect(), auth(0x18, authentication_method="SUM")]
)
async def test_the_first_packet_is_connect(port: int, first: bytes) -> None:
    wire = await Wire5.open(port)
    wire.send(first, connect())
    await wire.closed()  # without a word: there is no CONNACK before it


@statement("MQTT-3.1.0-2", "MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT-3.14.2-1", "MQTT-3.14.2-2", "MQTT-3.2.0-2")
async def test_a_second_connect_is_a_protocol_error(port: int) -> None:
    wire = await Wire5.joined(port)
    wire.send(connect("c"), PINGREQ)
    answer = await wire.ended()
    assert answer.reason == 0x82
    assert set(answer.said) == {"reason_string"}


@statement("MQTT-3.1.4-5", "MQTT-3.2.0-1", "MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT-2.2.2-1")
async def test_the_welcome_says_what_the_server_bounds(port: int) -> None:
    wire = await Wire5.open(port)
    wire.send(connect(), PINGREQ)
    answer = await wire.connack()
    assert (answer.reason, answer.present) == (0, False)
    assert answer.said == {"receive_maximum": 1000, "maximum_packet_size": 256 * 1024, "topic_alias_maximum": 32}
    assert (await wire.packet()).first == 0xD0


@statement("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16", "MQTT-3.1.3-2")
async def test_a_client_without_an_id_is_told_the_one_it_gets(port: int) -> None:
    one = await Wire5.joined(port, "", clean=False, session_expiry=100)
    two = await Wire5.joined(port, "")
    assigned = one.welcome.said["assigned_client_id"]
    assert assigned != two.welcome.said["assigned_client_id"]
    one.drop()
    assert (await Wire5.joined(port, assigned, clean=False, session_expiry=100)).welcome.present


@statement("MQTT-3.1.3-5")
async def test_a_client_with_an_id_is_assigned_none(port: int) -> None:
    wire = await Wire5.joined(port, "0123456789abcdefghijklm")
    assert "assigned_client_id" not in wire.welcome.said


@statement("MQTT-3.1.2-18")
async def test_a_password_needs_no_user_name(port: int) -> None:
    assert (await Wire5.joined(port, password="p")).welcome.reason == 0


@statement("MQTT-3.1.2-21", "MQTT-3.1.2-22", "MQTT-3.2.2-21", "MQTT-3.2.2-22")
async def test_keep_alive_is_the_client_s_unless_the_server_says_its_own(serve: Serve) -> None:
    port = await serve(max_keep_alive_s=1)
    bounded = await Wire5.joined(port, "bounded", keep_alive=100)
    unbounded = await Wire5.joined(port, "unbounded", keep_alive=0)
    assert [w.welcome.said["server_keep_alive"] for w in (bounded, unbounded)] == [1, 1]
    own = await Wire5.joined(port, "own", keep_alive=1)
    assert "server_keep_alive" not in own.welcome.said
    assert (await own.ended()).reason == 0x8D
    assert (await bounded.ended()).reason == 0x8D


@statement("MQTT-3.1.4-3")
async def test_a_take_over_is_told_to_the_old_client(port: int) -> None:
    old = await Wire5.joined(port, "same")
    new = await Wire5.joined(port, "same")
    assert (await old.ended()).reason == 0x8E
    await new.quiet()


@statement(
    "MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.1.2-6", "MQTT-3.1.2-23", "MQTT-3.1.4-4", "MQTT-3.2.2-3", "MQTT-4.1.0-1", "MQTT-4.1.0-2"
)  # fmt: skip
@pytest.mark.parametrize(("expiry", "present"), [(0, False), (1000, True), (0xFFFFFFFF, True)])
async def test_a_session_is_kept_for_as_long_as_it_says(port: int, expiry: int, present: bool) -> None:
    first = await Wire5.joined(port, "kept", session_expiry=expiry)
    assert not first.welcome.present
    await first.subscribed(("t", 1))
    first.send(disconnect())
    await first.closed()
    sender = await Wire5.joined(port, "sender")
    await sender.told("t", "missed")
    again = await Wire5.joined(port, "kept", clean=False)
    assert again.welcome.present == present
    if present:
        assert (await again.heard()).payload == b"missed"
    await again.quiet()
    anew = await Wire5.joined(port, "kept", clean=True)
    assert not anew.welcome.present


async def test_a_session_is_told_that_it_is_kept_shorter_than_it_asked(serve: Serve) -> None:
    port = await serve(max_session_expiry_s=60)
    assert (await Wire5.joined(port, "a", session_expiry=0xFFFFFFFF)).welcome.said["session_expiry"] == 60
    assert "session_expiry" not in (await Wire5.joined(port, "b", session_expiry=30)).welcome.said


@statement("MQTT-4.1.0-2")
async def test_a_session_ends_when_its_time_is_over(serve: Serve) -> None:
    port = await serve(max_session_expiry_s=1)
    listener = await Wire5.joined(port, "listener")
    await listener.subscribed(("w", 0))
    wire = await Wire5.joined(
        port, "short", session_expiry=1, will=("w", "ended", 0, False), will_said={"will_delay": 100}
    )
    wire.drop()
    assert (await listener.heard()).payload == b"ended"  # with the session, though its delay is not over
    assert not (await Wire5.joined(port, "short", clean=False)).welcome.present


async def test_disconnect_may_change_the_expiry_but_not_out_of_nothing(port: int) -> None:
    wire = await Wire5.joined(port, "a", session_expiry=100)
    wire.send(disconnect(session_expiry=0))
    await wire.closed()
    again = await Wire5.joined(port, "a", clean=False)
    assert not again.welcome.present
    again.send(disconnect(session_expiry=100))
    assert (await again.ended()).reason == 0x82


@statement("MQTT-3.14.1-1", "MQTT-2.1.3-1", "MQTT-3.15.1-1")
@pytest.mark.parametrize("bad", [b"\xe1\x02\x00\x00", b"\xf1\x02\x00\x00", b"\xc1\x00"])
async def test_reserved_bits_are_malformed(port: int, bad: bytes) -> None:
    wire = await Wire5.joined(port)
    wire.send(bad)
    assert (await wire.ended()).reason == 0x81


async def test_server_only_properties_are_refused_in_disconnect(port: int) -> None:
    wire = await Wire5.joined(port)
    wire.send(disconnect(0, server_reference="other"))
    assert (await wire.ended()).reason == 0x81


class Gate:
    """Refuses by the password, moves who asks for it."""

    name = "gate"

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        match request.password:
            case b"long":
                return Refused(Reason.NOT_AUTHORIZED, "x" * 200)
            case b"elsewhere":
                return Refused(Reason.USE_ANOTHER_SERVER, "moved", server_reference="other:1883")
            case b"id":
                return Refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, "no such id here")
            case b"told":
                return Accepted(
                    "", None, properties=Properties(user_properties=(("a", "b"),), response_information="r/1")
                )
        return Accepted("", None)


@statement("MQTT-3.1.4-2", "MQTT-3.1.4-6", "MQTT-3.2.2-19", "MQTT-3.2.2-20")
async def test_a_refusal_says_why_where_to_go_and_fits(serve: Serve) -> None:
    port = await serve(authenticators=[Gate()])
    listener = await Wire5.joined(port, "listener")
    await listener.subscribed(("#", 0))
    wire = await Wire5.open(port)
    wire.send(connect(password="elsewhere", will=("t", "will", 0, False)), publish("t"))
    answer = await wire.connack()
    assert (answer.reason, answer.said) == (0x9C, {"reason_string": "moved", "server_reference": "other:1883"})
    await wire.closed()
    await listener.quiet()  # what came behind the CONNECT was not acted on
    small = await Wire5.open(port)
    small.send(connect(password="long", maximum_packet_size=100))
    assert await small.connack() == (0x87, {}, False, 0)
    told = await Wire5.joined(port, password="told", request_response=1)
    assert told.welcome.said["user"] == [("a", "b")]
    assert told.welcome.said["response_information"] == "r/1"


@statement("MQTT-3.1.3-8")
async def test_a_client_id_may_be_refused(serve: Serve) -> None:
    wire = await Wire5.open(await serve(authenticators=[Gate()]))
    wire.send(connect("wrong", password="id"))
    assert (await wire.connack()).reason == 0x85
    await wire.closed()


@statement("MQTT-3.14.2-3")
async def test_a_disconnect_fits_the_client(port: int) -> None:
    small = await Wire5.joined(port, maximum_packet_size=20)
    small.send(connect())
    assert await small.ended() == (0x82, {}, False, 0)


@statement("MQTT-3.1.2-28")
async def test_response_information_is_given_only_if_asked_for(serve: Serve) -> None:
    port = await serve(authenticators=[Gate()])
    assert "response_information" not in (await Wire5.joined(port, password="told")).welcome.said


async def test_a_host_moves_a_client(serve: Serve, brokers: list[Any]) -> None:
    port = await serve()
    wire = await Wire5.joined(port, "mover")
    brokers[0].session("", "mover").disconnect(Reason.USE_ANOTHER_SERVER, "balance", server_reference="other:1883")
    answer = await wire.ended()
    assert (answer.reason, answer.said["server_reference"]) == (0x9C, "other:1883")


async def test_stopping_is_told(serve: Serve, brokers: list[Any]) -> None:
    port = await serve()
    wire = await Wire5.joined(port)
    await brokers[0].stop()
    assert (await wire.ended()).reason == 0x8B
