"""kill -9 the active Control server again and again under a stream of writes, some of them in bulk, on each coordination.

Every write that was answered 2xx is there, every change reaches every Operations server once in effect, none is missing.
"""

import asyncio
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from akela.client import AkelaClient, ApiError, NotReachableError
from akela.documents import changelog, model
from akela.documents.model import Change, Endpoint
from tests import mqtt
from tests.cluster import Cluster, ServerProcess, until
from tests.zookeeper import Ensemble, ZooKeeper

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

ROUNDS = {"zookeeper": 7, "ensemble": 7, "embedded": 6}
PAUSE_S = 0.02
MORE = 20  # writes between two kills
BULK = 7  # each so-many-th write is a batch
ROWS = 100
SCHEMA = {"type": "record", "name": "C", "fields": [{"name": "n", "type": "int", "default": -1}]}


@pytest.fixture(params=list(ROUNDS))
def coordination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str | None, Ensemble | None]]:
    """Its kind, where it is, and the ensemble if it is one."""
    with ExitStack() as stack:
        if request.param == "zookeeper":
            yield request.param, stack.enter_context(ZooKeeper(tmp_path / "zookeeper")).hosts, None
        elif request.param == "ensemble":
            ensemble = stack.enter_context(Ensemble(tmp_path / "ensemble"))
            yield request.param, ensemble.hosts, ensemble
        else:
            yield request.param, None, None


class Writes:
    """Streams of writes: the layer of a new endpoint each, its value its number, or many endpoints. Who fails tries the same again."""

    def __init__(self, clients: list[AkelaClient], app: str) -> None:
        self._app = app
        self._stop = threading.Event()
        self._numbers = itertools.count(1)
        self._threads = [threading.Thread(target=self._run, args=(client,)) for client in clients]
        self.answered: dict[int, Any] = {}  # number -> the 2xx answer
        self.refused: list[str] = []
        self.begun = 0

    def __enter__(self) -> "Writes":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int = 1) -> None:
        """Return when `count` writes that begin now were answered."""
        last = self.begun
        until(lambda: sum(number > last for number in list(self.answered)) >= count, lambda: f"no writes after {last}")

    def _run(self, client: AkelaClient) -> None:
        while not self._stop.wait(PAUSE_S):
            number = self.begun = next(self._numbers)
            while not self._written(client, number) and not self._stop.wait(PAUSE_S):
                continue

    def _written(self, client: AkelaClient, number: int) -> bool:
        app = f"/applications/{self._app}"
        try:
            if number % BULK == 0:
                self.answered[number] = client.post(f"{app}/endpoint-batches", {"items": batch(number)})
            else:
                layer = f"{app}/configurations/endpoint/e-{number}"
                self.answered[number] = client.put(layer, {"data": {"n": number}})
        except NotReachableError:
            return False
        except ApiError as error:
            # 412, 428: the next leader has completed the try before, after this one looked whether it was there.
            if error.status not in (412, 428, 503):
                self.refused.append(f"{number}: {error}")
            return False
        return True


def batch(number: int) -> list[dict[str, str]]:
    """The endpoints that a bulk write makes; the same each time that it is tried."""
    return [{"id": f"b-{number}-{index}", "credential": f"credential-{number}-{index}-x"} for index in range(ROWS)]


def test_nothing_is_lost_when_the_active_control_is_killed(
    coordination: tuple[str, str | None, Ensemble | None], tmp_path: Path
) -> None:
    kind, zookeeper, ensemble = coordination
    with Cluster(tmp_path, zookeeper, controls=3) as cluster:
        client = cluster.signed_in()
        made = client.post("/applications", {"name": "fleet", "trust": "open"})
        client.post(f"/applications/{made['id']}/schemas", {"kind": "config", "body": SCHEMA})
        took_s = []
        with Writes([cluster.signed_in() for _ in range(3)], made["id"]) as writes:
            for round_ in range(ROUNDS[kind]):
                writes.more(MORE)
                if ensemble is not None and round_ == 2:
                    ensemble.servers[0].stop()
                active = cluster.active(client)
                took_s.append(killed(active, writes))
                active.start()  # it becomes a standby while the third one is there to take over
            writes.more()
        print(f"{kind}: {len(writes.answered)} writes; seconds without an answer: {[round(s, 1) for s in took_s]}")  # noqa: T201
        assert writes.refused == []
        check_log(cluster, made["id"], writes)
        for server in cluster.operations:
            until(lambda server=server: cluster.position(server) == changelog.head_seq(), server.said)
            port = server.ports["--mqtt-port"]
            asyncio.run(check_effects(port, made["id"], made["claim_secret"], writes))
        model.disconnect()


def killed(active: ServerProcess, writes: Writes) -> float:
    """kill -9; return when the other one writes. Gives how long that took, for the record."""
    began_s = time.monotonic()
    active.kill()
    writes.more()
    return time.monotonic() - began_s


def check_log(cluster: Cluster, app: str, writes: Writes) -> None:
    """The log is whole, each number has its end, and each answered write is one done change and one document."""
    model.connect(cluster.database.uri, "akela")
    log = list(Change.collection().find({}).sort("n", 1))
    assert [change["n"] for change in log] == list(range(1, changelog.head_seq() + 1))
    assert {change["state"] for change in log} <= {"done", "void"}
    done = Counter(change["target"] for change in log if change["state"] == "done" and change["op"] == "put")
    for number, answer in writes.answered.items():
        if number % BULK == 0:
            ids = [f"{app}/{row['id']}" for row in batch(number)]
            assert Endpoint.collection().count_documents({"_id": {"$in": ids}}) == ROWS
            continue
        layer = model.find("configuration", f"{app}/default/endpoint:e-{number}")
        assert layer is not None, f"write {number} was answered and is not there"
        assert (layer["body"], layer["rev"]) == ({"n": number}, answer["rev"])
        assert done[layer["_id"]] == 1


async def check_effects(port: int, app: str, claim: str, writes: Writes) -> None:
    """An Operations server has each layer: it gives each endpoint its own number, once."""
    limit = asyncio.Semaphore(20)

    async def check(number: int) -> None:
        async with limit:
            wire = await mqtt.Wire.connected(port, mqtt.connect(f"e-{number}", username=app, password=claim))
            assert await wire.subscribed(("a1/me/d/config", 0)) == [0]
            pushed = json.loads((await wire.message()).payload)
            assert pushed["full"] == {"n": number}
            await wire.quiet()
            wire.drop()

    await asyncio.gather(*(check(number) for number in writes.answered if number % BULK))
