"""The load generator's ceiling: a server that knows nothing and only answers what the generator's clients wait for.

It never parses a PUBLISH but the first of a connection: the rest is counted by size, acknowledged from a table and passed on as it
is. What the generator reaches against it is the least that the generator can do; no broker can look faster than that.
"""

import asyncio
import sys
from typing import cast

import uvloop

from bench.wire import remaining_length

MATCHED = (b"f/+/up", b"f/all")  # what publishers of the workloads reach
_PUBACKS = b"\x40\x02\x00\x01" * 65536


def frames(data: bytes) -> tuple[list[bytes], bytes]:
    """(whole packets, the rest)."""
    out = []
    at = 0
    while len(data) - at >= 2:
        length = shift = 0
        body = at + 1
        while body < len(data):
            length |= (data[body] & 0x7F) << shift
            shift += 7
            body += 1
            if data[body - 1] < 0x80:
                break
        else:
            break
        if body + length > len(data):
            break
        out.append(data[at : body + length])
        at = body + length
    return out, data[at:]


def _filters(packet: bytes) -> list[bytes]:
    at = 1 + next(i for i in range(1, 5) if packet[i] < 0x80) + 2
    out = []
    while at < len(packet):
        end = at + 2 + int.from_bytes(packet[at : at + 2], "big")
        out.append(packet[at + 2 : end])
        at = end + 1
    return out


class _Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self, subscribers: "dict[_Sink, int]") -> None:
        self._subscribers = subscribers
        self._rest = b""
        self._size = 0  # of this publisher's packets
        self._qos = 0
        self._packet_id_at = 0
        self._without_id = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self._subscribers.pop(self, None)

    def data_received(self, data: bytes) -> None:
        """Count or, for anything but a stream of equal PUBLISHes, look at each packet."""
        if self in self._subscribers:
            return  # it acknowledges, and nobody waits for that
        if not self._size:
            self._packets(data)
            return
        data = self._rest + data if self._rest else data
        if self._qos == 2:
            self._exactly_once(data)
            return
        count = len(data) // self._size
        self._rest = data[count * self._size :]
        if count:
            self._publishes(data if not self._rest else data[: count * self._size], count)

    def _publishes(self, data: bytes, count: int) -> None:
        if self._qos == 1:
            self.transport.write(_PUBACKS[: 4 * count])
        for subscriber, qos in self._subscribers.items():
            subscriber.transport.write(data if qos == self._qos else self._without_id * count)

    def _exactly_once(self, data: bytes) -> None:
        at, end, size, packet_id_at = 0, len(data), self._size, self._packet_id_at
        out = []
        while at < end:
            if data[at] == 0x34:
                if at + size > end:
                    break
                out.append(b"\x50\x02" + data[at + packet_id_at : at + packet_id_at + 2])
                at += size
            else:
                if at + 4 > end:
                    break
                out.append(b"\x70\x02" + data[at + 2 : at + 4])
                at += 4
        self._rest = data[at:]
        self.transport.write(b"".join(out))

    def _packets(self, data: bytes) -> None:
        packets, rest = frames(self._rest + data)
        self._rest = rest
        for number, packet in enumerate(packets):
            match packet[0]:
                case 0x10:
                    self.transport.write(b"\x20\x02\x00\x00")
                case 0x82:
                    self._subscribe(packet)
                case 0x30 | 0x32 | 0x34:
                    self._first_publish(packet)
                    self._rest = b""
                    self.data_received(b"".join(packets[number:]) + rest)
                    return
                case 0xE0:
                    self.transport.close()

    def _subscribe(self, packet: bytes) -> None:
        filters = _filters(packet)
        qos = packet[-1]
        self.transport.write(b"\x90" + remaining_length(2 + len(filters)) + b"\x00\x01" + bytes([qos]) * len(filters))
        if any(wanted in MATCHED for wanted in filters):
            self._subscribers[self] = qos

    def _first_publish(self, packet: bytes) -> None:
        self._size = len(packet)
        self._qos = packet[0] >> 1 & 3
        head = 1 + next(i for i in range(1, 5) if packet[i] < 0x80)
        body = head + 2 + int.from_bytes(packet[head : head + 2], "big")
        self._packet_id_at = body
        if self._qos:
            length = len(packet) - head - 2
            self._without_id = b"\x30" + remaining_length(length) + packet[head:body] + packet[body + 2 :]


async def _serve(port: int) -> None:
    subscribers: dict[_Sink, int] = {}
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Sink(subscribers), "127.0.0.1", port, backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
