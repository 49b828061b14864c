"""Every bound of the engine: reached, told, and without harm to others."""

import asyncio
import socket
from collections import Counter

import pytest

from broker import Accepted, Broker, ConnectRequest
from broker.errors import BrokerStartError
from broker.proxy_protocol import SIGNATURE
from broker.rates import ClientRates, SendRates, SharedRates
from broker.settings import BrokerSettings, Listener
from tests.brokers import Serve, metric
from tests.mqtt import Wire, connect, puback, publish, subscribe
from tests.mqtt5 import Wire5
from tests.mqtt5 import connect as connect_5


async def test_a_large_connect_is_refused_by_its_header(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_packet_size_connect=100)
    wire = await Wire.open(port)
    wire.send(connect("x" * 200)[:5])  # the rest never has to come
    await wire.closed()
    assert metric(brokers[0], "protocol_errors_total", reason="packet_too_large") == 1


async def test_a_large_packet_is_refused_by_its_header(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_packet_size=1000)
    wire = await Wire.connected(port, connect())
    await wire.published("t", "x" * 900)
    wire.send(b"\x30\xe9\x07")
    await wire.closed()
    assert metric(brokers[0], "protocol_errors_total", reason="packet_too_large") == 1


async def test_a_client_that_never_says_connect_is_let_go(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(connect_timeout_s=0.1)
    silent, dribbling = await Wire.open(port), await Wire.open(port)
    dribbling.send(connect()[:5])
    await silent.closed()
    await dribbling.closed()
    assert metric(brokers[0], "connect_timeouts_total") == 2


async def test_subscriptions_of_a_session_are_bounded(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_subscriptions=2)
    wire = await Wire.connected(port, connect())
    assert await wire.subscribed(("a", 0), ("b", 0), ("c", 0), ("a", 1)) == [0, 0, 0x80, 1]
    assert metric(brokers[0], "denied_total", action="subscribe", reason="quota_exceeded") == 1
    assert metric(brokers[0], "subscriptions") == 2


async def test_topic_levels_are_bounded(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_topic_levels=3)
    wire = await Wire.connected(port, connect())
    assert await wire.subscribed(("a/b/c", 0), ("a/b/c/d", 0)) == [0, 0x80]
    wire.send(publish("a/b/c/d"))
    await wire.closed()
    assert metric(brokers[0], "denied_total", action="subscribe", reason="topic_filter_invalid") == 1
    assert metric(brokers[0], "protocol_errors_total", reason="topic_name_invalid") == 1


async def test_no_more_than_the_window_is_in_flight(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_inflight=2)
    listener, sender = await Wire.connected(port, connect("l")), await Wire.connected(port, connect("s"))
    await listener.subscribed(("t", 1))
    for number in range(4):
        await sender.published("t", str(number))
    first, second = await listener.message(), await listener.message()
    await listener.quiet()
    assert (metric(brokers[0], "inflight"), metric(brokers[0], "queued")) == (2, 2)
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
    assert metric(brokers[0], "dropped_total") == 2
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
    assert metric(brokers[0], "dropped_total") == 1
    back = await Wire.connected(port, connect("l", clean=False))
    assert [len((await back.message()).payload) for _ in range(2)] == [40, 40]
    await back.quiet()


async def test_retained_messages_are_bounded(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_retained=1)
    sender = await Wire.connected(port, connect("s"))
    await sender.published("a", "1", retain=True)
    await sender.published("b", "2", retain=True)
    await sender.published("a", "3", retain=True)
    await sender.subscribed(("#", 0))
    assert (await sender.message()).payload == b"3"
    await sender.quiet()
    assert (metric(brokers[0], "retained"), metric(brokers[0], "retained_refused_total")) == (1, 1)


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
    assert metric(brokers[0], "congested_total") >= 1
    await sender.published("u", "still served")
    slow.close()


async def test_connections_are_bounded(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_connections=1)
    kept = await Wire.connected(port, connect("kept"))
    extra = await Wire.open(port)
    await extra.closed()
    await kept.quiet()
    assert metric(brokers[0], "busy_refused_total") == 1


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


async def test_an_address_that_connects_too_often_is_closed(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(connects_per_s=0.001, connects_burst=2)
    kept = [await Wire.connected(port, connect(f"c{n}")) for n in range(2)]
    extra = await Wire.open(port)
    extra.send(connect("extra"))
    await extra.closed()
    assert metric(brokers[0], "rate_refused_total") == 1
    for wire in kept:
        await wire.quiet()


async def test_behind_a_proxy_the_client_s_address_counts(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(listeners=(Listener(port=0, proxy_protocol=True),), connects_per_s=0.001, connects_burst=1)
    for last in (1, 2, 3):
        address = bytes([192, 0, 2, last])
        header = SIGNATURE + b"\x21\x11\x00\x0c" + address + bytes(4) + b"\x00\x07\x07\x5b"
        wire = await Wire.open(port)
        wire.send(header, connect(f"c{last}"))
        assert await wire.packet() == (0x20, b"\x00\x00")
    again = await Wire.open(port)
    again.send(header, connect("again"))
    await again.closed()
    assert metric(brokers[0], "rate_refused_total") == 1


async def test_a_client_id_that_comes_and_goes_too_often_is_refused(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(flapping_limit=4)
    for _ in range(4):
        holder = await Wire5.joined(port, "same")
    refused = await Wire5.open(port)
    refused.send(connect_5("same"))
    assert (await refused.connack()).reason == 0x9F
    await holder.quiet()  # who has it keeps it
    old = await Wire.open(port)
    old.send(connect("same"))
    assert await old.packet() == (0x20, b"\x00\x03")
    assert metric(brokers[0], "flapping_refused_total") == 2
    await Wire5.joined(port, "other")


@pytest.mark.parametrize("bound", [{"messages_per_s": 100.0}, {"bytes_per_s": 1000.0}])
async def test_who_sends_too_fast_waits_and_loses_nothing(
    serve: Serve, brokers: list[Broker], bound: dict[str, float]
) -> None:
    port = await serve(**bound)
    listener, fast, other = [await Wire.connected(port, connect(name)) for name in ("l", "fast", "other")]
    await listener.subscribed(("t", 1))
    for number in range(150):
        fast.send(publish("t", str(number), qos=1, packet_id=number + 1))
        await fast.flushed()
    await other.quiet()
    for number in range(150):
        message = await listener.message()
        assert message.payload == str(number).encode()
        listener.send(puback(message.packet_id))
    assert metric(brokers[0], "throttled_total") >= 1


class ByAccount:
    """Whose rate a client's messages count for is its user name."""

    name = "by account"

    def authenticate(self, request: ConnectRequest) -> Accepted:
        return Accepted("", None, account=request.username)


@pytest.mark.parametrize("bound", ["messages_per_s_address", "messages_per_s_account"])
async def test_clients_that_are_counted_together_wait_together(serve: Serve, brokers: list[Broker], bound: str) -> None:
    port = await serve(authenticators=[ByAccount()], **{bound: 50.0})
    listener = await Wire.connected(port, connect("listener", username="another"))
    await listener.subscribed(("t", 0))
    free = await Wire.connected(port, connect("free", username="another"))
    together = []
    for name in ("one", "two"):
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)))
        wire.send(connect(name, username="account"))
        assert await wire.packet() == (0x20, b"\x00\x00")
        together.append(wire)
    for number in range(40):  # each by itself is within the rate
        for wire in together:
            wire.send(publish("t", str(number), qos=1, packet_id=number + 1))
            await wire.flushed()
    await free.quiet()  # at another address, of another account: it is not held up
    counts = Counter([(await listener.message()).payload for _ in range(80)])
    assert counts == {str(number).encode(): 2 for number in range(40)}
    assert metric(brokers[0], "throttled_total") >= 1


def test_a_debt_is_one_s_own_its_address_s_and_its_account_s() -> None:
    shared = SharedRates(SendRates(messages_per_s_address=10, messages_per_s_account=5))
    one, two = ClientRates(shared, 0.0), ClientRates(shared, 0.0)
    assert one.charge(5, 0, "a", "x", 0.0) == 0
    assert two.charge(5, 0, "b", "x", 0.0) == pytest.approx(1.0)  # its account has 5 too many
    assert two.charge(5, 0, "a", None, 0.0) == 0  # its address has none left and owes none
    assert two.charge(5, 0, "a", None, 0.0) == pytest.approx(0.5)
