"""One MQTT connection of an endpoint, over paho: the only file of this package that knows it.

What comes is put into `inbox`, in its order, as `Acknowledged`, `Message` and at last `Closed`. paho holds locks of its own while it calls
back, so nothing of ours may be locked there: an inbox takes without waiting.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from device_lib.errors import NotConnectedError

KEEP_ALIVE_S: Final = 30


@dataclass(frozen=True, slots=True)
class Message:
    """A message came."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The message that `publish` gave this number is acknowledged."""

    number: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection has ended."""


Event = Message | Acknowledged | Closed


class Connection:
    """A connection to one server. `inbox` takes what comes, called in paho's thread."""

    def __init__(self, client_id: str, inbox: Callable[[Event], None]) -> None:
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=True, reconnect_on_failure=False
        )
        self._inbox = inbox
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._received
        self._client.on_publish = self._published
        self._client.on_disconnect = self._disconnected
        self._client.max_queued_messages_set(0)
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._failure = "no answer"
        self._topic = ""

    def open(self, host: str, port: int, user: str | None, password: str | None, topic: str, timeout_s: float) -> None:
        """Connect and subscribe to `topic` at QoS 1. Raises: NotConnectedError."""
        if user is not None:
            self._client.username_pw_set(user, password)
        self._topic = topic
        self._client.connect_timeout = timeout_s
        try:
            self._client.connect(host, port, KEEP_ALIVE_S)
        except OSError as error:
            raise NotConnectedError(f"{host}:{port}: {error.strerror or error}") from error
        self._client.loop_start()
        if not self._ready.wait(timeout_s) or self._closed.is_set():
            self.close()
            raise NotConnectedError(f"{host}:{port}: {self._failure}")

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> int:
        """Send; gives the number that `Acknowledged` will name. Raises: NotConnectedError."""
        info = self._client.publish(topic, payload, qos=qos)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise NotConnectedError(paho.error_string(info.rc))
        return info.mid

    @property
    def closed(self) -> bool:
        """The connection has ended."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the connection."""
        self._client.disconnect()
        with contextlib.suppress(RuntimeError):
            self._client.loop_stop()

    def _connected(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._failure = f"refused: {reason}"
            self._end()
        else:
            client.subscribe(self._topic, 1)

    def _subscribed(self, client: paho.Client, data: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._failure = f"subscription to {self._topic} refused"
            self._end()
        self._ready.set()

    def _received(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        self._inbox(Message(message.topic, bytes(message.payload)))

    def _published(self, client: paho.Client, data: Any, mid: int, reason: Any, properties: Any) -> None:
        self._inbox(Acknowledged(mid))

    def _disconnected(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not self._ready.is_set():
            self._failure = self._failure if self._failure != "no answer" else f"closed: {reason}"
        self._end()

    def _end(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._inbox(Closed())
        self._ready.set()
