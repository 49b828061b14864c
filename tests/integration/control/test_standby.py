"""Two Control servers: one is active, the other serves reads and sends writers there. On both coordinations."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from akela.client import AkelaClient
from akela.coordination import SESSION_S, Role
from akela.documents import changelog, history, model
from tests.cluster import PASSWORD, Cluster, ServerProcess, until
from tests.zookeeper import ZooKeeper

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", params=["zookeeper", "embedded"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two Control servers and one Operations server."""
    server: ZooKeeper | None = request.getfixturevalue("zookeeper") if request.param == "zookeeper" else None
    hosts = None if server is None else server.hosts
    with Cluster(
        tmp_path_factory.mktemp("cluster"), hosts, operations=1, cluster=f"standby-{request.param}"
    ) as started:
        yield started


@pytest.fixture
def client(cluster: Cluster) -> Iterator[AkelaClient]:
    made = cluster.signed_in()
    yield made
    made.close()


def other(cluster: Cluster, active: ServerProcess) -> ServerProcess:
    return next(control for control in cluster.controls if control is not active)


def headers(client: AkelaClient) -> dict[str, str]:
    return dict(client._headers)


def test_a_standby_serves_reads_and_sends_writes_to_the_active(cluster: Cluster, client: AkelaClient) -> None:
    active = cluster.active(client)
    standby = cluster.api(other(cluster, active))
    body = {"id": "acme", "name": "Acme"}
    sent = httpx.post(f"{standby}/api/v1/tenants?x=1", json=body, headers=headers(client))
    assert sent.status_code == 422  # the query is checked first, here as there
    sent = httpx.post(f"{standby}/api/v1/tenants", json=body, headers=headers(client))
    assert (sent.status_code, sent.headers["location"]) == (307, f"{cluster.api(active)}/api/v1/tenants")
    followed = httpx.post(sent.headers["location"], json=body, headers=headers(client))
    assert followed.status_code == 201
    read = httpx.get(f"{standby}/api/v1/tenants/acme", headers=headers(client))
    assert (read.status_code, read.json()["name"]) == (200, "Acme")
    through = AkelaClient(standby, headers(client)["Authorization"].removeprefix("Bearer "))
    assert through.patch("/tenants/acme", {"name": "Acme Inc"})["name"] == "Acme Inc"
    through.delete("/tenants/acme")
    assert httpx.get(f"{standby}/api/v1/tenants/acme", headers=headers(client)).status_code == 404


def test_one_signs_in_at_a_standby(cluster: Cluster, client: AkelaClient) -> None:
    standby = AkelaClient(cluster.api(other(cluster, cluster.active(client))))
    standby.login("admin", PASSWORD)
    assert standby.get("/me")["user"] == "admin"


def test_a_frozen_active_writes_nothing_when_it_wakes(cluster: Cluster, client: AkelaClient) -> None:
    """It stands still for longer than its session; when it goes on, it is a standby."""
    active = cluster.active(client)
    standby = other(cluster, active)
    active.signal(signal.SIGSTOP)
    try:
        through = AkelaClient(cluster.api(standby), headers(client)["Authorization"].removeprefix("Bearer "))
        until(lambda: writes(through, "while-frozen"), standby.said)
        seq = through.get("/changes")["head"]
    finally:
        active.signal(signal.SIGCONT)
    answers = [
        httpx.post(f"{cluster.api(active)}/api/v1/tenants", json={"id": f"t{n}", "name": "x"}, headers=headers(client), timeout=60)
        for n in range(3)
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} <= {307, 503}
    assert through.get("/changes")["head"] == seq
    until(lambda: cluster.active(client) is standby, active.said)


def writes(client: AkelaClient, name: str) -> bool:
    try:
        client.create("/applications", {"name": name})
    except Exception:  # noqa: BLE001  nobody is active yet
        return False
    return True


def test_a_write_under_an_old_epoch_is_refused_by_the_database(cluster: Cluster, client: AkelaClient) -> None:
    model.connect(cluster.database.uri, "akela")
    try:
        before = changelog.head_seq()
        old = changelog.ChangeLog(0)
        with pytest.raises(changelog.FencedError):
            old.write(changelog.Draft("tenant", "delete", "default", None, 1, "nobody", "nowhere"))
        assert changelog.head_seq() == before
        assert [change["n"] for change in history.read(before, 10)] == []
    finally:
        model.disconnect()


