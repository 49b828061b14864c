"""`/trace` of a running broker, read over HTTP as `akela broker trace` does; and the metrics beside it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from broker import Accepted, Broker, ConnectRequest, Reason, Refused
from broker.admin import MAX_TRACES
from broker.admin_server import AdminServer
from broker.tracing import MAX_WAITING, Trace, Wanted
from tests import mqtt5
from tests.brokers import Serve
from tests.mqtt import WAIT_S, Wire, connect, publish
from tests.mqtt5 import Wire5

Admin = Callable[[], Awaitable[str]]


class ByUser:
    """User name = namespace; "nobody" is refused."""

    name = "by user"

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        if request.username == "nobody":
            return Refused(Reason.BAD_USER_NAME_OR_PASSWORD, "not you")
        return Accepted(request.username or "", None)


class Reading:
    """An open trace."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            event: dict[str, Any] = json.loads(await anext(self._lines))
            return event

    async def until(self, **wanted: Any) -> dict[str, Any]:
        while True:
            event = await self.next()
            if all(event.get(key) == value for key, value in wanted.items()):
                return event

    async def shown(self, count: int) -> list[tuple[str, ...]]:
        """(event), or (direction, packet) of the next ones."""
        events = [await self.next() for _ in range(count)]
        return [(e["direction"], e["packet"]) if e["event"] == "packet" else (e["event"],) for e in events]

    async def end(self) -> None:
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(StopAsyncIteration):
                await anext(self._lines)


@pytest.fixture
async def admin(brokers: list[Broker]) -> AsyncIterator[Admin]:
    """Open the admin page of the broker that the test has started; gives its URL."""
    pages: list[AdminServer] = []

    async def opened() -> str:
        page = AdminServer(brokers[0], "127.0.0.1", 0)
        host, port = await page.start()
        pages.append(page)
        return f"http://{host}:{port}"

    yield opened
    for page in pages:
        await page.stop()


@contextlib.asynccontextmanager
async def reading(url: str, **query: Any) -> AsyncIterator[Reading]:
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", f"{url}/trace", params=query, timeout=WAIT_S) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield Reading(answer)


async def test_a_client_that_comes_later_is_traced_from_its_connect(
    serve: Serve, admin: Admin, brokers: list[Broker]
) -> None:
    port, url = await serve(), await admin()
    async with reading(url, client="c") as read:
        assert (await read.next())["event"] == "waiting"
        other, wire = await Wire.connected(port, connect("other")), await Wire5.joined(port, "c", password=b"hidden")
        await wire.subscribed(("t", 1))
        wire.send(mqtt5.publish("t", "hello", qos=1, packet_id=5, content_type="text"))
        await other.quiet()
        answered = [("in", "CONNECT"), ("out", "CONNACK"), ("in", "SUBSCRIBE"), ("out", "SUBACK")]
        assert await read.shown(6) == [*answered, ("in", "PUBLISH"), ("out", "PUBLISH")]
        assert (await read.next())["packet"] == "PUBACK"
        wire.send(mqtt5.disconnect(0x04))
        assert (await read.next())["reason"] == "DISCONNECT_WITH_WILL"
        closed = await read.next()
        assert (closed["event"], closed["client"], closed["cause"]) == ("closed", "c", "client")
        again = await Wire.connected(port, connect("c"))
        assert (await read.until(packet="CONNECT"))["protocol"] == "MQTT 4"
        again.drop()
    await _left(brokers[0])


async def test_one_that_is_there_is_traced_from_now_on_and_mid_packet(serve: Serve, admin: Admin) -> None:
    port, url = await serve(), await admin()
    wire = await Wire5.joined(port, "c")
    packet = mqtt5.publish("t", "x" * 100, qos=1, packet_id=9)
    wire.send(packet[:50])
    await wire.flushed()
    async with httpx.AsyncClient() as client:  # its round trip comes after the half packet
        await client.get(f"{url}/healthz")
    async with reading(url, client="c", payload=3) as read:
        assert (await read.next())["event"] == "opened"
        wire.send(packet[50:])
        event = await read.next()
        assert (event["packet"], event["topic"], event["packet_id"], event["payload"]) == ("PUBLISH", "t", 9, "xxx...")


async def test_a_namespace_tells_clients_of_one_id_apart(serve: Serve, admin: Admin) -> None:
    port, url = await serve(authenticators=[ByUser()]), await admin()
    async with reading(url, client="b/c") as read:
        await read.next()
        await Wire.connected(port, connect("c", username="a"))
        await Wire.connected(port, connect("c", username="b"))
        event = await read.next()
        assert (event["packet"], event["username"]) == ("CONNECT", "b")
        assert (await read.next())["client"] == "b/c"


