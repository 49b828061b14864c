"""Clients that do as little as a client can: count bytes, send what was built before."""

import asyncio
from collections.abc import Callable
from typing import cast

from bench import wire


class Client(asyncio.Protocol):
    """Connects, optionally subscribes, then is `ready`; what comes after goes to `on_bytes`."""

    def __init__(self, client_id: str, topic_filter: str | None = None, qos: int = 0) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._hello = wire.connect(client_id) + (wire.subscribe(topic_filter, qos) if topic_filter else b"")
        self._expected = wire.CONNACK + (wire.SUBACK if topic_filter else 0)
        self._head = b""
        self._welcomed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say everything at once."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        """The answers to the hello, then the load."""
        if self._welcomed:
            self.on_bytes(data)
            return
        self._head += data
        if len(self._head) < self._expected:
            return
        refused = self._head[3] if self._head[:2] == b"\x20\x02" else 255
        if refused or self._head[self._expected - 1] == 0x80:
            self.ready.set_exception(ConnectionError(f"the broker refused: {self._head.hex(' ')}"))
            return
        self._welcomed = True
        self.ready.set_result(None)
        if len(self._head) > self._expected:
            self.on_bytes(self._head[self._expected :])

    def connection_lost(self, exc: Exception | None) -> None:
        """A broker that throws a client out ends the measurement."""
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("the broker closed the connection"))

    def on_bytes(self, data: bytes) -> None:
        """What the broker sends under load."""

    def send(self, data: bytes) -> None:
        """Write."""
        assert self.transport is not None
        self.transport.write(data)


class Publisher(Client):
    """QoS 1 with a window: as many new messages as acknowledgements came."""

    def __init__(self, client_id: str, topic: str, payload: bytes, window: int) -> None:
        super().__init__(client_id)
        packets = [wire.publish(topic, payload, 1, packet_id) for packet_id in range(1, window + 1)]
        self._size = len(packets[0])
        self._ring = b"".join(packets) * 2
        self._window = window
        self._next = 0
        self._rest = 0
        self.acknowledged = 0

    def start(self) -> None:
        """Fill the window."""
        self.send(self._ring[: self._window * self._size])

    def on_bytes(self, data: bytes) -> None:
        """Acknowledgements are 4 bytes each and come in order."""
        count, self._rest = divmod(self._rest + len(data), wire.PUBACK)
        if count:
            self.acknowledged += count
            self.send(self._ring[self._next * self._size : (self._next + count) * self._size])
            self._next = (self._next + count) % self._window


class Subscriber(Client):
    """Counts messages of one known size; at QoS 1 it acknowledges them."""

    def __init__(
        self, client_id: str, topic_filter: str, qos: int, size: int, topic_size: int, hear: Callable[[int], None]
    ) -> None:
        super().__init__(client_id, topic_filter, qos)
        self._qos = qos
        self._size = size
        self._packet_id_at = 1 + len(wire.remaining_length(size)) + 2 + topic_size
        self._rest = b""
        self._rest_size = 0
        self._hear = hear

    def on_bytes(self, data: bytes) -> None:
        """Whole messages only."""
        if self._qos == 0:
            count, self._rest_size = divmod(self._rest_size + len(data), self._size)
            self._hear(count)
            return
        data = self._rest + data
        count = len(data) // self._size
        at, size = self._packet_id_at, self._size
        self._rest = data[count * size :]
        acks = [b"\x40\x02" + data[i * size + at : i * size + at + 2] for i in range(count)]
        self.send(b"".join(acks))
        self._hear(count)