def test_k73_the_second_is_active_when_the_first_is_closed(cluster: Cluster, client: AkelaClient) -> None:
    first = cluster.active(client)
    second = other(cluster, first)
    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    assert cluster.active(client) is second
    assert writes(client, "after-closing")
    first.start()
    first.until_ready()
    assert cluster.active(client) is second  # who comes later waits


def test_a_group_changed_just_before_the_active_dies_reaches_the_stored_endpoints(
    cluster: Cluster, client: AkelaClient
) -> None:
    app = client.create("/applications", {"name": "groups"})["id"]
    root = f"/applications/{app}"
    client.post(f"{root}/endpoint-batches", {"items": [{"id": f"e{n}"} for n in range(1000)]})
    active = cluster.active(client)
    standby = other(cluster, active)
    client.create(f"{root}/groups", {"name": "low", "weight": 1, "filter": 'ep < "e5"'})
    active.kill()
    try:
        through = AkelaClient(cluster.api(standby), headers(client)["Authorization"].removeprefix("Bearer "))
        until(lambda: through.get(f"{root}/groups/low/evaluation")["state"] == "done", standby.said)
        assert through.get(f"{root}/groups/low/evaluation")["matched"] == 1 + 4 * 111
        assert len(list(through.every(f"{root}/endpoints", group="low"))) == 1 + 4 * 111
    finally:
        active.start()


def test_k74_an_operations_server_comes_changes_and_goes_in_what_control_shows(
    cluster: Cluster, client: AkelaClient
) -> None:
    def operations() -> list[str]:
        return [server["id"] for server in client.get("/servers")["items"] if server["role"] == "operations"]

    assert operations() == ["operations-0"]
    (server,) = cluster.operations
    head = client.get("/changes")["head"]
    until(lambda: cluster.position(server) >= head, server.said)
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    until(lambda: operations() == [], lambda: f"{operations()}")
    server.start()
    server.until_ready()
    until(lambda: operations() == ["operations-0"], lambda: f"{operations()}")


def test_k76_a_restart_before_the_old_entry_has_gone_stays_listed(cluster: Cluster, client: AkelaClient) -> None:
    (server,) = cluster.operations

    def entry() -> dict[str, object]:
        found = [row for row in client.get("/servers")["items"] if row["id"] == server.name]
        return found[0] if found else {}

    before = entry()["incarnation"]
    server.kill()  # its session ends only when it has timed out
    server.start()
    server.until_ready()
    until(lambda: entry().get("incarnation", before) != before, lambda: f"{entry()}")
    fresh = entry()["incarnation"]
    gone_s = time.monotonic() + SESSION_S + 1  # by then the removal of the old entry has come
    while time.monotonic() < gone_s:
        assert entry().get("incarnation") == fresh
    head = changelog_head(client)
    client.create("/tenants", {"id": "seen", "name": "seen"})
    until(lambda: cluster.position(server) > head, server.said)


def changelog_head(client: AkelaClient) -> int:
    return int(client.get("/changes")["head"])


def test_k77_an_operations_server_that_failed_to_be_told_is_caught_up(cluster: Cluster, client: AkelaClient) -> None:
    (server,) = cluster.operations
    server.signal(signal.SIGSTOP)
    try:
        for number in range(5):
            client.create("/tenants", {"id": f"k77-{number}", "name": "x"})
        head = changelog_head(client)
    finally:
        server.signal(signal.SIGCONT)
    until(lambda: cluster.position(server) >= head, server.said)


def test_the_announced_address_is_the_public_one(tmp_path: Path) -> None:
    with Cluster(tmp_path, None, controls=1, operations=0, public_host="localhost") as cluster:
        client = cluster.signed_in()
        (row,) = [row for row in client.get("/servers")["items"] if row["role"] == Role.CONTROL]
        assert row["api"] == f"http://localhost:{cluster.controls[0].ports['--api-port']}"
