"""The Control server under load: REST beside a bare handler on the same uvicorn, provisioning from CSV, change events.

`make bench ARGS="control"`, or `python -m bench.control --endpoints 10000 --seconds 2` for a quick look. Everything runs on this machine:
servers, embedded database and load share its cores, so the ratio to the bare handler says more than the rates.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import uvloop

from akela.client import AkelaClient, path_of
from tests import mqtt
from tests.cluster import Cluster, until
from tests.ports import free_port

CONNECTIONS: Final = 8
WRITES: Final = 200
SCHEMA: Final = {"type": "record", "name": "C", "fields": [{"name": "n", "type": "int", "default": -1}]}
Request = tuple[str, str, bytes]  # method, path, body


@click.command()
@click.option("--endpoints", default=100_000, show_default=True, help="endpoints to provision and to list from")
@click.option("--seconds", default=4.0, show_default=True, help="length of one measurement")
@click.option("--operations", default="1,10", show_default=True, help="how many Operations servers are told of changes")
def main(endpoints: int, seconds: float, operations: str) -> None:
    """Measure Control: requests/s, p50 and p99 in ms."""
    with tempfile.TemporaryDirectory() as directory, _cluster(Path(directory), 1) as (cluster, client):
        app = client.create("/applications", {"name": "bench"})["id"]
        _provision(cluster, client, Path(directory), endpoints)
        rest(cluster, client, app, endpoints, seconds)
    for count in (int(part) for part in operations.split(",")):
        with tempfile.TemporaryDirectory() as directory, _cluster(Path(directory), count) as (cluster, client):
            uvloop.run(events(cluster, client))


@contextmanager
def _cluster(directory: Path, operations: int) -> Iterator[tuple[Cluster, AkelaClient]]:
    settings = {"api_rate": "0", "log_level": "warning"}
    with Cluster(directory, None, controls=1, operations=operations, **settings) as cluster:
        client = cluster.signed_in()
        yield cluster, client
        client.close()


def _provision(cluster: Cluster, client: AkelaClient, directory: Path, endpoints: int) -> None:
    """`akela endpoint add --from CSV`, as a user calls it."""
    file = directory / "fleet.csv"
    file.write_text("id\n" + "".join(f"e-{number:06}\n" for number in range(endpoints)))
    token = client.login("admin", "a good password")["token"]
    command = [sys.executable, "-m", "akela", "endpoint", "add", "--app", "bench", "--from", str(file)]
    began_s = time.perf_counter()
    subprocess.run([*command, "--api", cluster.apis, "--token", token], check=True, stdout=subprocess.DEVNULL)
    took_s = time.perf_counter() - began_s
    click.echo(f"provision {endpoints:,} endpoints from CSV: {took_s:.1f} s, {endpoints / took_s:,.0f}/s")


def rest(cluster: Cluster, client: AkelaClient, app: str, endpoints: int, seconds: float) -> None:
    """Each request beside the bare handler that answers as many bytes."""
    api, at = cluster.controls[0].ports["--api-port"], path_of("applications", app, "endpoints")
    token = client.login("admin", "a good password")["token"]
    cursors = _cursors(client, at, endpoints)
    reads = {"get": f"{at}/e-{endpoints // 2:06}"}
    for name, cursor in cursors.items():
        reads[f"list of 100, {name}"] = f"{at}?limit=100" + (f"&cursor={cursor}" if cursor else "")
    for name, path in reads.items():
        ours = Load(api, token, _getting(path)).run(seconds)
        _show(name, ours, _bare(ours.size, seconds))
    ours = Load(
        api, token, lambda n: ("POST", f"/api/v1{at}", json.dumps({"id": f"new-{time.time_ns()}-{n}"}).encode())
    ).run(seconds)
    _show("create", ours, _bare(ours.size, seconds))


def _getting(path: str) -> Callable[[int], Request]:
    return lambda n: ("GET", f"/api/v1{path}", b"")


def _put(client: AkelaClient, path: str, n: int) -> Callable[[], Awaitable[Any]]:
    return lambda: asyncio.to_thread(client.put, f"{path}/configurations/all/-", {"data": {"n": n}})


def _cursors(client: AkelaClient, at: str, endpoints: int) -> dict[str, str | None]:
    """Where the first, the middle and the last page of 100 begin."""
    wanted: dict[int, str] = {endpoints // 200: "middle page", max(1, endpoints // 100 - 1): "last page"}
    found: dict[str, str | None] = {"first page": None}
    cursor = None
    for number in range(1, max(wanted) + 1):
        cursor = client.get(at, limit=100, cursor=cursor)["next"]
        if number in wanted:
            found[wanted[number]] = cursor
    return found


class Load:
    """Some connections that ask again as soon as they are answered. `request` makes the n-th."""

    def __init__(self, port: int, token: str, request: Callable[[int], Request]) -> None:
        self._port = port
        self._token = token
        self._request = request
        self._sent = 0
        self.took_ms: list[float] = []
        self.size = 0  # of an answer's body
        self.rate = 0.0

    def run(self, seconds: float) -> "Load":
        """Measure."""
        uvloop.run(self._measure(seconds))
        self.rate = len(self.took_ms) / seconds
        return self

    async def _measure(self, seconds: float) -> None:
        await asyncio.gather(*(self._connection(min(1.0, seconds / 4)) for _ in range(CONNECTIONS)))  # warm
        self.took_ms.clear()
        await asyncio.gather(*(self._connection(seconds) for _ in range(CONNECTIONS)))

    async def _connection(self, seconds: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        end_s = time.perf_counter() + seconds
        while (began_s := time.perf_counter()) < end_s:
            self._sent += 1
            method, path, body = self._request(self._sent)
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
            self.size = await _answer(reader)
            self.took_ms.append((time.perf_counter() - began_s) * 1000)
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read an answer, which must be a success; gives the size of its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    body = await reader.readexactly(size)
    if not head.startswith(b"http/1.1 20"):
        raise RuntimeError(f"{head.splitlines()[0]!r}: {body[:300]!r}")
    return size


def _bare(size: int, seconds: float) -> Load:
    """A handler that does nothing, on the same server."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare_api", str(port), str(size)])
    try:
        until(lambda: _listens(port), lambda: "the bare handler does not start")
        return Load(port, "-", lambda n: ("GET", "/", b"")).run(seconds)
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    async def probe() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    return asyncio.run(probe())


