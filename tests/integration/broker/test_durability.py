"""What survives kill -9: sessions, what waits for them, steps of exactly-once, retained messages. And what a full disk turns into."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mqtt import Message, Wire, acknowledge, connect, puback, pubcomp, publish, pubrec, pubrel, subscribe
from tests.mqtt5 import Wire5
from tests.stored_broker import StoredBroker

KEPT = {"session_expiry": 3600}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[StoredBroker]:
    started = StoredBroker(tmp_path / "store")
    assert started.start() == "ready"
    yield started
    started.kill()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[StoredBroker]:
    """One whose file may take a quarter of a megabyte."""
    started = StoredBroker(tmp_path / "store", max_store_bytes=256 * 1024)
    assert started.start() == "ready"
    yield started
    started.kill()


async def joined(broker: StoredBroker, client_id: str, *, clean: bool = False, **options: object) -> Wire:
    return await Wire.connected(broker.port, connect(client_id, clean=clean, **options))  # type: ignore[arg-type]


async def away(broker: StoredBroker, client_id: str, *wanted: tuple[str, int]) -> None:
    """A client that subscribes and leaves; its session stays."""
    wire = await joined(broker, client_id)
    await wire.subscribed(*wanted)
    await wire.leave()


async def synced(broker: StoredBroker) -> None:
    """A SUBACK says that all before it is on disk, also what nobody waits for."""
    await away(broker, "sync", ("x", 1))


def changed(file: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(statement)


def rows(broker: StoredBroker, table: str) -> int:
    with contextlib.closing(sqlite3.connect(broker.file)) as database:
        count: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count


async def acknowledged(wire: Wire, topic: str, payloads: range) -> None:
    for number in payloads:
        wire.send(publish(topic, str(number), qos=1, packet_id=number + 1))
        assert await wire.packet() == (0x40, (number + 1).to_bytes(2, "big"))


async def taken(wire: Wire, count: int) -> list[Message]:
    messages = []
    for _ in range(count):
        messages.append(await wire.message())
        wire.send(puback(messages[-1].packet_id))
    return messages


async def test_what_waits_for_a_client_that_is_away_survives(broker: StoredBroker) -> None:
    await away(broker, "away", ("t/+", 1))
    await acknowledged(await joined(broker, "sender", clean=True), "t/1", range(50))
    broker.again()
    wire = await joined(broker, "away")
    assert wire.session_present
    assert [(m.topic, m.payload) for m in await taken(wire, 50)] == [("t/1", str(n).encode()) for n in range(50)]
    await synced(broker)
    broker.again()
    back = await joined(broker, "away")
    assert back.session_present
    await back.quiet()


async def test_what_a_connected_client_has_not_acknowledged_survives(broker: StoredBroker) -> None:
    wire = await joined(broker, "slow")
    await wire.subscribed(("t", 1))
    await acknowledged(await joined(broker, "sender", clean=True), "t", range(5))
    assert [(await wire.message()).payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    broker.again()
    back = await joined(broker, "slow")
    assert [m.payload for m in await taken(back, 5)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_an_ended_subscription_stays_ended(broker: StoredBroker) -> None:
    wire = await joined(broker, "c")
    await wire.subscribed(("gone", 1), ("kept", 1))
    wire.send(b"\xa2\x08\x00\x0b\x00\x04gone")
    assert (await wire.packet()).first == 0xB0
    broker.again()
    sender = await joined(broker, "sender", clean=True)
    await acknowledged(sender, "gone", range(1))
    await acknowledged(sender, "kept", range(1))
    assert [m.topic for m in await taken(await joined(broker, "c"), 1)] == ["kept"]


async def test_a_session_that_is_ended_leaves_nothing_behind(broker: StoredBroker) -> None:
    await away(broker, "a", ("t", 2))
    await acknowledged(await joined(broker, "sender", clean=True), "t", range(10))
    clean = await joined(broker, "a", clean=True)
    await clean.leave()
    broker.stop()
    names = ("session", "will", "subscription", "content", "waiting", "received")
    assert [rows(broker, name) for name in names] == [0] * 6


async def test_one_message_to_many_sessions_is_stored_once(broker: StoredBroker) -> None:
    for number in range(20):
        await away(broker, f"c{number}", ("t", 1))
    await acknowledged(await joined(broker, "sender", clean=True), "t", range(3))
    broker.stop()
    assert (rows(broker, "waiting"), rows(broker, "content")) == (60, 3)


async def test_retained_messages_survive_and_forgotten_ones_stay_forgotten(broker: StoredBroker) -> None:
    sender = await joined(broker, "sender", clean=True)
    for topic in ("a", "b"):
        await sender.published(topic, topic.upper(), retain=True)
    await sender.published("a", b"", retain=True)
    broker.again()
    wire = await joined(broker, "c", clean=True)
    await wire.subscribed(("#", 0))
    message = await wire.message()
    assert (message.topic, message.payload, message.retain) == ("b", b"B", True)
    await wire.quiet()


async def test_a_message_that_expires_while_the_server_is_down_is_not_delivered(broker: StoredBroker) -> None:
    wire = await Wire5.joined(broker.port, "c", clean=False, **KEPT)
    await wire.subscribed(("t", 1))
    await wire.leave()
    sender = await Wire5.joined(broker.port, "sender")
    await sender.told("t", "short", message_expiry=1)
    await sender.told("t", "long", message_expiry=600, user=("a", "b"))
    broker.kill()
    changed(broker.file, "UPDATE content SET expires_at = expires_at - 100")  # time is moved, not waited for
    assert broker.start() == "ready"
    back = await Wire5.joined(broker.port, "c", clean=False, **KEPT)
    message = await back.heard()
    assert message.payload == b"long"
    assert message.said["user"] == [("a", "b")]
    assert 490 <= message.said["message_expiry"] <= 500


async def test_a_session_that_expires_while_the_server_is_down_is_gone(broker: StoredBroker) -> None:
    for name, expiry_s in (("short", 60), ("long", 600)):
        wire = await Wire5.joined(broker.port, name, clean=False, session_expiry=expiry_s)
        await wire.leave()
    broker.stop()
    changed(broker.file, "UPDATE session SET detached_at = detached_at - 100")
    assert broker.start() == "ready"
    present = [
        (await Wire5.joined(broker.port, name, clean=False, session_expiry=60)).welcome.present
        for name in ("short", "long")
    ]
    assert present == [False, True]


async def test_a_will_is_published_when_the_server_was_killed(broker: StoredBroker) -> None:
    await away(broker, "listener", ("will", 1))
    await joined(broker, "other", will=("will", "gone", 1, False))
    await synced(broker)
    broker.again()
    assert (await (await joined(broker, "listener")).message()).payload == b"gone"


async def test_a_qos_2_message_repeated_after_the_kill_is_taken_once(broker: StoredBroker) -> None:
    await away(broker, "listener", ("t", 2))
    sender = await joined(broker, "sender")
    sender.send(publish("t", "one", qos=2, packet_id=5))
    assert await sender.packet() == (0x50, b"\x00\x05")
    broker.again()
    sender = await joined(broker, "sender")
    sender.send(publish("t", "one", qos=2, packet_id=5, dup=True))
    assert await sender.packet() == (0x50, b"\x00\x05")
    sender.send(pubrel(5))
    assert await sender.packet() == (0x70, b"\x00\x05")
    broker.again()
    sender = await joined(broker, "sender")
    sender.send(publish("t", "two", qos=2, packet_id=5))  # the id is free again, also after the kill
    assert await sender.packet() == (0x50, b"\x00\x05")
    listener = await joined(broker, "listener")
    assert [(await listener.message()).payload for _ in range(2)] == [b"one", b"two"]
    await listener.quiet()


async def test_a_qos_2_message_keeps_its_packet_id_and_its_step_over_kills(broker: StoredBroker) -> None:
    listener = await joined(broker, "listener")
    await listener.subscribed(("t", 2))
    sender = await joined(broker, "sender", clean=True)
    sender.send(publish("t", "x", qos=2, packet_id=1))
    first = await listener.message()
    assert await sender.packet() == (0x50, b"\x00\x01")
    broker.again()
    listener = await joined(broker, "listener")
    again = await listener.message()
    assert again == first._replace(dup=True)
    listener.send(pubrec(first.packet_id))
    assert await listener.packet() == acknowledgement(0x62, first.packet_id)
    broker.again()
    listener = await joined(broker, "listener")
    assert await listener.packet() == acknowledgement(0x62, first.packet_id)  # not the message again
    listener.send(pubcomp(first.packet_id))
    await listener.quiet()


def acknowledgement(first: int, packet_id: int) -> tuple[int, bytes]:
    return first, acknowledge(first, packet_id)[2:]


async def fill(broker: StoredBroker) -> tuple[Wire5, int]:
    """Publish to a session that is away until it is refused; gives the sender and how many were acknowledged."""
    await away(broker, "away", ("t", 1))
    sender = await Wire5.joined(broker.port, "sender")
    for number in range(1000):
        answer = await sender.told("t", str(number).encode().ljust(2000))
        if answer.reason:
            assert answer.reason == 0x97
            assert "store" in answer.said["reason_string"]
            return sender, number
    raise AssertionError("the file never filled up")


async def test_a_full_disk_refuses_and_loses_nothing_acknowledged(small: StoredBroker) -> None:
    sender, count = await fill(small)
    assert count > 10
    old = await joined(small, "old", clean=True)
    old.send(publish("t", "x" * 2000, qos=1, packet_id=1))
    await old.closed()  # 3.1.1 has no other no
    assert (await sender.told("elsewhere", b"x")).reason == 0x10  # what needs no disk goes on
    fresh = await Wire5.open(small.port)
    fresh.send(connect("fresh", clean=False))
    assert await fresh.packet() == (0x20, b"\x00\x03")
    small.again()
    messages = await taken(await joined(small, "away"), count)
    assert [int(message.payload) for message in messages] == list(range(count))


async def test_who_subscribes_again_to_the_same_needs_no_disk(small: StoredBroker) -> None:
    await fill(small)
    wire = await joined(small, "away")
    for _ in range(2):
        wire.send(subscribe(("t", 1), ("new", 1)))
        while (packet := await wire.packet()).first != 0x90:
            assert packet.kind == 3  # what waited for it
        assert packet.body[2:] == b"\x01\x80"


async def test_when_the_disk_has_room_again_it_is_used_again(small: StoredBroker) -> None:
    sender, count = await fill(small)
    wire = await joined(small, "away")
    seen = await taken(wire, count)  # what it acknowledges makes room
    assert [int(message.payload) for message in seen][:count] == list(range(count))
    while (await sender.told("t", b"more".ljust(2000))).reason == 0x97:
        pass
    assert (await wire.message()).payload[:4] in (str(count).encode().ljust(4), b"more")


async def test_a_file_is_for_one_broker(broker: StoredBroker) -> None:
    second = StoredBroker(broker.file)
    assert "another broker has it open" in second.start()
    second.kill()


@pytest.mark.parametrize("text", ["no database", "PRAGMA user_version = 99"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "store"
    if text.startswith("PRAGMA"):
        changed(file, text)
    else:
        file.write_text(text * 1000)
    broker = StoredBroker(file)
    said = broker.start()
    assert str(file) in said
    assert "format 99" in said or "not a database" in said
    broker.kill()
