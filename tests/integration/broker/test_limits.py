"""Every bound of the engine: reached, told, and without harm to others."""

import asyncio
import socket

import pytest

from broker import Broker
from broker.errors import BrokerStartError
from broker.settings import BrokerSettings, Listener
from tests.brokers import Serve
from tests.mqtt import Wire, connect, puback, publish, subscribe


async def test_a_large_connect_is_refused_by_its_header(serve: Serve) -> None:
    port = await serve(max_packet_size_connect=100)
    wire = await Wire.open(port)
    wire.send(connect("x" * 200)[:5])  # the rest never has to come
    await wire.closed()


async def test_a_large_packet_is_refused_by_its_header(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_packet_size=1000)
    wire = await Wire.connected(port, connect())
    await wire.published("t", "x" * 900)
    wire.send(b"\x30\xe9\x07")
    await wire.closed()
    assert brokers[0].stats.protocol_errors == 1


async def test_a_client_that_never_says_connect_is_let_go(serve: Serve) -> None:
    port = await serve(connect_timeout_s=0.1)
    silent, dribbling = await Wire.open(port), await Wire.open(port)
    dribbling.send(connect()[:5])
    await silent.closed()
    await dribbling.closed()


async def test_subscriptions_of_a_session_are_bounded(serve: Serve) -> None:
    port = await serve(max_subscriptions=2)
    wire = await Wire.connected(port, connect())
    assert await wire.subscribed(("a", 0), ("b", 0), ("c", 0), ("a", 1)) == [0, 0, 0x80, 1]


async def test_topic_levels_are_bounded(serve: Serve) -> None:
    port = await serve(max_topic_levels=3)
    wire = await Wire.connected(port, connect())
    assert await wire.subscribed(("a/b/c", 0), ("a/b/c/d", 0)) == [0, 0x80]
    wire.send(publish("a/b/c/d"))
    await wire.closed()


async def test_no_more_than_the_window_is_in_flight(serve: Serve) -> None:
    port = await serve(max_inflight=2)
    listener, sender = await Wire.connected(port, connect("l")), await Wire.connected(port, connect("s"))
    await listener.subscribed(("t", 1))
    for number in range(4):
        await sender.published("t", str(number))
    first, second = await listener.message(), await listener.message()
    await listener.quiet()
    listener.send(puback(first.packet_id))
    assert (await listener.message()).payload == b"2"
    listener.send(puback(second.packet_id))
    assert (await listener.message()).payload == b"3"


async def test_a_full_queue_drops_the_oldest_qos_0_first_and_counts(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_queued=2, max_inflight=1)
    listener, sender = await Wire.connected(port, connect("l", clean=False)), await Wire.connected(port, connect("s"))
    await listener.subscribed(("t", 1), ("zero", 0))
    await sender.published("t", "in flight")
    message = await listener.message()
    await sender.published("t", "first")
    await sender.published("zero", "to be dropped")
    await sender.published("t", "second")
    await sender.published("t", "one too many")
    assert brokers[0].stats.dropped == 2
    listener.send(puback(message.packet_id))
    for expected in (b"first", b"second"):
        message = await listener.message()
        assert message.payload == expected
        listener.send(puback(message.packet_id))
    await listener.quiet()


async def test_a_queue_is_bounded_in_bytes(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_queued_bytes=100)
    sender = await Wire.connected(port, connect("s"))
    away = await Wire.connected(port, connect("l", clean=False))
    await away.subscribed(("t", 1))
    await away.leave()
    for _ in range(3):
        await sender.published("t", "x" * 40)
    assert brokers[0].stats.dropped == 1
    back = await Wire.connected(port, connect("l", clean=False))
    assert [len((await back.message()).payload) for _ in range(2)] == [40, 40]
    await back.quiet()


async def test_retained_messages_are_bounded(serve: Serve) -> None:
    port = await serve(max_retained=1)
    sender = await Wire.connected(port, connect("s"))
    await sender.published("a", "1", retain=True)
    await sender.published("b", "2", retain=True)
    await sender.published("a", "3", retain=True)
    await sender.subscribed(("#", 0))
    assert (await sender.message()).payload == b"3"
    await sender.quiet()


async def test_a_reader_too_slow_for_its_messages_keeps_the_server_small(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_write_buffer=64 * 1024, max_queued=10)
    slow = socket.create_connection(("127.0.0.1", port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(connect("slow") + subscribe(("t", 0)))
    sender = await Wire.connected(port, connect("s"))
    while not brokers[0].stats.dropped:
        await sender.published("t", "x" * 60_000)
    session = brokers[0].session("", "slow")
    assert session is not None
    assert session.queued <= 10
    await sender.published("u", "still served")
    slow.close()


async def test_connections_are_bounded(serve: Serve) -> None:
    port = await serve(max_connections=1)
    kept = await Wire.connected(port, connect("kept"))
    extra = await Wire.open(port)
    await extra.closed()
    await kept.quiet()


async def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        broker = Broker(BrokerSettings(listeners=(Listener("plain", port=port),)))
        with pytest.raises(BrokerStartError, match=f"listener plain cannot listen on 127.0.0.1:{port}: the port is in"):
            await broker.start()


async def test_stopping_closes_every_connection(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve()
    wires = [await Wire.connected(port, connect(f"c{n}")) for n in range(20)]
    await asyncio.wait_for(brokers[0].stop(), 5)
    for wire in wires:
        await wire.closed()
