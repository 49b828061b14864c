"""All devices of a measurement: attach them, count what they hear, drop them."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench import wire
from bench.convergence.device import Device, Report
from bench.errors import NoResult

AT_ONCE: Final = 500  # connections that are being opened
PATIENCE_S: Final = 120.0  # a number that takes longer is none
REPORT_TOPIC: Final = "a1/me/u/config/applied"


@dataclass(frozen=True, slots=True)
class Login:
    """How one device comes, and where it listens and reports."""

    client_id: str
    user: str
    password: str
    topic_filter: str = "a1/me/d/#"
    report_topic: str = REPORT_TOPIC

    def hello(self) -> bytes:
        """CONNECT and SUBSCRIBE."""
        return wire.connect(self.client_id, self.password, self.user) + wire.subscribe([self.topic_filter], 1)


def password_of(ep: str) -> str:
    """A credential as long as a real one, which nobody has to keep."""
    return hashlib.sha256(ep.encode()).hexdigest()[:43]


class Fleet:
    """Devices and their counters. One of them hears all devices."""

    def __init__(self, port: int, logins: Sequence[Login]) -> None:
        self._port = port
        self.reports = {login.report_topic: Report(login.report_topic) for login in logins}
        self._plans = [(login.hello(), self.reports[login.report_topic]) for login in logins]
        self._devices: list[Device] = []
        self._wanted = 0
        self._done: asyncio.Future[None] | None = None
        self.sizes: Counter[int] = Counter()  # of configuration packets
        self.payload = b""  # of the last configuration
        self.configs = self.reported = self.received = self.sent = 0
        self.lost = ""

    def __len__(self) -> int:
        return len(self._plans)

    def clear(self) -> None:
        """Count from nothing."""
        self.sizes.clear()
        self.configs = self.reported = self.received = self.sent = 0

    async def attach(self) -> None:
        """Bring every device in, some at a time. Raises: NoResult."""
        self._devices = []
        todo = iter(self._plans)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(self._attach(todo) for _ in range(AT_ONCE)))

    async def _attach(self, todo: Iterator[tuple[bytes, Report]]) -> None:
        loop = asyncio.get_running_loop()
        for hello, report in todo:
            device = Device(self, hello, report)
            self._devices.append(device)
            await loop.create_connection(_giving(device), "127.0.0.1", self._port)
            await device.ready

    def drop(self) -> None:
        """All connections break."""
        for device in self._devices:
            device.drop()
        self._devices = []

    def expect(self, reports: int) -> None:
        """Count from nothing; `all_reported` ends with so many acknowledged reports."""
        self.clear()
        self._wanted = reports
        self._done = asyncio.get_running_loop().create_future()

    async def all_reported(self) -> None:
        """Wait for what is expected. Raises: NoResult."""
        assert self._done is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._done
        except TimeoutError as error:
            text = f"{self.reported} of {self._wanted} devices had reported after {PATIENCE_S:.0f} s"
            raise NoResult(text) from error

    # What devices tell.

    def on_config(self, size: int, payload: bytes) -> None:
        """A configuration came."""
        self.configs += 1
        self.sizes[size] += 1
        self.payload = payload

    def on_reported(self) -> None:
        """A report is stored."""
        self.reported += 1
        if self.reported == self._wanted and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def on_traffic(self, received: int, sent: int) -> None:
        """Bytes in and out."""
        self.received += received
        self.sent += sent

    def on_lost(self, why: str) -> None:
        """A device was thrown out."""
        self.lost = why
        if self._done is not None and not self._done.done():
            self._done.set_exception(NoResult(why))


def _giving(device: Device) -> Callable[[], Device]:
    return lambda: device


def named(count: int) -> Iterable[str]:
    """The devices' ids."""
    return (f"e-{number:06}" for number in range(count))
