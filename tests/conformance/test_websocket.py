"""MQTT over WebSocket (section 6 of both specifications), with the client of the `websockets` library and with paho."""

import asyncio
import threading
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from broker import Listener
from tests.brokers import Serve
from tests.mqtt import PINGREQ, Wire, connect, publish, subscribe

statement = pytest.mark.statement
MQTT = [Subprotocol("mqtt")]


@pytest.fixture
async def websocket_port(serve: Serve) -> int:
    return await serve(listeners=(Listener(port=0, websocket=True),))


async def received(client: ClientConnection, size: int) -> bytes:
    data = b""
    while len(data) < size:
        frame = await client.recv()
        assert isinstance(frame, bytes)
        data += frame
    return data


@statement("MQTT-6.0.0-1", "MQTT-6.0.0-4")
@pytest.mark.parametrize("path", ["/", "/mqtt", "/any?x=1"])
async def test_mqtt_in_binary_frames(websocket_port: int, path: str) -> None:
    async with open_websocket(f"ws://127.0.0.1:{websocket_port}{path}", subprotocols=MQTT) as client:
        assert client.subprotocol == "mqtt"
        await client.send(connect("c"))
        assert await received(client, 4) == b"\x20\x02\x00\x00"
        await client.ping()
        await client.send(PINGREQ)
        assert await received(client, 2) == b"\xd0\x00"


@statement("MQTT-6.0.0-2")
async def test_packets_need_not_begin_where_frames_do(websocket_port: int) -> None:
    stream = connect("c") + subscribe(("t", 0)) + publish("t", b"x" * 300) + PINGREQ
    async with open_websocket(f"ws://127.0.0.1:{websocket_port}", subprotocols=MQTT) as client:
        for byte in stream[:40]:
            await client.send(bytes([byte]))
        await client.send([stream[40:50], b"", stream[50:]])  # one message of several frames
        expected = b"\x20\x02\x00\x00" + b"\x90\x03\x00\x0a\x00" + publish("t", b"x" * 300) + b"\xd0\x00"
        assert await received(client, len(expected)) == expected


@statement("MQTT-6.0.0-1")
async def test_a_text_frame_ends_the_connection(websocket_port: int) -> None:
    async with open_websocket(f"ws://127.0.0.1:{websocket_port}", subprotocols=MQTT) as client:
        await client.send("text")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1003


@statement("MQTT-6.0.0-3")
@pytest.mark.parametrize("offered", [None, [Subprotocol("stomp")]])
async def test_the_subprotocol_is_needed(websocket_port: int, offered: list[Subprotocol] | None) -> None:
    with pytest.raises(InvalidStatus):
        async with open_websocket(f"ws://127.0.0.1:{websocket_port}", subprotocols=offered):
            pass


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", connect("c"), b"x" * 20_000])
async def test_what_is_no_websocket_is_let_go(websocket_port: int, garbage: bytes) -> None:
    wire = await Wire.open(websocket_port)
    wire.send(garbage)
    wire.finish()
    await wire.ended_quietly()


async def test_a_server_s_close_reaches_the_client(websocket_port: int) -> None:
    async with open_websocket(f"ws://127.0.0.1:{websocket_port}", subprotocols=MQTT) as client:
        await client.send(b"\x00\x00")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1000


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5])
async def test_paho_over_websocket(websocket_port: int, version: int) -> None:
    heard = threading.Event()
    client: Any = paho.Client(CallbackAPIVersion.VERSION2, "paho", transport="websockets", protocol=version)  # type: ignore[arg-type]
    client.on_connect = lambda *_: client.subscribe("t", 1)
    client.on_subscribe = lambda *_: client.publish("t", b"x" * 100_000, qos=2)
    client.on_message = lambda _client, _data, message: heard.set() if len(message.payload) == 100_000 else None
    client.connect_async("127.0.0.1", websocket_port)
    client.loop_start()
    try:
        assert await asyncio.to_thread(heard.wait, 10)
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize(
    "header",
    [b"Sec-WebSocket-Key: \xa8\r\n", b"Upgrade: \xff\r\nConnection: \xff\r\n", b"Sec-WebSocket-Protocol: \xff\r\n"],
)
async def test_headers_that_are_no_text_are_refused(
    websocket_port: int, header: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", websocket_port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 4")
    assert not [record for record in caplog.records if record.exc_info]
    writer.close()


async def test_a_stranger_s_frame_is_not_buffered_without_bound(websocket_port: int) -> None:
    async with open_websocket(f"ws://127.0.0.1:{websocket_port}", subprotocols=MQTT) as client:
        # The head of a large frame, and most of it.
        client.transport.write(b"\x82\xff" + (900_000).to_bytes(8, "big") + b"\0\0\0\0" + b"\0" * 800_000)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_a_packet_larger_than_a_frame_s_usual_bound(serve: Serve) -> None:
    port = await serve(listeners=(Listener(port=0, websocket=True),), max_packet_size=3_000_000)
    async with open_websocket(f"ws://127.0.0.1:{port}", subprotocols=MQTT, max_size=4_000_000) as client:
        await client.send(connect("c"))
        await received(client, 4)
        await client.send(subscribe(("t", 0)))
        await received(client, 5)
        await client.send(publish("t", b"x" * 2_500_000))
        assert (await received(client, 2_500_000))[-1:] == b"x"
