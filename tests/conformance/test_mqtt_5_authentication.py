"""MQTT 5.0: enhanced authentication (section 4.12). Each test names the statements that it shows."""

from typing import Any

import pytest

from broker import Accepted, ConnectRequest, Reason, Refused
from broker.hooks import Challenge
from broker.properties import Properties
from tests.brokers import Serve
from tests.mqtt import PINGREQ
from tests.mqtt5 import Wire5, auth, connect, subscribe

statement = pytest.mark.statement


class Anybody:
    """Accepts who names no method."""

    name = "anybody"

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        return Accepted("", None)


class Sum:
    """An authentication method: the server sends a number, the client must answer with the next."""

    name = "sum"
    method = "SUM"

    async def exchange(
        self, request: ConnectRequest, data: bytes | None, state: object
    ) -> Challenge | Accepted | Refused:
        if state is None:
            return Challenge(data or b"41", state=int(data or b"41") + 1)
        if data != str(state).encode():
            return Refused(Reason.NOT_AUTHORIZED, "wrong sum")
        return Accepted("", "sum", properties=Properties(authentication_data=b"well done"))


@pytest.fixture
async def sums(serve: Serve, brokers: list[Any]) -> int:
    return await serve(authenticators=[Anybody()], enhanced=[Sum()])


async def summed(port: int) -> Wire5:
    wire = await Wire5.open(port)
    wire.send(connect("c", authentication_method="SUM", authentication_data=b"1"))
    challenge = await wire.challenged()
    assert (challenge.reason, challenge.said) == (0x18, {"authentication_method": "SUM", "authentication_data": b"1"})
    wire.send(auth(0x18, authentication_method="SUM", authentication_data=b"2"))
    wire.welcome = await wire.connack()
    return wire


@statement("MQTT-4.12.0-2", "MQTT-4.12.0-3", "MQTT-4.12.0-5", "MQTT-3.15.2-1")
async def test_an_enhanced_authentication(sums: int) -> None:
    wire = await summed(sums)
    assert wire.welcome.reason == 0
    assert wire.welcome.said["authentication_method"] == "SUM"
    assert wire.welcome.said["authentication_data"] == b"well done"
    await wire.quiet()


@statement("MQTT-4.12.0-1", "MQTT-4.12.0-4")
async def test_unknown_methods_and_wrong_answers_are_refused(sums: int) -> None:
    wire = await Wire5.open(sums)
    wire.send(connect(authentication_method="OTHER"))
    assert (await wire.connack()).reason == 0x8C
    await wire.closed()
    wire = await Wire5.open(sums)
    wire.send(connect(authentication_method="SUM", authentication_data=b"1"))
    await wire.challenged()
    wire.send(auth(0x18, authentication_method="SUM", authentication_data=b"3"))
    assert (await wire.connack()).reason == 0x87
    await wire.closed()


@statement("MQTT-3.1.2-30", "MQTT-4.12.0-7")
@pytest.mark.parametrize(
    "bad",
    [PINGREQ, subscribe(("t", 0)), auth(0x18, authentication_method="OTHER"), auth(0x19, authentication_method="SUM")],
)
async def test_before_the_welcome_only_the_right_auth_may_come(sums: int, bad: bytes) -> None:
    wire = await Wire5.open(sums)
    wire.send(connect(authentication_method="SUM", authentication_data=b"1"))
    await wire.challenged()
    wire.send(bad)
    assert (await wire.connack()).reason == 0x82
    await wire.closed()


@statement("MQTT-4.12.0-6", "MQTT-4.12.0-7")
async def test_auth_without_a_method_in_connect_is_a_protocol_error(sums: int) -> None:
    wire = await Wire5.joined(sums)  # welcomed without an AUTH
    assert not {"authentication_method", "authentication_data"} & wire.welcome.said.keys()
    wire.send(auth(0x19, authentication_method="SUM"))
    assert (await wire.ended()).reason == 0x82


@statement("MQTT-4.12.1-1", "MQTT-4.12.1-2")
async def test_a_live_session_authenticates_again(sums: int) -> None:
    wire = await summed(sums)
    wire.send(auth(0x19, authentication_method="SUM", authentication_data=b"7"))
    assert (await wire.challenged()).reason == 0x18
    wire.send(auth(0x18, authentication_method="SUM", authentication_data=b"8"))
    answer = await wire.challenged()
    assert (answer.reason, answer.said["authentication_data"]) == (0, b"well done")
    await wire.quiet()
    wire.send(auth(0x19, authentication_method="SUM", authentication_data=b"7"))
    await wire.challenged()
    wire.send(auth(0x18, authentication_method="SUM", authentication_data=b"9"))
    assert (await wire.ended()).reason == 0x87
