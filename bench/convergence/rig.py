"""A whole Akela as it is measured: its processes, their processor time, and an application with endpoints that hold credentials."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from akela.client import AkelaClient, path_of
from akela.documents.store import OperationsStore
from bench.convergence.fleet import Login, named, password_of
from bench.errors import NoResult
from bench.resources import cpu_seconds, resident_bytes
from control.secrets import digest
from tests.cluster import Cluster

DATABASE: Final = "akela"
BATCH: Final = 1000
REST_S: Final = 30.0  # after which servers that still write are not at rest
LOOK_S: Final = 0.05
FIELDS: Final = 16
SCHEMA: Final = {
    "type": "record", "name": "Device",
    "fields": [
        {"name": "revision", "type": "int", "default": 0},
        *({"name": f"setting{number:02}", "type": "string", "default": ""} for number in range(FIELDS)),
    ],
}  # fmt: skip


def layer(revision: int) -> dict[str, Any]:
    """A layer's data in which every leaf depends on its revision: no delta is smaller than the whole."""
    return {"revision": revision} | {
        f"setting{number:02}": f"value-{revision:06}-{number:02}" for number in range(FIELDS)
    }


@dataclass(frozen=True, slots=True)
class Used:
    """Processor seconds of each part."""

    parts: Mapping[str, float]

    def since(self, before: "Used") -> dict[str, float]:
        """What was used meanwhile."""
        return {name: value - before.parts[name] for name, value in self.parts.items()}


class Rig:
    """A running Akela with one Operations server. `path` is the application's in REST."""

    def __init__(self, cluster: Cluster, client: AkelaClient) -> None:
        self._cluster = cluster
        self.client = client
        self.app = str(client.create("/applications", {"name": "bench", "trust": "listed"})["id"])
        self.path = path_of("applications", self.app)
        client.create(f"{self.path}/schemas", {"kind": "config", "body": SCHEMA})

    @property
    def port(self) -> int:
        """Where devices connect."""
        return self._cluster.operations[0].ports["--mqtt-port"]

    def logins(self, count: int) -> list[Login]:
        """The devices' sides of what `provision` stores."""
        return [Login(ep, self.app, password_of(ep)) for ep in named(count)]

    async def provision(self, count: int) -> None:
        """Write endpoints into the database as the bulk import would, each with a credential that was never used."""
        names = list(named(count))
        async with self._store() as store:
            tenant = str((await store.load_applications())[0]["tenant"])
            for start in range(0, count, BATCH):
                await store.register_endpoints([self._endpoint(tenant, ep) for ep in names[start : start + BATCH]])

    async def put_layer(self, revision: int, place: str = "all/-") -> None:
        """Change a layer; returns when Control has answered."""
        await asyncio.to_thread(self.client.put, f"{self.path}/configurations/{place}", {"data": layer(revision)})

    async def at_rest(self) -> None:
        """Return when the Operations server has nothing left to write. Raises: NoResult."""
        await self._until("akela_endpoint_updates_waiting", "writes")

    async def _until(self, metric: str, what: str) -> None:
        deadline_s = asyncio.get_running_loop().time() + REST_S
        while (await self.metrics())[metric]:
            if asyncio.get_running_loop().time() > deadline_s:
                raise NoResult(f"the Operations server still {what} after {REST_S:.0f} s")
            await asyncio.sleep(LOOK_S)

    async def nobody_attached(self) -> None:
        """Return when the Operations server has seen everybody go, and has written that. Raises: NoResult."""
        await self._until("akela_endpoints_attached", "has endpoints attached")
        await self.at_rest()

    async def applied(self, number: str, count: int) -> int:
        """How many of the stored endpoints have this configuration applied: read back from the database."""
        found = 0
        names = [f"{self.app}/{ep}" for ep in named(count)]
        async with self._store() as store:
            for start in range(0, len(names), BATCH):
                found += sum(
                    _applied(row) == number for row in await store.find_endpoints(names[start : start + BATCH])
                )
        return found

    async def metrics(self) -> dict[str, float]:
        """What the Operations server tells Prometheus, without labelled values."""
        port = self._cluster.operations[0].ports["--admin-port"]
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}

    def used(self) -> Used:
        """Processor time until now, of each process and of the devices."""
        return Used({name: cpu_seconds(pid) for name, pid in self._pids().items()})

    def memory(self) -> int:
        """Resident bytes of the Operations server."""
        return resident_bytes(self._cluster.operations[0].pid)

    def _pids(self) -> dict[str, int]:
        database = self._cluster.database.process
        assert database is not None
        return {
            "Operations": self._cluster.operations[0].pid,
            "database": database.pid,
            "Control": self._cluster.controls[0].pid,
            "devices": os.getpid(),
        }

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[OperationsStore]:
        store = OperationsStore()
        store.connect(self._cluster.database.uri, DATABASE)
        try:
            yield store
        finally:
            await store.close()

    def _endpoint(self, tenant: str, ep: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        credential = {"id": f"c-{ep}", "kind": "token", "hash": digest(password_of(ep)), "created": now, "used": False}
        return {
            "_id": f"{self.app}/{ep}", "app": self.app, "ep": ep, "tenant": tenant, "registered_at": now, "how": "provisioned",
            "credentials": [credential], "format": 1, "rev": 0, "revoked": False,
        }  # fmt: skip


def _applied(row: Mapping[str, Any]) -> str | None:
    entry = (row.get("config") or {}).get("applied")
    return None if entry is None else str(entry["id"])


@contextmanager
def rig() -> Iterator[Rig]:
    """Start everything, and kill it in the end."""
    settings = {"api_rate": "0", "log_level": "warning"}
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(Path(directory), None, controls=1, operations=1, **settings) as cluster,
    ):
        client = cluster.signed_in()
        yield Rig(cluster, client)
        client.close()
