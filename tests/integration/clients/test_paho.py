"""paho-mqtt: MQTT 3.1.1 and 5.0, over TCP, WebSocket and TLS."""

import queue
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.integration.clients.conftest import LARGE, PASSWORD, USER, Running, said

WAIT_S = 60.0
V5 = MQTTProtocolVersion.MQTTv5


class Client:
    """A connected client in a thread of paho's; messages and answers come out of queues."""

    def __init__(self, client_id: str, version: int, transport: str, running: Running, **options: Any) -> None:
        websocket = transport in ("ws", "wss")
        clean = options.pop("clean", True)
        kind: Any = "websockets" if websocket else "tcp"
        v5 = version == V5
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if v5 else clean,
            protocol=MQTTProtocolVersion(version),
            transport=kind,
        )
        self.paho.username_pw_set(USER, options.pop("password", PASSWORD))
        if transport in ("tls", "wss"):
            self.paho.tls_set(str(running.ca), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self.paho.on_connect = lambda _c, _u, flags, code, said_: self.answers.put(("connected", (flags, code, said_)))
        self.paho.on_disconnect = lambda _c, _u, _f, code, _p: self.answers.put(("disconnected", code))
        self.paho.on_subscribe = lambda _c, _u, _m, codes, _p: self.answers.put(("subscribed", codes))
        self.paho.on_unsubscribe = lambda _c, _u, _m, codes, _p: self.answers.put(("unsubscribed", codes))
        for name, value in options.pop("will", {}).items():
            self.paho.will_set(name, **value)
        more = {"clean_start": clean, "properties": said(PacketTypes.CONNECT, **options)} if v5 else {}
        self.paho.connect("localhost" if transport in ("tls", "wss") else "127.0.0.1", running.ports[transport], **more)
        self.paho.loop_start()
        self.flags, self.code, self.said = self.answer("connected")

    def answer(self, what: str) -> Any:
        kind, value = self.answers.get(timeout=WAIT_S)
        assert kind == what, (kind, value)
        return value

    def subscribe(self, *arguments: Any, **options: Any) -> Any:
        self.paho.subscribe(*arguments, **options)
        return self.answer("subscribed")

    def publish(self, topic: str, payload: Any = b"", qos: int = 0, **options: Any) -> None:
        """Publish; returns when it is acknowledged as its QoS says."""
        self.paho.publish(topic, payload, qos, **options).wait_for_publish(WAIT_S)

    def message(self) -> paho.MQTTMessage:
        return self.messages.get(timeout=WAIT_S)

    def leave(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def drop(self) -> None:
        """End the connection without a word."""
        self.paho.loop_stop()
        sock = self.paho.socket()
        if sock is not None:
            sock.close()


Join = Callable[..., Client]
WAYS = [(version, transport) for version in (4, 5) for transport in ("default", "ws", "tls")] + [(5, "wss")]


@pytest.fixture
def joins(running: Running) -> Iterator[Join]:
    made: list[Client] = []

    def join(client_id: str, version: int, transport: str, **options: Any) -> Client:
        client = Client(client_id, version, transport, running, **options)
        made.append(client)
        return client

    yield join
    for client in made:
        client.leave()


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
def way(request: pytest.FixtureRequest) -> tuple[int, str]:
    found: tuple[int, str] = request.param
    return found


def test_a_wrong_password_is_refused(joins: Join, way: tuple[int, str]) -> None:
    assert joins("c", *way, password="wrong").code == "Not authorized"


def test_both_ways_at_each_qos_and_unsubscribe(joins: Join, way: tuple[int, str]) -> None:
    client, topic = joins(f"paho-{way}", *way), f"paho/{way}/qos"
    assert client.code == "Success"
    assert [int(code.value) for code in client.subscribe([(f"{topic}/{qos}", qos) for qos in range(3)])] == [0, 1, 2]
    for qos in range(3):
        client.publish(f"{topic}/{qos}", f"at {qos}", qos)
        message = client.message()
        assert (message.topic, message.payload, message.qos, message.retain) == (
            f"{topic}/{qos}",
            f"at {qos}".encode(),
            qos,
            False,
        )
    client.paho.unsubscribe(f"{topic}/1")
    client.answer("unsubscribed")
    client.publish(f"{topic}/1", "unheard", 1)
    client.publish(f"{topic}/2", "heard", 2)
    assert client.message().payload == b"heard"


def test_retained(joins: Join, way: tuple[int, str]) -> None:
    client, topic = joins(f"paho-{way}", *way), f"paho/{way}/retained"
    client.publish(topic, "kept", 1, retain=True)
    client.subscribe(topic, 1)
    message = client.message()
    assert (message.payload, message.retain) == (b"kept", True)
    client.publish(topic, b"", 1, retain=True)
    assert client.message().payload == b""
    other = joins(f"paho-{way}-2", *way)
    other.subscribe(topic, 1)
    other.publish(topic, "live", 1)
    assert other.message().payload == b"live"


def test_a_will(joins: Join, way: tuple[int, str]) -> None:
    topic = f"paho/{way}/will"
    listener = joins(f"paho-{way}-l", *way)
    listener.subscribe(topic, 1)
    dying = joins(f"paho-{way}-w", *way, will={topic: {"payload": "gone", "qos": 1}})
    dying.drop()
    assert listener.message().payload == b"gone"
    joins(f"paho-{way}-w", *way, will={topic: {"payload": "not said", "qos": 1}}).leave()
    listener.publish(topic, "alive", 1)
    assert listener.message().payload == b"alive"


def test_a_session_is_taken_up_again(joins: Join, way: tuple[int, str]) -> None:
    topic, kept = f"paho/{way}/session", {"clean": False} | ({"SessionExpiryInterval": 300} if way[0] == V5 else {})
    away = joins(f"paho-{way}-s", *way, **kept)
    away.subscribe(topic, 2)
    away.leave()
    sender = joins(f"paho-{way}-p", *way)
    for number in range(6):
        sender.publish(topic, str(number), 1 + number % 2)
    back = joins(f"paho-{way}-s", *way, **kept)
    assert back.flags.session_present
    heard = [back.message() for _ in range(6)]
    for qos, numbers in ((1, (0, 2, 4)), (2, (1, 3, 5))):  # in order at each QoS: section 4.6
        assert [m.payload for m in heard if m.qos == qos] == [str(number).encode() for number in numbers]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_large_payload(joins: Join, way: tuple[int, str], qos: int) -> None:
    client, topic = joins(f"paho-{way}", *way), f"paho/{way}/large"
    client.subscribe(topic, qos)
    payload = bytes(range(256)) * (LARGE // 256)
    client.publish(topic, payload, qos)
    assert client.message().payload == payload


def test_properties_and_options_of_mqtt_5(joins: Join) -> None:
    client = joins("paho-properties", V5, "default", TopicAliasMaximum=5, ReceiveMaximum=10, UserProperty=("a", "b"))
    assert client.said.MaximumPacketSize > LARGE
    options = SubscribeOptions(qos=1, noLocal=False, retainAsPublished=True)
    client.subscribe("paho/5/#", options=options, properties=said(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=3))
    properties = said(
        PacketTypes.PUBLISH, ContentType="text/plain", CorrelationData=b"id", ResponseTopic="r", PayloadFormatIndicator=1,
        MessageExpiryInterval=60, UserProperty=[("k", "v"), ("k", "w")],
    )  # fmt: skip
    client.publish("paho/5/x", "text", 1, retain=True, properties=properties)
    message = client.message()
    heard: Any = message.properties
    assert (heard.ContentType, heard.CorrelationData, heard.ResponseTopic) == ("text/plain", b"id", "r")
    assert (heard.PayloadFormatIndicator, heard.UserProperty) == (1, [("k", "v"), ("k", "w")])
    assert heard.SubscriptionIdentifier == [3]
    assert message.retain
    client.publish("paho/5/x", b"", 1, retain=True)


def test_topic_aliases_of_mqtt_5(joins: Join) -> None:
    client, sender = joins("paho-alias-l", V5, "default"), joins("paho-alias-p", V5, "default")
    client.subscribe("paho/alias")
    sender.publish("paho/alias", "first", properties=said(PacketTypes.PUBLISH, TopicAlias=2))
    sender.publish("", "second", properties=said(PacketTypes.PUBLISH, TopicAlias=2))
    assert [(m.topic, m.payload) for m in (client.message(), client.message())] == [
        ("paho/alias", b"first"),
        ("paho/alias", b"second"),
    ]


def test_request_and_response_of_mqtt_5(joins: Join) -> None:
    server, asking = joins("paho-server", V5, "default"), joins("paho-asking", V5, "ws")
    server.subscribe("paho/ask", 1)
    asking.subscribe("paho/answers/asking", 1)
    request = said(PacketTypes.PUBLISH, ResponseTopic="paho/answers/asking", CorrelationData=b"17")
    asking.publish("paho/ask", "how?", 1, properties=request)
    asked: Any = server.message().properties
    answer = said(PacketTypes.PUBLISH, CorrelationData=asked.CorrelationData)
    server.publish(asked.ResponseTopic, "so", 1, properties=answer)
    answered: Any = asking.message()
    assert (answered.payload, answered.properties.CorrelationData) == (b"so", b"17")


def test_a_taken_over_client_of_mqtt_5_is_told(joins: Join) -> None:
    old = joins("paho-twice", V5, "default")
    old.paho.reconnect_delay_set(60, 60)
    joins("paho-twice", V5, "ws")
    assert old.answer("disconnected") == "Session taken over"
