"""The load generator's packets, read by the engine; its acknowledgements, read by hand."""

import pytest

from bench import wire
from broker.packets import read_connect, read_subscribe
from tests.socketless import Client


def body_of(packet: bytes) -> bytes:
    length = len(wire.remaining_length(len(packet) - 2))
    assert wire.remaining_length(len(packet) - 1 - length) == packet[1 : 1 + length]
    return packet[1 + length :]


@pytest.mark.parametrize(
    ("size", "field"),
    [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (16383, b"\xff\x7f"), (16384, b"\x80\x80\x01")],
)
def test_the_length_field_is_the_specifications(size: int, field: bytes) -> None:
    assert wire.remaining_length(size) == field


def test_a_connect_brings_user_and_password() -> None:
    said = read_connect(body_of(wire.connect("me")))
    assert (said.client_id, said.username, said.password) == ("me", wire.USER, wire.PASSWORD.encode())
    assert said.clean_start


def test_a_subscribe_holds_every_filter() -> None:
    _, wanted, _ = read_subscribe(body_of(wire.subscribe(["f/a", "f/+/b"], 1)), 4)
    assert [(w.topic_filter, w.qos) for w in wanted] == [("f/a", 1), ("f/+/b", 1)]


@pytest.mark.parametrize("filters", [1, 10, 200])
def test_the_answer_to_a_subscribe_has_the_expected_size(filters: int) -> None:
    client = Client()
    client.feed(wire.connect("me"))
    before = len(client.written)
    client.feed(wire.subscribe([f"f/{i}" for i in range(filters)], 0))
    assert len(client.written) - before == wire.suback_size(filters)


@pytest.mark.parametrize("payload", [b"", b"x" * 100, b"x" * 1024, b"x" * 20_000])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_publish_comes_back_to_who_subscribed(payload: bytes, qos: int) -> None:
    client = Client()
    client.feed(wire.connect("me") + wire.subscribe(["f/#"], 0) + wire.publish("f/a", payload, qos, 7))
    assert wire.publish("f/a", payload, 0) in client.written


def test_acknowledgements_carry_the_ids_that_came() -> None:
    ids = [1, 255, 256, 65535]
    messages = [wire.publish("f/a", b"x" * 200, 1, packet_id) for packet_id in ids]
    at = messages[0].index(b"f/a") + 3
    said = wire.acknowledgements(b"".join(messages) + b"\x32\x05", at, len(messages[0]), len(messages))
    assert said == b"".join(b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in ids)
