"""decode(encode(p)) = p for every packet kind, and what a connection keeps is bounded by its packet limit, whatever comes."""

import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import packets, properties
from broker.hooks import Will
from broker.message import Message, Writer5, encode
from broker.packets import Kind, Reader, Wanted
from broker.properties import NONE, Properties
from broker.reasons import Reason
from broker.session import Session
from broker.tap import PacketSplitter
from tests import mqtt, mqtt5
from tests.socketless import Client

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
TOPIC = TEXT.filter(bool).map(lambda text: text.replace("+", "p").replace("#", "s"))
BINARY = st.binary(max_size=40)
ID = st.integers(1, 0xFFFF)
BYTE, TWO, FOUR, FLAG = st.integers(0, 255), st.integers(1, 0xFFFF), st.integers(1, 0xFFFF_FFFF), st.integers(0, 1)
USERS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
REASONS = st.sampled_from(Reason)
SAID = st.builds(
    Properties,
    payload_format=st.none() | FLAG, message_expiry_s=st.none() | FOUR, content_type=st.none() | TEXT, response_topic=st.none() | TEXT,
    correlation_data=st.none() | BINARY, subscription_identifiers=st.lists(st.integers(1, 268_435_455), max_size=3).map(tuple),
    session_expiry_s=st.none() | FOUR, assigned_client_id=st.none() | TEXT, server_keep_alive_s=st.none() | TWO,
    authentication_method=st.none() | TEXT, authentication_data=st.none() | BINARY, request_problem_information=st.none() | FLAG,
    will_delay_s=st.none() | FOUR, request_response_information=st.none() | FLAG, response_information=st.none() | TEXT,
    server_reference=st.none() | TEXT, reason_string=st.none() | TEXT, receive_maximum=st.none() | TWO, topic_alias_maximum=st.none() | TWO,
    topic_alias=st.none() | TWO, maximum_qos=st.none() | FLAG, retain_available=st.none() | FLAG, user_properties=USERS,
    maximum_packet_size=st.none() | FOUR, wildcard_subscription_available=st.none() | FLAG,
    subscription_identifier_available=st.none() | FLAG, shared_subscription_available=st.none() | FLAG,
)  # fmt: skip
ACK_SAID = st.builds(Properties, reason_string=st.none() | TEXT, user_properties=USERS)


def body(packet: bytes) -> bytes:
    """What is behind the fixed header, whose length must be right."""
    length, at = properties.read_variable(packet, 1, len(packet))
    assert at + length == len(packet)
    return packet[at:]


@given(st.integers(0, 268_435_455))
def test_a_variable_length(number: int) -> None:
    encoded = properties.variable(number)
    assert properties.read_variable(encoded, 0, len(encoded)) == (number, len(encoded))


@given(SAID)
def test_every_property(said: Properties) -> None:
    block = properties.block(said)
    assert properties.read(block, 0, len(block), properties.ANY)[::2] == (said, len(block))


@given(
    TEXT,
    st.booleans(),
    st.integers(0, 0xFFFF),
    st.none() | TEXT,
    st.none() | BINARY,
    st.sampled_from([3, 4, 5]),
    st.data(),
)
def test_connect(
    client_id: str, clean: bool, keep_alive: int, username: str | None, password: bytes | None, level: int, data: st.DataObject
) -> None:  # fmt: skip
    if level != 5 and username is None:
        password = None
    will = data.draw(st.none() | st.tuples(TOPIC, TEXT, st.integers(0, 2), st.booleans()))
    options: dict[str, Any] = {
        "clean": clean,
        "keep_alive": keep_alive,
        "username": username,
        "password": password,
        "will": will,
    }
    if level == 5:
        packet = mqtt5.connect(client_id, **options, session_expiry=7, user=[("a", "b")])
    else:
        packet = mqtt.connect(client_id, **options, level=level, name="MQTT" if level == 4 else "MQIsdp")
    read = packets.read_connect(body(packet))
    said = Properties(session_expiry_s=7, user_properties=(("a", "b"),)) if level == 5 else NONE
    meant = None if will is None else Will(will[0], will[1].encode(), will[2], retain=will[3])
    assert read == packets.Connect(level, client_id, clean, keep_alive, username, password, meant, said)


@given(st.booleans(), REASONS, SAID)
def test_connack(present: bool, reason: Reason, said: Properties) -> None:
    reader = Reader(body(packets.connack_5(reason, said, session_present=present)))
    assert (reader.byte(), reader.byte()) == (present, reason)
    assert reader.properties(properties.ANY)[0] == said
    assert reader.done
    assert body(packets.connack(reason & 0x7F, session_present=present)) == bytes([present, reason & 0x7F])


@given(st.sampled_from([Kind.PUBACK, Kind.PUBREC, Kind.PUBREL, Kind.PUBCOMP]), ID, REASONS, ACK_SAID)
def test_acknowledgements(kind: Kind, packet_id: int, reason: Reason, said: Properties) -> None:
    for level in (3, 4, 5):
        assert packets.read_acknowledgement(body(packets.acknowledgement(kind, packet_id)), level) == (packet_id, 0)
    packet = packets.acknowledgement_5(kind, packet_id, reason, said)
    assert packet[0] == kind << 4 | packets.FLAGS[kind]
    assert packets.read_acknowledgement(body(packet), 5) == (packet_id, reason)


WANTED = st.builds(Wanted, TEXT, st.integers(0, 2), st.just(False), st.booleans(), st.integers(0, 2))


