"""aiomqtt: MQTT 3.1.1 and 5.0."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest
from aiomqtt import Client, ProtocolVersion, Will
from paho.mqtt.packettypes import PacketTypes

from tests.integration.clients.conftest import LARGE, PASSWORD, USER, Running, said

WAIT_S = 60.0
V5 = ProtocolVersion.V5
WAYS = [(ProtocolVersion.V311, "default"), (V5, "default"), (ProtocolVersion.V311, "ws"), (V5, "ws"), (V5, "tls")]


class Joining:
    """Clients of one version on one listener."""

    def __init__(self, running: Running, version: ProtocolVersion, transport: str) -> None:
        self._running, self.version, self._transport = running, version, transport
        self.name = f"aiomqtt-{version.name}-{transport}"

    @asynccontextmanager
    async def __call__(self, client_id: str, *, clean: bool = True, **options: Any) -> AsyncIterator[Client]:
        if self.version is V5:
            kept = said(PacketTypes.CONNECT, SessionExpiryInterval=0 if clean else 300)
            options |= {"clean_start": clean, "properties": kept}
        else:
            options["clean_session"] = clean
        if self._transport == "tls":
            options["tls_context"] = ssl.create_default_context(cafile=str(self._running.ca))
        login = {"username": USER, "password": PASSWORD} | options
        kind: Any = "websockets" if self._transport == "ws" else "tcp"
        host, port = ("localhost" if self._transport == "tls" else "127.0.0.1"), self._running.ports[self._transport]
        async with Client(
            host, port, identifier=f"{self.name}-{client_id}", protocol=self.version, transport=kind, **login
        ) as client:
            yield client


async def message(client: Client) -> aiomqtt.Message:
    async with asyncio.timeout(WAIT_S):
        return await anext(client.messages)


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0].name}-{way[1]}")
def joining(running: Running, request: pytest.FixtureRequest) -> Joining:
    return Joining(running, *request.param)


async def test_a_wrong_password_is_refused(joining: Joining) -> None:
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
        async with joining("c", password="wrong"):
            pass


async def test_both_ways_at_each_qos(joining: Joining) -> None:
    async with joining("c") as client:
        await client.subscribe(f"{joining.name}/#", qos=2)
        for qos in range(3):
            await client.publish(f"{joining.name}/{qos}", f"at {qos}", qos=qos)
            heard = await message(client)
            assert (str(heard.topic), heard.payload, heard.qos) == (f"{joining.name}/{qos}", f"at {qos}".encode(), qos)


async def test_retained(joining: Joining) -> None:
    topic = f"{joining.name}/retained"
    async with joining("c") as client:
        await client.publish(topic, "kept", qos=1, retain=True)
        await client.subscribe(topic, qos=1)
        heard = await message(client)
        assert (heard.payload, heard.retain) == (b"kept", True)
        await client.publish(topic, b"", qos=1, retain=True)


async def test_a_will(joining: Joining) -> None:
    topic = f"{joining.name}/will"
    async with joining("l") as listener:
        await listener.subscribe(topic, qos=1)
        async with joining("w", will=Will(topic, "gone", qos=1)), joining("w"):
            assert (await message(listener)).payload == b"gone"  # the first one has been taken over


async def test_a_session_is_taken_up_again(joining: Joining) -> None:
    topic = f"{joining.name}/session"
    async with joining("s", clean=False) as away:
        await away.subscribe(topic, qos=2)
    async with joining("p") as sender:
        for number in range(6):
            await sender.publish(topic, str(number), qos=1 + number % 2)
    async with joining("s", clean=False) as back:
        heard = [await message(back) for _ in range(6)]
    for qos, numbers in ((1, (0, 2, 4)), (2, (1, 3, 5))):  # in order at each QoS: section 4.6
        assert [m.payload for m in heard if m.qos == qos] == [str(number).encode() for number in numbers]


async def test_a_large_payload(joining: Joining) -> None:
    topic = f"{joining.name}/large"
    async with joining("c") as client:
        await client.subscribe(topic, qos=2)
        for qos in range(3):
            await client.publish(topic, bytes([qos]) * LARGE, qos=qos)
            assert (await message(client)).payload == bytes([qos]) * LARGE


async def test_properties_aliases_and_request_response_of_mqtt_5(running: Running) -> None:
    joining = Joining(running, V5, "default")
    ask, answers = f"{joining.name}/ask", f"{joining.name}/answers"
    async with joining("server") as server, joining("asking") as asking:
        await server.subscribe(ask, qos=1)
        await asking.subscribe(answers, qos=1)
        request = said(
            PacketTypes.PUBLISH, ResponseTopic=answers, CorrelationData=b"17", ContentType="text/plain", TopicAlias=4,
            UserProperty=[("k", "v"), ("k", "w")],
        )  # fmt: skip
        await asking.publish(ask, "how?", qos=1, properties=request)
        asked: Any = (await message(server)).properties
        assert (asked.ContentType, asked.UserProperty) == ("text/plain", [("k", "v"), ("k", "w")])
        answer = said(PacketTypes.PUBLISH, CorrelationData=asked.CorrelationData)
        await server.publish(asked.ResponseTopic, "so", qos=1, properties=answer)
        heard = await message(asking)
        correlation: Any = heard.properties
        assert (heard.payload, correlation.CorrelationData) == (b"so", b"17")
