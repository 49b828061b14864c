"""Clients that do as little as a client can: count bytes, send what was built before."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from bench import wire
from bench.errors import NoResult


class Client(asyncio.Protocol):
    """Connects, optionally subscribes, then is `ready`; what comes after goes to `on_bytes`."""

    def __init__(self, client_id: str, topic_filters: Sequence[str] = (), qos: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport | None = None
        self.lost = False  # the broker threw it out
        self._filters = len(topic_filters)
        self._hello = wire.connect(client_id) + (wire.subscribe(topic_filters, qos) if topic_filters else b"")
        self._expected = wire.CONNACK + (wire.suback_size(self._filters) if topic_filters else 0)
        self._head = b""
        self._welcomed = False
        self._leaving = False

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
        if len(self._head) < self._expected and self._head[3:4] in (b"", b"\x00"):
            return
        if self.ready.done():
            return  # given up meanwhile
        if not self._let_in():
            self.ready.set_exception(NoResult(f"the broker refused a client: {self._head[:64].hex(' ')}"))
            return
        self._welcomed = True
        self.ready.set_result(None)
        if len(self._head) > self._expected:
            self.on_bytes(self._head[self._expected :])

    def _let_in(self) -> bool:
        codes = self._head[self._expected - self._filters : self._expected] if self._filters else b""
        return self._head[:2] == b"\x20\x02" and self._head[3] == 0 and 0x80 not in codes

    def connection_lost(self, exc: Exception | None) -> None:
        """A broker that throws a client out ends the measurement."""
        self.lost = not self._leaving
        if not self.gone.done():
            self.gone.set_result(None)
        if not self.ready.done():
            self.ready.set_exception(NoResult(f"the broker closed a connection ({exc or 'no error'})"))

    def on_bytes(self, data: bytes) -> None:
        """What the broker sends under load."""

    def send(self, data: bytes) -> None:
        """Write."""
        assert self.transport is not None
        self.transport.write(data)

    def leave(self) -> None:
        """Say DISCONNECT; the broker closes."""
        self._leaving = True
        self.send(wire.DISCONNECT)

    def close(self) -> None:
        """Go without a word."""
        if self.transport is not None:
            self.transport.abort()


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
        count, self._rest = divmod(self._rest + len(data), wire.ACKNOWLEDGEMENT)
        if count:
            self.acknowledged += count
            self.send(self._ring[self._next * self._size : (self._next + count) * self._size])
            self._next = (self._next + count) % self._window


class ExactlyOncePublisher(Client):
    """QoS 2 with a window: PUBREL for each PUBREC, a new message for each PUBCOMP."""

    def __init__(self, client_id: str, topic: str, payload: bytes, window: int) -> None:
        super().__init__(client_id)
        self._next = {}
        for packet_id in range(1, window + 1):
            raw = packet_id.to_bytes(2, "big")
            self._next[b"\x50\x02" + raw] = b"\x62\x02" + raw
            self._next[b"\x70\x02" + raw] = wire.publish(topic, payload, 2, packet_id)
        self._rest = b""
        self.acknowledged = 0  # PUBCOMPs

    def start(self) -> None:
        """Fill the window."""
        self.send(b"".join(packet for said, packet in self._next.items() if said[0] == 0x70))

    def on_bytes(self, data: bytes) -> None:
        """Acknowledgements are 4 bytes each."""
        data = self._rest + data
        whole = len(data) & ~3
        self._rest = data[whole:]
        said = [data[at : at + 4] for at in range(0, whole, 4)]
        answers = [self._next[packet] for packet in said]
        self.send(b"".join(answers))
        self.acknowledged += sum(packet[0] == 0x70 for packet in said)


class Subscriber(Client):
    """Counts messages of one known size; at QoS 1 it acknowledges them. `like` is a PUBLISH as it will come."""

    def __init__(
        self, client_id: str, topic_filters: Sequence[str], like: bytes, hear: Callable[[int, bytes], None]
    ) -> None:
        self.qos = like[0] >> 1 & 3
        super().__init__(client_id, topic_filters, self.qos)
        self._size = len(like)
        length = 1 + next(at for at in range(1, 5) if like[at] < 0x80)
        self._packet_id_at = length + 2 + int.from_bytes(like[length : length + 2], "big")
        self._rest = b""
        self._rest_size = 0
        self._hear = hear  # (how many, the bytes of whole messages: at QoS 1 only)

    def on_bytes(self, data: bytes) -> None:
        """Whole messages only."""
        if self.qos == 0:
            count, self._rest_size = divmod(self._rest_size + len(data), self._size)
            if count:
                self._hear(count, b"")
            return
        data = self._rest + data
        count = len(data) // self._size
        self._rest = data[count * self._size :]
        if count:
            self.send(wire.acknowledgements(data, self._packet_id_at, self._size, count))
            self._hear(count, data)
