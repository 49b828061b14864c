"""An endpoint that is not ours: a raw MQTT connection that applies what it is told, on its own. It reads only when it is asked to.

It keeps to topics.md and nothing else: it says hello with the id of what it holds, applies whole configurations and merge patches (RFC
7386) that fit it, checks the id, reports, and asks for the whole when it cannot use what it got.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Mapping
from typing import Any, Final

from tests import mqtt
from tests.convergence.expected import id_of

TURN_S: Final = 0.05  # how long a device listens when it is asked what there is


class Device:
    """One endpoint. `config` and `config_id` are what it holds, over all its connections; None: nothing."""

    def __init__(self, app: str, claim: str, name: str) -> None:
        self.name = name
        self._app = app
        self._claim = claim
        self._numbers = itertools.count(1)
        self.config: dict[str, Any] | None = None
        self.config_id: str | None = None
        self.pushes: list[str] = []  # ids of the configurations that came, on all connections
        self.refusals: list[tuple[str, Any]] = []
        self._answers: dict[str, tuple[int, Any]] = {}
        self._unacknowledged: set[int] = set()
        self._wire: mqtt.Wire | None = None
        self._reading: asyncio.Future[mqtt.Packet] | None = (
            None  # kept from turn to turn: a read that is cancelled loses bytes
        )

    @property
    def attached(self) -> bool:
        """Whether it has a connection, as far as it knows."""
        return self._wire is not None

    async def attach(self, port: int, **hello: object) -> None:
        """Connect, subscribe, say hello and hear the answer. Raises: EOFError, OSError."""
        connecting = mqtt.connect(self.name, username=self._app, password=self._claim, keep_alive=0)
        self._wire = await mqtt.Wire.connected(port, connecting)
        self._reading = None
        self._unacknowledged.clear()
        self._wire.send(mqtt.subscribe(("a1/me/d/#", 1)))
        await self.ask("hello", hello)

    def drop(self) -> None:
        """End the connection without a word."""
        if self._wire is not None:
            self._wire.drop()
            self._wire = None
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    async def ask(self, what: str, body: object) -> tuple[int, Any]:
        """Send a request; gives the code and body of the answer. What else comes meanwhile is done, too. Raises: EOFError."""
        rid = f"r{next(self._numbers)}"
        self._publish(f"{what}/{rid}", body)
        while rid not in self._answers:
            await self._take(await self._packet(mqtt.WAIT_S))
        return self._answers.pop(rid)

    async def listen(self) -> None:
        """Do what has come, until nothing comes for a moment and all that was sent is acknowledged. Raises: EOFError."""
        with contextlib.suppress(TimeoutError):
            while True:
                await self._take(await self._packet(mqtt.WAIT_S if self._unacknowledged else TURN_S))
        assert not self._unacknowledged, f"{self.name} waits for PUBACKs"

    async def _packet(self, within_s: float) -> mqtt.Packet:
        """The next packet. Raises: TimeoutError, EOFError."""
        if self._wire is None:
            raise EOFError("not connected")
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._wire.whenever())
        done, _ = await asyncio.wait([self._reading], timeout=within_s)
        if not done:
            raise TimeoutError
        reading, self._reading = self._reading, None
        return reading.result()

    def _publish(self, rest: str, body: object) -> None:
        assert self._wire is not None
        number = next(self._numbers) % 0xFFFF + 1
        self._unacknowledged.add(number)
        payload = "" if body is None else json.dumps(body, ensure_ascii=False)
        self._wire.send(mqtt.publish(f"a1/me/u/{rest}", payload, qos=1, packet_id=number))

    async def _take(self, packet: mqtt.Packet) -> None:
        if packet.kind == 4:
            self._unacknowledged.discard(int.from_bytes(packet.body[:2], "big"))
        if packet.kind != 3:
            return
        end = 2 + int.from_bytes(packet.body[:2], "big")
        topic = packet.body[2:end].decode()
        qos = packet.first >> 1 & 3
        number = packet.body[end : end + 2]
        payload = json.loads(packet.body[end + (2 if qos else 0) :])
        match topic.removeprefix("a1/me/d/").split("/"):
            case ["config"]:
                self.pushes.append(payload["id"])
                self._configure(payload)
            case ["re", rid, code]:
                self._answers[rid] = (int(code), payload)
                if code == "200" and "full" in payload:
                    self._answers.pop(rid)
                    self._configure(payload)
            case ["err", code]:
                self.refusals.append((code, payload))
        if qos:
            assert self._wire is not None
            self._wire.send(mqtt.puback(int.from_bytes(number, "big")))

    def _configure(self, push: Mapping[str, Any]) -> None:
        """Apply a configuration that can be applied and report it; else ask for the whole."""
        if "full" in push:
            value = push["full"]
        elif self.config is not None and push["base"] == self.config_id:
            value = patched(self.config, push["delta"])
        else:
            self._publish(f"config/get/g{next(self._numbers)}", None)
            return
        assert id_of(value) == push["id"], f"{self.name} was sent {push}, which makes {value} of {self.config}"
        self.config, self.config_id = value, push["id"]
        self._publish("config/applied", {"id": push["id"], "code": 200})


def patched(value: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(value) if isinstance(value, Mapping) else {}
    for name, item in patch.items():
        if item is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), item)
    return result
