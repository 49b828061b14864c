"""Packets as people read them: each kind in both directions, every version; any bytes whatever; no secrets."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import packets, trace
from broker.properties import Properties
from broker.reasons import Reason
from broker.trace_command import line
from tests import mqtt, mqtt5

KNOWN: list[tuple[bytes, int, dict[str, Any]]] = [
    (
        mqtt.connect("c", username="u", password="hidden", will=("w", "gone", 1, True), level=3, name="MQIsdp"),
        3,
        {
            "packet": "CONNECT", "protocol": "MQIsdp 3", "clean_start": True, "keep_alive_s": 60, "client_id": "c",
            "will": {"qos": 1, "retain": True, "topic": "w", "payload": "gone"}, "username": "u", "password": "***",
        },
    ),
    (
        mqtt5.connect("c", clean=False, session_expiry=5, authentication_method="m", authentication_data=b"hidden"),
        5,
        {
            "packet": "CONNECT", "protocol": "MQTT 5", "clean_start": False, "keep_alive_s": 60, "client_id": "c",
            "properties": {"session_expiry_s": 5, "authentication_method": "m", "authentication_data": "*** (6 bytes)"},
        },
    ),
    (packets.connack(5, session_present=False), 4, {"packet": "CONNACK", "session_present": False, "reason": "NOT_AUTHORIZED"}),
    (
        packets.connack_5(Reason.BANNED, Properties(reason_string="out")),
        5,
        {"packet": "CONNACK", "session_present": False, "reason": "BANNED", "properties": {"reason_string": "out"}},
    ),
    (
        mqtt.publish("t", "21.5", qos=1, packet_id=7, dup=True),
        4,
        {"packet": "PUBLISH", "topic": "t", "qos": 1, "retain": False, "dup": True, "packet_id": 7, "length": 4, "payload": "21.5"},
    ),
    (
        mqtt5.publish("t", b"\x00\xff", user=[("a", "b"), ("a", "c")], correlation_data=b"id", subscription_identifier=[1, 2]),
        5,
        {
            "packet": "PUBLISH", "topic": "t", "qos": 0, "retain": False, "length": 2, "payload": "00ff",
            "properties": {
                "user_properties": (("a", "b"), ("a", "c")), "correlation_data": "id", "subscription_identifiers": (1, 2),
            },
        },
    ),
    (mqtt.puback(3), 4, {"packet": "PUBACK", "packet_id": 3}),
    (mqtt.puback(3), 5, {"packet": "PUBACK", "packet_id": 3, "reason": "SUCCESS"}),
    (mqtt5.acknowledge(0x50, 3, 0x97), 5, {"packet": "PUBREC", "packet_id": 3, "reason": "QUOTA_EXCEEDED"}),
    (mqtt5.acknowledge(0x62, 3, 0x92), 5, {"packet": "PUBREL", "packet_id": 3, "reason": "PACKET_IDENTIFIER_NOT_FOUND"}),
    (mqtt5.acknowledge(0x70, 3, 0xE0), 5, {"packet": "PUBCOMP", "packet_id": 3, "reason": "0xe0"}),
    (
        mqtt5.subscribe(("a/#", 0x2D), ("b", 0), subscription_identifier=9),
        5,
        {
            "packet": "SUBSCRIBE", "packet_id": 10, "properties": {"subscription_identifiers": (9,)},
            "filters": [
                {"filter": "a/#", "qos": 1, "no_local": True, "retain_as_published": True, "retain_handling": 2},
                {"filter": "b", "qos": 0},
            ],
        },
    ),
    (packets.suback(10, [1, 0x87], 5), 5, {"packet": "SUBACK", "packet_id": 10, "reasons": ["GRANTED_QOS_1", "NOT_AUTHORIZED"]}),
    (packets.suback(10, [2, 0x80], 4), 4, {"packet": "SUBACK", "packet_id": 10, "reasons": ["GRANTED_QOS_2", "UNSPECIFIED"]}),
    (mqtt.unsubscribe("a", "b"), 4, {"packet": "UNSUBSCRIBE", "packet_id": 11, "filters": ["a", "b"]}),
    (packets.unsuback(11, [0x11], 5), 5, {"packet": "UNSUBACK", "packet_id": 11, "reasons": ["NO_SUBSCRIPTION_EXISTED"]}),
    (packets.unsuback(11, [], 4), 4, {"packet": "UNSUBACK", "packet_id": 11}),
    (mqtt.PINGREQ, 4, {"packet": "PINGREQ"}),
    (packets.PINGRESP, 4, {"packet": "PINGRESP"}),
    (mqtt.DISCONNECT, 4, {"packet": "DISCONNECT"}),
    (mqtt5.disconnect(0x8E), 5, {"packet": "DISCONNECT", "reason": "SESSION_TAKEN_OVER"}),
    (mqtt5.auth(0x18, authentication_method="m"), 5,
     {"packet": "AUTH", "reason": "CONTINUE_AUTHENTICATION", "properties": {"authentication_method": "m"}}),
    (b"\x30\x07\x00\x01t\x02\x20\x00x", 5,
     {"packet": "PUBLISH", "topic": "t", "qos": 0, "retain": False, "malformed": "property 0x20 has no place in this packet"}),
    (b"\x00\x00", 4, {"packet": "?", "malformed": "this is no MQTT packet"}),
    (b"\x30\x03\x00\x09a", 4, {"packet": "PUBLISH", "malformed": "a field is longer than its packet"}),
    (b"\x82\x02\x00\x01", 4, {"packet": "SUBSCRIBE", "packet_id": 1, "filters": []}),
    (b"\x80\x02\x00\x01", 4, {"packet": "SUBSCRIBE", "flags": 0, "packet_id": 1, "filters": []}),
]  # fmt: skip


@pytest.mark.parametrize(("packet", "level", "shown"), KNOWN)
def test_a_packet_is_shown_as_it_is(packet: bytes, level: int, shown: dict[str, Any]) -> None:
    assert trace.decode(packet, level) == shown | {"size": len(packet)}


@given(
    st.one_of(st.binary(max_size=60), st.builds(mqtt.packet, st.integers(0, 255), st.binary(max_size=60))),
    st.integers(0, 6),
)
def test_any_bytes_are_shown_somehow(data: bytes, level: int) -> None:
    shown = trace.decode(data, level)
    assert shown["size"] == len(data)
    text = line(
        {"event": "packet", "at": 0.0, "client": "c", "address": "a", "direction": "in"} | json.loads(json.dumps(shown))
    )
    assert shown["packet"] in text
    assert "\n" not in text


@given(st.binary(max_size=10_000), st.integers(0, 100))
def test_a_payload_is_shown_no_longer_than_asked(data: bytes, most: int) -> None:
    assert len(trace.payload(data, most)) <= most + len("...")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"credential": "hidden", "n": 1}', '{"credential": "***", "n": 1}'),
        (b'{"newPassword":"hidden"}', '{"newPassword":"***"}'),
        (b'{"token":"hidden, and cut o' , '{"token":"***'),
        ("héllo".encode(), "héllo"),
        (b"", ""),
        (b"x" * 100, "x" * 64 + "..."),
        (b"\xff" * 100, "ff" * 32 + "..."),
    ],
)  # fmt: skip
def test_a_payload_shows_text_or_digits_and_no_secrets(data: bytes, shown: str) -> None:
    assert trace.payload(data) == shown


def test_a_long_secret_does_not_show_behind_what_is_looked_at() -> None:
    assert "hidden" not in trace.payload(b'{"secret": "' + b"hidden" * 2000 + b'"}', 4096)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "waiting", "client": "c", "address": None}, "c is not connected; waiting for it"),
        ({"event": "skipped", "packets": 3}, "3 skipped: they came faster than they were read"),
        ({"event": "closed", "client": "n/c", "address": "1.2.3.4:5", "cause": "lost"}, "n/c 1.2.3.4:5 closed: lost"),
        ({"event": "opened", "client": None, "address": "1.2.3.4:5"}, "? 1.2.3.4:5 opened"),
        (
            {"event": "packet", "client": "c", "address": "1.2.3.4:5", "direction": "out", "packet": "PUBLISH", "size": 9,
             "topic": "a b", "retain": True, "properties": {"user_properties": [["k", "v"]]}, "payload": ""},
            'c 1.2.3.4:5 <- PUBLISH topic="a b" retain=yes properties={user_properties=[[k, v]]} payload=""',
        ),
    ],
)  # fmt: skip
def test_a_line_of_text(event: dict[str, Any], text: str) -> None:
    assert line({"at": 0.0} | event).partition(" ")[2] == text