async def test_one_that_is_refused_is_shown(serve: Serve, admin: Admin) -> None:
    port, url = await serve(authenticators=[ByUser()]), await admin()
    async with reading(url, client="b/c") as read:
        await read.next()
        wire = await Wire.open(port)
        wire.send(connect("c", username="nobody", password="hidden"))
        event = await read.next()
        assert (event["packet"], event["password"]) == ("CONNECT", "***")
        assert (await read.next())["reason"] == "BAD_USER_NAME_OR_PASSWORD"
        assert (await read.next())["event"] == "closed"


async def test_what_is_malformed_is_shown_with_the_answer(serve: Serve, admin: Admin) -> None:
    port, url = await serve(), await admin()
    wire = await Wire5.joined(port, "c")
    async with reading(url, client="c") as read:
        await read.next()
        wire.send(b"\x82\x04\x00\x01\x00\x09")
        assert "malformed" in await read.next()
        assert (await read.next())["reason"] == "MALFORMED_PACKET"
        assert (await read.next())["cause"] == "protocol_error"


async def test_a_client_is_found_by_its_address(serve: Serve, admin: Admin) -> None:
    port, url = await serve(), await admin()
    wire, _ = await Wire.connected(port, connect("c")), await Wire.connected(port, connect("d"))
    local_port = wire._writer.get_extra_info("sockname")[1]
    async with reading(url, address=f"127.0.0.1:{local_port}") as read:
        assert (await read.next())["client"] == "c"
        wire.send(publish("t", "x"))
        assert (await read.next())["packet"] == "PUBLISH"
    async with reading(url, address="127.0.0.1") as read:
        assert {(await read.next())["client"] for _ in range(2)} == {"c", "d"}


async def test_a_trace_ends_when_its_time_is_over(serve: Serve, admin: Admin, brokers: list[Broker]) -> None:
    await serve()
    async with reading(await admin(), client="c", duration=0.05) as read:
        assert (await read.next())["event"] == "waiting"
        await read.end()
    await _left(brokers[0])


async def test_a_trace_ends_with_its_server(serve: Serve, brokers: list[Broker]) -> None:
    await serve()
    page = AdminServer(brokers[0], "127.0.0.1", 0)
    host, port = await page.start()
    async with reading(f"http://{host}:{port}", client="c") as read:
        await read.next()
        await page.stop()
        await read.end()


async def test_a_reader_that_does_not_read_misses_some_and_is_told(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve()
    wire = await Wire.connected(port, connect("c"))
    slow = Trace(brokers[0], Wanted("c"), lambda: 0.0)
    for start in range(0, 3 * MAX_WAITING, 500):
        wire.send(*(publish("t", str(start + n)) for n in range(500)))
        await wire.quiet()
    slow.close()
    events = [event async for event in slow.events()]
    assert len(events) == MAX_WAITING + 1
    skipped = sum(event.get("packets", 0) for event in events)
    answered = 2 * (3 * MAX_WAITING // 500)  # PINGREQ, PINGRESP
    assert skipped + sum(event["event"] == "packet" for event in events) == 3 * MAX_WAITING + answered
    assert brokers[0].tap is None


@pytest.mark.parametrize(
    ("query", "headers", "status", "said"),
    [
        ({}, {}, 400, "client or address"),
        ({"client": "c", "duration": "long"}, {}, 400, "duration: 'long'"),
        ({"client": "c", "payload": "-1"}, {}, 400, "payload: '-1'"),
        ({"client": "c", "colour": "red"}, {}, 400, "colour: no such parameter"),
        ({"client": "c"}, {"host": "evil.example:80"}, 403, "own machine"),
    ],
)
async def test_what_cannot_be_traced_is_said(
    serve: Serve, admin: Admin, query: dict[str, str], headers: dict[str, str], status: int, said: str
) -> None:
    await serve()
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{await admin()}/trace", params=query, headers=headers)
    assert answer.status_code == status
    assert said in answer.text


async def test_traces_are_bounded(serve: Serve, admin: Admin) -> None:
    await serve()
    url = await admin()
    async with contextlib.AsyncExitStack() as stack:
        open_ones = [await stack.enter_async_context(reading(url, client="c")) for _ in range(MAX_TRACES)]
        for one in open_ones:
            await one.next()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/trace", params={"client": "c"})).status_code == 503


async def test_metrics_of_the_engine_alone(serve: Serve, admin: Admin) -> None:
    port, url = await serve(), await admin()
    wire = await Wire.connected(port, connect("c"))
    await wire.published("t", "x", retain=True)
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    assert "akela_connections 1.0" in text
    assert "akela_mqtt_received_total 1.0" in text
    assert "akela_mqtt_retained 1.0" in text


async def _left(broker: Broker) -> None:
    """The tap goes with its reader."""
    async with asyncio.timeout(WAIT_S):
        while broker.tap is not None:
            await asyncio.sleep(0.01)
