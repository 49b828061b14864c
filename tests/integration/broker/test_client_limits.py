"""Bounds of what one client may do to its session: duels, windows, aliases, unsettled messages, time."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker import Broker, Peer, PublishGrant, Session, SubscribeGrant
from tests import mqtt5
from tests.brokers import Serve, metric
from tests.mqtt import WAIT_S, Wire, connect, publish
from tests.mqtt5 import Wire5


class Referee:
    """Hears of duels."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def on_duel(self, session: Session, refused: Peer) -> None:
        self.heard.append((session.client_id, refused.address))


class Holding:
    """Settles nothing by itself."""

    name = "holding"

    def __init__(self) -> None:
        self.tickets: list[tuple[Session, int]] = []

    def authorize_publish(self, session: Session, topic: str) -> PublishGrant:
        return PublishGrant(topic, self._hold)

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant:
        return SubscribeGrant(topic_filter)

    def _hold(self, session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        self.tickets.append((session, ticket))
        return False


async def refused(port: int, client_id: str) -> int:
    wire = await Wire5.open(port)
    wire.send(mqtt5.connect(client_id))
    return (await wire.connack()).reason


async def test_two_clients_that_take_each_other_over_are_told_apart_from_one(
    serve: Serve, brokers: list[Broker], caplog: pytest.LogCaptureFixture
) -> None:
    referee = Referee()
    port = await serve(duel_limit=3, observers=[referee])
    for _ in range(4):  # three take-overs
        holder = await Wire5.joined(port, "same")
    assert referee.heard == []
    assert [await refused(port, "same") for _ in range(2)] == [0x9F, 0x9F]
    await holder.quiet()  # who has it keeps it
    assert referee.heard == [("same", "127.0.0.1")]  # once for each duel
    assert "clients take one id from each other" in caplog.text
    assert (metric(brokers[0], "duels_total"), metric(brokers[0], "duel_refused_total")) == (1, 2)
    await Wire5.joined(port, "other")
    await holder.leave()
    await Wire5.joined(port, "same")  # nobody has it now


async def test_a_duel_may_go_on_when_its_time_is_over(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(duel_limit=1, duel_refusal_s=0.05)
    wires = [await Wire5.joined(port, "same") for _ in range(2)]
    assert await refused(port, "same") == 0x9F
    await wires[1].quiet()
    async with asyncio.timeout(WAIT_S):
        while await refused(port, "same"):
            pass
    assert metric(brokers[0], "duels_total") == 1
    assert metric(brokers[0], "duel_refused_total") >= 1


async def test_one_client_that_comes_back_is_no_duel(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(duel_limit=1)
    for _ in range(5):
        wire = await Wire5.joined(port, "same")
        await wire.leave()
    assert metric(brokers[0], "duels_total") == 0


async def test_more_unacknowledged_messages_than_told_are_an_error(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(receive_maximum=2, authorizers=[Holding()])
    wire = await Wire5.joined(port, "c")
    assert wire.welcome.said["receive_maximum"] == 2
    wire.send(*(mqtt5.publish("t", qos=1, packet_id=n) for n in (1, 2, 3)))
    assert (await wire.ended()).reason == 0x93
    assert metric(brokers[0], "protocol_errors_total", reason="receive_maximum_exceeded") == 1


async def test_a_topic_alias_beyond_those_told_is_an_error(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(topic_alias_maximum=2)
    wire = await Wire5.joined(port, "c")
    assert wire.welcome.said["topic_alias_maximum"] == 2
    wire.send(mqtt5.publish("t", topic_alias=2), mqtt5.publish("t", topic_alias=3))
    assert (await wire.ended()).reason == 0x94
    assert metric(brokers[0], "protocol_errors_total", reason="topic_alias_invalid") == 1


async def test_unsettled_messages_hold_a_client_back_and_nobody_else(serve: Serve, brokers: list[Broker]) -> None:
    gate = Holding()
    port = await serve(max_unsettled=2, authorizers=[gate])
    wire, other = await Wire.connected(port, connect("c")), await Wire.connected(port, connect("o"))
    wire.send(*(publish("t", qos=1, packet_id=n) for n in (1, 2, 3)))
    async with asyncio.timeout(WAIT_S):
        while len(gate.tickets) < 2:
            await other.quiet()
    await other.quiet()
    assert len(gate.tickets) == 2
    assert metric(brokers[0], "held_back_total") == 1
    session, ticket = gate.tickets[0]
    session.settle(ticket)
    assert (await wire.packet()).body == b"\x00\x01"
    await other.quiet()
    assert len(gate.tickets) == 3


async def _silent(serve: Serve, **settings: Any) -> Wire:
    return await Wire.connected(await serve(**settings), connect("c", keep_alive=0))


async def test_a_client_without_keep_alive_is_held_to_the_most_allowed(serve: Serve, brokers: list[Broker]) -> None:
    wire = await _silent(serve, max_keep_alive_s=0)
    await wire.closed()
    assert metric(brokers[0], "closed_total", cause="keep_alive") == 1


async def test_a_session_is_kept_no_longer_than_allowed(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(max_session_expiry_s=1)
    wire = await Wire.connected(port, connect("c", clean=False))
    await wire.leave()
    assert brokers[0].session("", "c") is not None
    async with asyncio.timeout(WAIT_S):
        while brokers[0].session("", "c") is not None:
            await asyncio.sleep(0.05)
    assert metric(brokers[0], "sessions_expired_total") == 1


async def test_a_gate_that_is_too_slow_is_counted_as_a_refusal(serve: Serve, brokers: list[Broker]) -> None:
    class Slow:
        name = "slow"

        async def authenticate(self, request: Any) -> Any:
            await asyncio.Event().wait()

    port = await serve(authenticators=[Slow()], gate_timeout_s=0.05)
    assert await refused(port, "c") == 0x88
    assert metric(brokers[0], "refused_total", reason="server_unavailable") == 1


async def test_what_a_full_store_refuses_is_counted(serve: Serve, brokers: list[Broker], tmp_path: Path) -> None:
    port = await serve(store=tmp_path / "store", max_store_bytes=200_000, max_queued=10_000)
    away, sender = await Wire5.joined(port, "away", session_expiry=100), await Wire5.joined(port, "sender")
    await away.subscribed(("t", 1))
    await away.leave()
    refusals = 0
    async with asyncio.timeout(WAIT_S):
        while not refusals:
            refusals += (await sender.told("t", b"x" * 2000)).reason == 0x97
    assert metric(brokers[0], "store_refused_total") == refusals
