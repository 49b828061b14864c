"""A real fleet and its slow model, driven in step: each act is done to the real servers, and once they have taken it, to the model.

`at_rest` is what it is all for: whatever was done before, it waits until every attached endpoint holds exactly what the model computes
and the ledger and the REST API say the same, or fails with what differs. A write whose answer got lost is tried again until it is
known to be done.
"""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from akela.client import AkelaClient, ApiError, NotReachableError
from tests.cluster import WAIT_S, Cluster, ServerProcess
from tests.convergence.choose import OWNERS
from tests.convergence.device import Device
from tests.convergence.expected import (
    CONFIG_SCHEMA,
    CONFIG_SCHEMA_2,
    PROFILE_SCHEMA,
    SERVER_SCHEMA,
    Endpoint,
    Filter,
    Fleet,
    Json,
    Layer,
    id_of,
)

ENDPOINTS: Final = ("e0", "e1", "e2", "e3")
PAUSE_S: Final = 0.05
Place = tuple[str, str]
_applications: Final = itertools.count(1)


class World:
    """One application with its endpoints, on a cluster that others use, too. Close it."""

    def __init__(self, cluster: Cluster, client: AkelaClient) -> None:
        self.cluster = cluster
        self.fleet = Fleet()
        self.devices: dict[str, Device] = {}
        self._client = client
        self._loop = asyncio.Runner()
        self._pause = threading.Event()
        made = client.create("/applications", {"name": f"fleet-{next(_applications)}", "trust": "listed"})
        self.app: str = made["id"]
        self._path = f"/applications/{self.app}"
        kinds = (
            ("config", CONFIG_SCHEMA),
            ("config", CONFIG_SCHEMA_2),
            ("profile", PROFILE_SCHEMA),
            ("server-profile", SERVER_SCHEMA),
        )
        for kind, body in kinds:
            client.create(f"{self._path}/schemas", {"kind": kind, "body": body})
        for name in OWNERS:
            client.create(f"{self._path}/owners", {"name": name})
        for name in ENDPOINTS:
            endpoint = client.create(f"{self._path}/endpoints", {"id": name})
            self.fleet.endpoints[name] = Endpoint(name)
            self.devices[name] = Device(self.app, endpoint["credential"], name)

    def close(self) -> None:
        """Let all connections go."""
        for device in self.devices.values():
            device.drop()
        self._loop.close()

    # Groups

    def make_group(self, name: str, weight: int, filter_: Filter) -> None:
        """A new group."""
        path, body = f"{self._path}/groups", {"name": name, "weight": weight, "filter": filter_.text}
        self._write(lambda: self._client.create(path, body), lambda: self._shows(f"{path}/{name}", body))
        self.fleet.groups[name] = (weight, filter_)

    def change_group(self, name: str, weight: int | None, filter_: Filter | None) -> None:
        """Another weight, another filter, or both at once."""
        old_weight, old_filter = self.fleet.groups[name]
        fresh = (old_weight if weight is None else weight, old_filter if filter_ is None else filter_)
        body = {"weight": fresh[0], "filter": fresh[1].text}
        path = f"{self._path}/groups/{name}"
        self._write(lambda: self._client.patch(path, body), lambda: self._shows(path, body))
        self.fleet.groups[name] = fresh

    def delete_group(self, name: str) -> None:
        """A group goes, and its layer with it."""
        self._delete(f"{self._path}/groups/{name}")
        del self.fleet.groups[name]
        self.fleet.layers.pop(("group", name), None)

    # Layers

    def set_layer(self, place: Place, data: Json) -> None:
        """A new active version."""
        path = self._layer_path(place)
        self._write(lambda: self._client.put(path, {"data": data}), lambda: self._shows(path, {"data": data}))
        layer = self.fleet.layers.setdefault(place, Layer())
        layer.active = self._read(path)["active"]
        assert layer.active is not None
        layer.versions[layer.active] = data

    def save_draft(self, place: Place, data: Json) -> None:
        """A draft: nothing changes for anybody."""
        path = self._layer_path(place)
        self._write(lambda: self._client.post(f"{path}/versions", {"data": data}), lambda: False)
        layer = self.fleet.layers.setdefault(place, Layer())
        layer.draft = self._read(path)["draft"]
        assert layer.draft is not None
        layer.versions[layer.draft] = data

    def activate(self, place: Place, number: int) -> None:
        """The draft becomes active, or an old version becomes active again."""
        path = self._layer_path(place)
        act = f"{path}/versions/{number}"
        self._write(lambda: self._client.act(act, "activate"), lambda: self._shows(path, {"active": number}))
        layer = self.fleet.layers[place]
        layer.active = number
        if layer.draft == number:
            layer.draft = None

    def deactivate(self, place: Place) -> None:
        """A layer contributes nothing any more."""
        path = self._layer_path(place)
        self._write(lambda: self._client.act(path, "deactivate"), lambda: self._shows(path, {"active": None}))
        self.fleet.layers[place].active = None

    def delete_layer(self, place: Place) -> None:
        """A layer goes with its history."""
        self._delete(self._layer_path(place))
        del self.fleet.layers[place]

    # Endpoints, as operators see them

    def set_server_profile(self, ep: str, profile: Json | None) -> None:
        """The server-side profile."""
        self._patch_endpoint(ep, {"server_profile": profile})
        self.fleet.endpoints[ep].server = profile

    def set_owner(self, ep: str, owner: str | None) -> None:
        """Who owns it."""
        self._patch_endpoint(ep, {"owner": owner})
        self.fleet.endpoints[ep].owner = owner

    # Endpoints, as they are

    def attach(
        self, ep: str, server: int, *, lost: str | None = None, versions: Mapping[str, int] | None = None
    ) -> None:
        """Connect and say hello. `lost`: it holds nothing any more, and says nothing ("nothing") or something else ("wrong")."""
        device = self.devices[ep]
        device.drop()
        if lost is not None:
            device.config, device.config_id = None, {"wrong": "0123456789abcdef"}.get(lost)
        hello: dict[str, object] = {} if device.config_id is None else {"config": device.config_id}
        if versions is not None:
            hello["versions"] = dict(versions)
        port = self.cluster.operations[server].ports["--mqtt-port"]
        self._until_heard(device, lambda: device.attach(port, **hello))
        if versions is not None:
            self.fleet.endpoints[ep].versions = dict(versions)

    def set_profile(self, ep: str, profile: Json, server: int) -> None:
        """Send the client-side profile; an endpoint that is not connected connects to `server` for it."""
        device = self.devices[ep]

        async def send() -> None:
            if not device.attached:
                await self._attach_again(device, server)
            code, answer = await device.ask("profile", profile)
            assert (code, answer) == (200, {"profile": id_of(profile)})

        self._until_heard(device, send)
        self.fleet.endpoints[ep].profile = profile

    def drop(self, ep: str) -> None:
        """End the connection without a word."""
        self.devices[ep].drop()

    def listen(self, ep: str) -> None:
        """Let an endpoint read what there is; one whose connection has ended notices."""
        device = self.devices[ep]
        try:
            self._loop.run(device.listen())
        except EOFError:
            device.drop()

    # Servers

    def restart(self, server: ServerProcess, *, wait: bool = True) -> None:
        """kill -9 a server and start it again."""
        server.kill()
        server.start()
        if wait:
            server.until_ready()

    def restart_database(self) -> None:
        """kill -9 the database and start it again."""
        process = self.cluster.database.process
        assert process is not None
        process.kill()
        process.wait()
        self.cluster.database.start()

    # At rest

    def wrong_at_rest(self) -> list[str]:
        """What is not as the model says when everything has come to rest: nothing, or what does not come right in time."""
        for server in (*self.cluster.controls, *self.cluster.operations):
            server.until_ready()
        deadline_s = time.monotonic() + WAIT_S
        attached = [ep for ep, device in self.devices.items() if device.attached]
        while True:
            for ep in attached:
                self._live(ep)
            wrong = [problem for ep in self.devices for problem in self._problems(ep, attached=ep in attached)]
            if not wrong or time.monotonic() > deadline_s:
                return wrong
            self._pause.wait(PAUSE_S)

    def in_sync_again(self, ep: str, server: int) -> None:
        """At rest, an attached endpoint leaves and comes back, and is sent nothing: it holds what it should."""
        device = self.devices[ep]
        heard = len(device.pushes), len(device.refusals)
        self.attach(ep, server)
        self._loop.run(device.listen())
        assert (device.pushes[heard[0] :], device.refusals[heard[1] :]) == ([], [])

    def _problems(self, ep: str, *, attached: bool) -> list[str]:
        expected = self.fleet.effective(ep)
        number = id_of(expected)
        path = f"{self._path}/endpoints/{ep}"
        shown = self._read(path)
        effective = self._read(f"{path}/configuration")
        found: list[tuple[str, object, object]] = [
            ("REST: profile", shown["profile"], self.fleet.endpoints[ep].profile),
            ("REST: groups", shown["groups"], sorted(self.fleet.groups_of(ep))),
            ("REST: failing filters", sorted(shown["group_errors"]), self.fleet.failing(ep)),
            ("REST: value", effective["value"], expected),
            ("REST: id", effective["id"], number),
            ("REST: ledger's target", shown["config"]["target"], number),
        ]
        if attached:
            device = self.devices[ep]
            applied = shown["config"].get("applied") or {}
            found += [
                ("held", device.config, expected),
                ("held id", device.config_id, number),
                ("ledger: state", shown["config"]["state"], "applied"),
                ("ledger: applied", applied.get("id"), number),
            ]
        return [
            f"{ep}: {what} is {is_!r}, should be {should!r} (groups {self.fleet.groups_of(ep)})"
            for what, is_, should in found
            if is_ != should
        ]

    def _live(self, ep: str) -> None:
        """Let an endpoint do what it has to, over a new connection if need be."""
        self.listen(ep)
        device = self.devices[ep]
        if not device.attached:
            self._until_heard(device, lambda: self._attach_again(device, 0))

    async def _attach_again(self, device: Device, server: int) -> None:
        hello = {} if device.config_id is None else {"config": device.config_id}
        await device.attach(self.cluster.operations[server].ports["--mqtt-port"], **hello)

    def _until_heard(self, device: Device, act: Callable[[], Any]) -> None:
        """Do `act`, again when a server went away in the middle."""
        deadline_s = time.monotonic() + WAIT_S
        while True:
            try:
                self._loop.run(act())
                return
            except (EOFError, OSError, TimeoutError):
                device.drop()
                assert time.monotonic() < deadline_s, f"{device.name} gets no answer"
                self._pause.wait(PAUSE_S)

    # REST

    def _layer_path(self, place: Place) -> str:
        return f"{self._path}/configurations/{place[0]}/{place[1]}"

    def _patch_endpoint(self, ep: str, body: Json) -> None:
        path = f"{self._path}/endpoints/{ep}"
        self._write(lambda: self._client.patch(path, dict(body)), lambda: self._shows(path, body))

    def _delete(self, path: str) -> None:
        self._write(lambda: self._client.delete(path), lambda: self._read(path) is None)

    def _write(self, act: Callable[[], Any], reached: Callable[[], bool]) -> None:
        """Do a write until it is done. `reached` tells, after a try without an answer, whether a refusal means that it was done."""
        deadline_s = time.monotonic() + WAIT_S
        unsure = False
        while time.monotonic() < deadline_s:
            try:
                act()
                return
            except NotReachableError:
                unsure = True
            except ApiError as error:
                unsure = unsure or error.status >= 500
                if not unsure:
                    raise
                if error.status < 500 and reached():
                    return
            self._pause.wait(PAUSE_S)
        raise AssertionError("Control takes no write")

    def _read(self, path: str) -> Any:
        """What is at `path`, or None."""
        deadline_s = time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(NotReachableError):
                try:
                    return self._client.get(path)
                except ApiError as error:
                    if error.status == 404:
                        return None
                    if error.status < 500:
                        raise
            assert time.monotonic() < deadline_s, f"{path} cannot be read"
            self._pause.wait(PAUSE_S)

    def _shows(self, path: str, body: Json) -> bool:
        shown = self._read(path)
        return shown is not None and all(shown[name] == value for name, value in body.items())
