"""Ten thousand clients in one process, for test_ten_thousand.py: `python -m tests.integration.broker.ten_thousand PORT CLIENTS ROUNDS`.

Prints `ready` when all are subscribed, then a line of JSON for each round that all have heard, and what was wrong at the end.
Connections come from several loopback addresses, because one has only some 28,000 ports.
"""

import asyncio
import json
import resource
import sys
from functools import partial
from typing import cast

import uvloop

from tests.mqtt import connect, puback, subscribe

ADDRESSES = 4
AT_ONCE = 500  # connecting at a time


def tell(what: object) -> None:
    """A line of JSON to who has started this."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Crowd:
    """What all clients have heard."""

    def __init__(self, clients: int, rounds: int) -> None:
        self.clients = clients
        self.rounds = rounds
        self.heard = [0] * clients  # messages of each
        self.complete = [0] * rounds  # clients that have heard a round
        self.wrong: list[str] = []
        self.done = asyncio.Event()
        self.joined = 0
        self.room = asyncio.Semaphore(AT_ONCE)
        self.all_joined = asyncio.Event()

    def subscribed(self) -> None:
        self.room.release()
        self.joined += 1
        if self.joined == self.clients:
            self.all_joined.set()

    def take(self, number: int, payload: bytes) -> None:
        told_round, told = json.loads(payload)
        if told != number or told_round != self.heard[number]:
            self.fail(f"client {number} heard {payload!r} as its message {self.heard[number]}")
            return
        self.heard[number] += 1
        self.complete[told_round] += 1
        if self.complete[told_round] == self.clients:
            tell({"round": told_round, "heard": self.clients})
            if told_round == self.rounds - 1:
                self.done.set()

    def fail(self, why: str) -> None:
        self.wrong.append(why)
        self.done.set()
        self.all_joined.set()


class Device(asyncio.Protocol):
    """One client with one subscription of its own at QoS 1."""

    __slots__ = ("_buffer", "_crowd", "_number", "_transport")

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(connect(f"device-{self._number}", keep_alive=600) + subscribe((f"d/{self._number}", 1)))

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        at = 0
        while (
            len(data) - at >= 2 and len(data) - at >= 2 + data[at + 1]
        ):  # packets of these sizes have one byte of length
            end = at + 2 + data[at + 1]
            self._packet(data[at], data[at + 2 : end])
            at = end
        self._buffer = data[at:]

    def _packet(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == 3:
            topic_end = 2 + int.from_bytes(body[:2], "big")
            self._transport.write(puback(int.from_bytes(body[topic_end : topic_end + 2], "big")))
            self._crowd.take(self._number, body[topic_end + 2 :])
        elif kind == 9:
            self._crowd.subscribed()
        elif kind != 2 or body != b"\0\0":
            self._crowd.fail(f"client {self._number} got {first:#x} {body!r}")

    def connection_lost(self, error: Exception | None) -> None:
        if not self._crowd.done.is_set():
            self._crowd.fail(f"client {self._number} lost its connection: {error}")


async def run(port: int, clients: int, rounds: int) -> int:
    crowd, loop = Crowd(clients, rounds), asyncio.get_running_loop()
    for number in range(clients):
        await crowd.room.acquire()
        source = (f"127.0.0.{2 + number % ADDRESSES}", 0)
        await loop.create_connection(partial(Device, crowd, number), "127.0.0.1", port, local_addr=source)
    await crowd.all_joined.wait()
    tell("ready")
    await crowd.done.wait()
    tell({"wrong": crowd.wrong[:10], "messages": sum(crowd.heard)})
    return 1 if crowd.wrong else 0


def raise_limit(files: int) -> None:
    """Let this process have so many open files. Raises: ValueError, OSError when it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, hard)))


if __name__ == "__main__":
    raise_limit(int(sys.argv[2]) + 200)
    sys.exit(uvloop.run(run(*map(int, sys.argv[1:]))))
