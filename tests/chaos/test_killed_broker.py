"""kill -9 the engine while a client publishes at QoS 1 and 2 to one that listens: nothing acknowledged is lost, QoS 2 comes once."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.stored_broker import StoredBroker

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

ROUNDS = 10
EACH = 60  # messages of each QoS between two kills
WAIT_S = 60.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[StoredBroker]:
    started = StoredBroker(tmp_path / "store")
    assert started.start() == "ready"
    yield started
    started.kill()


class Client:
    """A paho client that comes back by itself; its session is kept."""

    def __init__(self, broker: StoredBroker, client_id: str) -> None:
        self.changed = threading.Condition()
        self.heard: Counter[str] = Counter()
        self.subscribed = threading.Event()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        self.paho.reconnect_delay_set(1, 1)
        self.paho.max_inflight_messages_set(40)
        self.paho.on_message = self._on_message
        self.acknowledged: set[int] = set()
        self.paho.on_publish = self._on_publish
        self.paho.on_subscribe = lambda *_: self.subscribed.set()
        self.paho.connect("127.0.0.1", broker.port)
        self.paho.loop_start()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self.changed:
            self.heard[f"{message.qos}/{message.payload.decode()}"] += 1
            self.changed.notify()

    def _on_publish(self, _client: object, _data: object, mid: int, *_: object) -> None:
        with self.changed:
            self.acknowledged.add(mid)
            self.changed.notify()

    def wait_acknowledged(self, mids: set[int]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: mids <= self.acknowledged, WAIT_S), "not acknowledged in time"

    def end(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


def test_nothing_acknowledged_is_lost_and_qos_2_comes_once(broker: StoredBroker) -> None:
    listener, sender = Client(broker, "listener"), Client(broker, "sender")
    try:
        listener.paho.subscribe("t", 2)
        assert listener.subscribed.wait(WAIT_S)
        sent: set[int] = set()
        for round_ in range(ROUNDS):
            numbers = range(round_ * EACH, (round_ + 1) * EACH)
            mids = [sender.paho.publish("t", str(number), qos=qos).mid for number in numbers for qos in (1, 2)]
            sender.wait_acknowledged(set(mids[:EACH]))  # the rest is under way
            broker.again()
            sent.update(mids)
        sender.wait_acknowledged(sent)
        wanted = {f"{qos}/{number}" for qos in (1, 2) for number in range(ROUNDS * EACH)}
        with listener.changed:
            assert listener.changed.wait_for(lambda: wanted <= listener.heard.keys(), WAIT_S), (
                f"lost: {sorted(wanted - listener.heard.keys())[:10]}"
            )
        assert listener.heard.keys() == wanted
        assert [name for name, times in listener.heard.items() if name.startswith("2/") and times > 1] == []
    finally:
        listener.end()
        sender.end()
