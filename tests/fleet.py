"""A fleet of its own in a running Akela: an application with its schemas, and raw MQTT devices of it."""

import json
import secrets
from collections import deque
from typing import Any, Self

from akela.client import AkelaClient
from akela.contract.delta import apply
from tests import mqtt
from tests.akela_up import AkelaUp
from tests.mqtt import Packet, Wire

CONFIG: dict[str, Any] = {
    "type": "record",
    "name": "C",
    "fields": [{"name": "n", "type": "int", "default": 0}, {"name": "other", "type": "int", "default": 0}],
}
PROFILE: dict[str, Any] = {
    "type": "record",
    "name": "P",
    "fields": [{"name": "model", "type": "string"}, {"name": "size", "type": "int", "optional": True}],
}
SITE: dict[str, Any] = {"type": "record", "name": "S", "fields": [{"name": "site", "type": "string"}]}


class Fleet:
    """An application under open trust."""

    def __init__(self, akela: AkelaUp, config: dict[str, Any] = CONFIG) -> None:
        self.port = int(akela.port())
        self.api = AkelaClient(akela.ready["api"], akela.demo["admin_token"])
        made = self.api.post("/applications", {"name": f"fleet-{secrets.token_hex(4)}", "trust": "open"})
        self.app, self.claim = made["id"], made["claim_secret"]
        self.path = f"/applications/{self.app}"
        for kind, body in (("config", config), ("profile", PROFILE), ("server-profile", SITE)):
            self.schema(kind, body)

    def schema(self, kind: str, body: dict[str, Any]) -> None:
        """Add a schema version."""
        self.api.post(f"{self.path}/schemas", {"kind": kind, "name": "default", "body": body, "force": True})

    def layer(self, place: str, **data: Any) -> None:
        """Set the layer at `{scope}/{target}` and activate it."""
        self.api.put(f"{self.path}/configurations/{place}", {"data": data})

    def group(self, name: str, weight: int, asks: str) -> None:
        """Make a group, or change it."""
        self._define("groups", name, {"weight": weight, "filter": asks})

    def owner(self, name: str) -> None:
        """Make an owner."""
        self._define("owners", name, {})

    def _define(self, kind: str, name: str, body: dict[str, Any]) -> None:
        path = f"{self.path}/{kind}"
        etag = self.api.etag(f"{path}/{name}")
        if etag is None:
            self.api.post(path, {"name": name, **body})
        else:
            self.api.put(f"{path}/{name}", body, etag=etag)

    def endpoint(self, ep: str, **fields: Any) -> None:
        """Change what operators say of an endpoint."""
        self.api.patch(f"{self.path}/endpoints/{ep}", fields)

    def stored(self, ep: str) -> Any:
        """An endpoint as REST shows it."""
        return self.api.get(f"{self.path}/endpoints/{ep}")

    async def device(self, ep: str, *, hello: dict[str, Any] | None = None, **profile: Any) -> "Device":
        """A connected device that has said `hello` (if given), has sent its profile (if given) and has its configuration."""
        device = await Device.connected(self, ep)
        if hello is not None:
            await device.publish("hello", hello)
        if profile:
            await device.publish("profile", profile)
        await device.wire.subscribed(("a1/me/d/#", 1))
        await device.config()
        return device


class Device:
    """A device on a raw connection."""

    def __init__(self, fleet: Fleet, ep: str, wire: Wire) -> None:
        self.fleet = fleet
        self.ep = ep
        self.wire = wire
        self._waiting: deque[Packet] = deque()
        self.holds: Any = None
        self.id: str | None = None

    @classmethod
    async def connected(cls, fleet: Fleet, ep: str) -> Self:
        """Connect with the claim secret."""
        connecting = mqtt.connect(ep, username=fleet.app, password=fleet.claim)
        return cls(fleet, ep, await Wire.connected(fleet.port, connecting))

    async def publish(self, what: str, body: Any) -> None:
        """Publish at QoS 1 under `u/` and wait for the acknowledgement."""
        await self.raw(f"a1/me/u/{what}", body)

    async def raw(self, topic: str, body: Any) -> None:
        """The same at any topic."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.wire.send(mqtt.publish(topic, raw, qos=1, packet_id=77))
        while (packet := await self.wire.packet()).kind == 3:
            self._waiting.append(packet)
        assert packet == (0x40, b"\x00\x4d")

    async def message(self) -> tuple[str, bytes]:
        """The next message, acknowledged: what follows `d/` in its topic, and its payload."""
        first, body = self._waiting.popleft() if self._waiting else await self.wire.packet()
        assert first >> 4 == 3, f"no PUBLISH: {first:#x} {body!r}"
        end = 2 + int.from_bytes(body[:2], "big")
        start = end + 2 if first >> 1 & 3 else end
        if first >> 1 & 3:
            self.wire.send(mqtt.puback(int.from_bytes(body[end:start], "big")))
        return body[2:end].decode().removeprefix("a1/me/d/"), body[start:]

    async def config(self) -> Any:
        """The configuration that the next message, which must be one, brings; it is reported as applied."""
        topic, payload = await self.message()
        assert topic == "config", (topic, payload)
        push = json.loads(payload)
        if "full" in push:
            self.holds = push["full"]
        else:
            assert push["base"] == self.id
            self.holds = apply(self.holds, push["delta"])
        self.id = push["id"]
        await self.publish("config/applied", {"id": self.id, "code": 200})
        return self.holds

    async def asked(self, what: str, body: Any = None) -> Any:
        """The answer to a request, which must be the next message: nothing else was sent before."""
        await self.publish(f"{what}/{(rid := secrets.token_hex(4))}", b"" if body is None else body)
        topic, payload = await self.message()
        assert topic.startswith(f"re/{rid}/"), (topic, payload)
        return json.loads(payload)

    async def undisturbed(self) -> None:
        """It was sent nothing, and has what it should have."""
        assert (await self.asked("config/get"))["id"] == self.id

    async def back(self) -> "Device":
        """The same device on a new connection, subscribed, with what it holds."""
        again = await Device.connected(self.fleet, self.ep)
        again.id, again.holds = self.id, self.holds
        await again.wire.subscribed(("a1/me/d/#", 1))
        return again

    def leave(self) -> None:
        """Drop the connection."""
        self.wire.drop()