def _show(name: str, ours: Load, bare: Load) -> None:
    click.echo(
        f"{name:22} {ours.rate:>7,.0f}/s  {_spread(ours.took_ms)}   bare handler {bare.rate:>7,.0f}/s  {_spread(bare.took_ms)}"
        f"   ratio {ours.rate / bare.rate:.2f}"
    )


def _spread(took_ms: list[float]) -> str:
    cuts = statistics.quantiles(took_ms, n=100)
    return f"p50 {cuts[49]:6.1f} p99 {cuts[98]:6.1f} ms"


async def events(cluster: Cluster, client: AkelaClient) -> None:
    """From the request of a write to each Operations server pushing its effect to an endpoint."""
    made = await asyncio.to_thread(client.create, "/applications", {"name": "events", "trust": "open"})
    path = path_of("applications", made["id"])
    await asyncio.to_thread(client.create, f"{path}/schemas", {"kind": "config", "body": SCHEMA})
    wires = [
        await mqtt.Wire.connected(
            server.ports["--mqtt-port"], mqtt.connect("probe", username=made["id"], password=made["claim_secret"])
        )
        for server in cluster.operations
    ]
    for wire in wires:
        await wire.subscribed(("a1/me/d/config", 0))
        await wire.message()
    took_ms: list[float] = []
    answered_ms: list[float] = []
    for n in range(WRITES):
        began_s = time.perf_counter()
        waiting = [asyncio.create_task(_pushed(wire, began_s)) for wire in wires]
        await _timed(_put(client, path, n), answered_ms)
        took_ms += [await task for task in waiting]
    for wire in wires:
        wire.drop()
    click.echo(f"write answered, {len(wires)} Operations:          {_spread(answered_ms)}")
    click.echo(f"write in effect there, {len(wires)} Operations:    {_spread(took_ms)}   (from the request)")


async def _pushed(wire: mqtt.Wire, began_s: float) -> float:
    await wire.message()
    return (time.perf_counter() - began_s) * 1000


async def _timed(work: Callable[[], Awaitable[Any]], took_ms: list[float]) -> None:
    began_s = time.perf_counter()
    await work()
    took_ms.append((time.perf_counter() - began_s) * 1000)


if __name__ == "__main__":
    main()