@given(st.lists(WANTED, min_size=1, max_size=5), ID, st.none() | st.integers(1, 268_435_455))
def test_subscribe(wanted: list[Wanted], packet_id: int, identifier: int | None) -> None:
    options = [
        (w.topic_filter, w.qos | w.no_local << 2 | w.retain_as_published << 3 | w.retain_handling << 4) for w in wanted
    ]
    said = {} if identifier is None else {"subscription_identifier": identifier}
    packet = mqtt5.subscribe(*options, packet_id=packet_id, **said)  # type: ignore[arg-type]
    assert packets.read_subscribe(body(packet), 5) == (packet_id, wanted, identifier)
    plain = [(w.topic_filter, w.qos) for w in wanted]
    read = packets.read_subscribe(body(mqtt.subscribe(*plain, packet_id=packet_id)), 4)
    assert read == (packet_id, [Wanted(*one) for one in plain], None)


@given(st.lists(TEXT, min_size=1, max_size=5), ID)
def test_unsubscribe(filters: list[str], packet_id: int) -> None:
    assert packets.read_unsubscribe(body(mqtt.unsubscribe(*filters, packet_id=packet_id)), 4) == (packet_id, filters)
    assert packets.read_unsubscribe(body(mqtt5.unsubscribe(*filters, packet_id=packet_id)), 5) == (packet_id, filters)


@given(ID, st.lists(BYTE, min_size=1, max_size=5))
def test_suback_and_unsuback(packet_id: int, codes: list[int]) -> None:
    number = packet_id.to_bytes(2, "big")
    assert body(packets.suback(packet_id, codes, 4)) == number + bytes(codes)
    assert body(packets.unsuback(packet_id, codes, 4)) == number
    for written in (packets.suback(packet_id, codes, 5), packets.unsuback(packet_id, codes, 5)):
        assert body(written) == number + b"\0" + bytes(codes)


@given(
    REASONS,
    st.builds(Properties, session_expiry_s=st.none() | FOUR, reason_string=st.none() | TEXT, user_properties=USERS),
)
def test_disconnect(reason: Reason, said: Properties) -> None:
    assert packets.read_reason(body(packets.disconnect(reason, said)), properties.DISCONNECT) == (reason, said)


@given(REASONS, st.builds(Properties, authentication_method=st.none() | TEXT, authentication_data=st.none() | BINARY))
def test_auth(reason: Reason, said: Properties) -> None:
    assert packets.read_reason(body(packets.auth(reason, said)), properties.AUTH) == (reason, said)


MESSAGE_SAID = st.builds(
    Properties, payload_format=st.none() | FLAG, content_type=st.none() | TEXT, user_properties=USERS
)


@given(TOPIC, BINARY, st.integers(0, 2), st.booleans(), st.booleans(), ID, MESSAGE_SAID)
def test_publish_as_it_is_written_is_read(
    topic: str, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int, said: Properties
) -> None:
    dup = dup and qos > 0
    message: Message = (topic.encode(), payload, qos, retain, None, said.encode(), None, None)
    old = encode(message, packet_id, dup=dup)
    assert old == mqtt.publish(topic, payload, qos=qos, retain=retain, dup=dup, packet_id=packet_id)
    written = Writer5(None, 0, lambda: 0.0).encode(message, packet_id, dup=dup)
    assert written is not None
    for connecting, packet in ((mqtt.connect("c"), old), (mqtt5.connect("c"), written)):
        client = Client()
        client.feed(connecting + mqtt5_or_4(connecting))
        client.taken()
        client.feed(packet)
        heard = [one for one in PacketSplitter().packets(client.taken()) if one[0] >> 4 == 3]
        allowed = topic.startswith("$") or "/" * 32 in topic  # not delivered to #, or refused
        assert [(one[0] & 0x06, body(one)[: 2 + len(topic.encode())]) for one in heard] == (
            [] if allowed else [(qos << 1, body(packet)[: 2 + len(topic.encode())])]
        )
        assert all(one.endswith(payload) for one in heard)


def mqtt5_or_4(connecting: bytes) -> bytes:
    """A subscription to everything, in the version of a CONNECT."""
    return mqtt5.subscribe(("#", 2)) if connecting[8] == 5 else mqtt.subscribe(("#", 2))


LIMIT = 2048
HEADER = 5
OVERHEAD = 8 * 1024  # what an error and its log line take


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("connected", [False, True])
def test_no_bytes_take_more_memory_than_a_packet_may(connected: bool, seed: int) -> None:
    chance = random.Random(seed)
    client = Client(max_packet_size=LIMIT, max_packet_size_connect=LIMIT, max_retained=0, max_queued=0)
    if connected:
        client.connection.receive_data(mqtt.connect("c") + mqtt.publish("t", "warm"), 0.0)
    # The head of a packet of the largest size, then anything: what waits for its rest, and then what is made of it.
    head = b"\x30" + mqtt.length(LIMIT) if connected else b"\x10" + mqtt.length(LIMIT)
    parts = [head, *(chance.randbytes(chance.randrange(1, 100)) for _ in range(200))]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for part in parts:
            client.connection.receive_data(part, 0.0)
            client.connection.outgoing.clear()
            assert len(client.connection.unparsed) <= LIMIT + HEADER
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert most < 8 * LIMIT + OVERHEAD  # some copies of one packet, never of all that came


def test_a_session_that_nobody_reads_is_bounded() -> None:
    client = Client(max_queued=10, max_inflight=1)
    client.connection.receive_data(mqtt.connect("c", clean=False) + mqtt.subscribe(("t", 1)), 0.0)
    session: Session = client.engine.sessions["", "c"]
    for _ in range(1000):
        client.connection.receive_data(mqtt.publish("t", b"x" * 100), 0.0)
    assert session.queued <= 10
