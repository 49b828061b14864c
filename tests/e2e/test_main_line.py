"""What the README says, with real processes: a plain MQTT device follows its configuration. On both coordinations."""

import json
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from akela.contract.bootlist import public_from_text, verify
from akela.contract.canonical import config_id
from tests.akela_up import AkelaUp, Subscriber, publish, request, started
from tests.zookeeper import ZooKeeper


@pytest.fixture(scope="module", params=["embedded", "zookeeper"])
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AkelaUp]:
    """An Akela on each coordination."""
    if request.param == "embedded":
        yield request.getfixturevalue("akela")
    else:
        server: ZooKeeper = request.getfixturevalue("zookeeper")
        yield from started(tmp_path_factory.mktemp("up") / "data", environment={"AKELA_ZOOKEEPER": server.hosts})


def test_a_plain_mqtt_device_follows_its_configuration(up: AkelaUp) -> None:
    app, device = up.app, [*up.device("line-1"), "-c"]
    with Subscriber(up.operator(), f"a1/{app}/#") as operator, Subscriber(device, "a1/me/d/#") as line:
        first = line.json("a1/me/d/config")
        assert first["full"]["network"]["retry"] == 5
        assert config_id(first["full"]) == first["id"]

        profile = '{"model": "m1", "firmware": "1.0.0"}'
        assert publish(device, "a1/me/u/profile", profile).returncode == 0
        assert operator.json(f"a1/{app}/line-1/u/profile") == json.loads(profile)
        applied = json.dumps({"id": first["id"], "code": 200})
        assert publish(device, "a1/me/u/config/applied", applied).returncode == 0
        shown = up.value("endpoint", "show", "--app", "demo", "line-1")
        assert (shown["config"]["state"], shown["profile"]["model"]) == ("applied", "m1")

    with Subscriber(up.operator(), f"a1/{app}/#") as operator, Subscriber(device, "a1/me/d/#") as line:
        layer = up.value("config", "set", "--app", "demo", "--endpoint", "line-1", "-", stdin='{"interval": 10}')
        assert layer["data"] == {"interval": 10}
        second = line.json("a1/me/d/config")
        assert (second["base"], second["delta"]) == (first["id"], {"interval": 10})
        assert second["seq"] > first["seq"]
        assert not up.value("endpoint", "show", "--app", "demo", "line-1")["config"]["converged"]
        assert operator.json(f"a1/{app}/line-1/d/config") == second
        publish(device, "a1/me/u/config/applied", json.dumps({"id": second["id"], "code": 200}))
        reported = operator.json(f"a1/{app}/line-1/o/config")
        while reported["state"] != "applied":
            reported = operator.json(f"a1/{app}/line-1/o/config")
        assert reported["id"] == second["id"]
    assert up.value("endpoint", "show", "--app", "demo", "line-1")["config"]["converged"]
    assert "applied" in up.akela("endpoint", "show", "--app", "demo", "line-1").stdout

    reading = {"sensor": "t1", "value": 21.5}
    assert publish(device, "a1/me/u/log/readings", json.dumps(reading)).returncode == 0
    records = up.value("logs", "query", "--app", "demo", "readings", "--endpoint", "line-1")["items"]
    assert [(record["endpoint"], record["body"]) for record in records] == [("line-1", reading)]


def test_an_operator_sees_every_step(up: AkelaUp) -> None:
    app = up.app
    with Subscriber(up.operator(), f"a1/{app}/watched/#") as operator:
        publish(up.device("watched"), "a1/me/u/value/temperature", "21.5")
        assert operator.json(f"a1/{app}/watched/o/attached")["via"] == "claim"
        assert operator.json(f"a1/{app}/watched/u/value/temperature") == 21.5
        assert operator.json(f"a1/{app}/watched/o/detached")["cause"] == "client"
    records = up.value("logs", "query", "--app", "demo", "values", "--endpoint", "watched")["items"]
    assert records[0]["body"] == {"name": "temperature", "value": 21.5}


def test_a_platform_admin_sees_the_server_s_own_topics_and_metrics(up: AkelaUp) -> None:
    admin = ["-p", up.port(), "-u", up.demo["operator_user"], "-P", up.demo["admin_token"]]
    with Subscriber(admin, "$SYS/broker/clients/connected") as watching:
        counts = iter(lambda: int(watching.until("$SYS/broker/clients/connected")), None)
        assert any(count >= 1 for count in counts)  # the first is retained from before this client came
    refused = subprocess.run(
        ["mosquitto_sub", *up.operator(), "-t", "$SYS/#", "-E", "-d"], capture_output=True, text=True, timeout=60
    )
    assert "Subscribed (mid: 1): 128" in refused.stdout
    metrics = httpx.get(f"http://127.0.0.1:{9101 + up.offset}/metrics").text
    assert "akela_mqtt_packets_received_total" in metrics


def test_an_endpoint_gets_a_credential_of_its_own_and_uses_it(up: AkelaUp) -> None:
    with Subscriber(up.operator(), f"a1/{up.app}/own-1/#") as operator:
        shown = request(up.device("own-1"), "a1/me/u/reg/r1", "a1/me/d/re/r1/201", "")
        assert set(operator.json(f"a1/{up.app}/own-1/o/registered")) == {"credential"}
    own = up.device("own-1", shown["credential"])
    assert publish(own, "a1/me/u/value/x", "1").returncode == 0
    with Subscriber(up.operator(), f"a1/{up.app}/own-1/#") as operator:
        with_claim = publish(up.device("own-1"), "a1/me/u/value/x", "2")
        assert with_claim.returncode != 0
        assert "credential of its own" in operator.json(f"a1/{up.app}/own-1/o/refused")["reason"]
    assert [c["kind"] for c in up.value("endpoint", "show", "--app", "demo", "own-1")["credentials"]] == ["token"]


def test_the_bootstrap_list_verifies(up: AkelaUp) -> None:
    done = subprocess.run(
        ["mosquitto_sub", "-p", up.boot_port(), "-t", "a1/boot", "-C", "1", "-W", "10"], capture_output=True, timeout=60
    )
    kid, key = public_from_text(up.value("cluster", "keys")["items"][0])
    listed = verify(done.stdout.strip(), {kid: key}, now_s=time.time())
    assert [f"{server.host}:{server.port}" for server in listed.servers] == up.ready["operations"]
    fresh = subprocess.run(
        ["mosquitto_rr", "-p", up.boot_port(), "-t", "a1/boot/n1", "-e", "a1/boot/n1/re", "-m", "", "-W", "10"],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert verify(fresh.stdout.strip(), {kid: key}, now_s=None, nonce="n1").servers == listed.servers


def test_a_device_on_the_endpoint_library(up: AkelaUp) -> None:
    state = str(up.directory / "device-state.json")
    arguments = (
        "device",
        "run",
        "--demo",
        "--data",
        str(up.directory),
        "--endpoint",
        "lib-1",
        "--state",
        state,
        "--output",
        "json",
    )
    done = up.akela(*arguments, "--interval", "0.05", "--count", "3")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "connected"
    assert {"registered", "configuration applied"} <= set(kinds)
    assert kinds.count("reading acknowledged") == 3
    assert len(up.value("logs", "query", "--app", "demo", "readings", "--endpoint", "lib-1")["items"]) == 3
    again = [
        json.loads(line) for line in up.akela(*arguments, "--interval", "0.05", "--count", "1").stdout.splitlines()
    ]
    assert not {"registered", "configuration applied"} & {event["event"] for event in again}  # it holds both
    shown = up.value("endpoint", "show", "--app", "demo", "lib-1")
    assert (shown["config"]["converged"], shown["profile"]["model"], shown["credentials"][0]["used"]) == (
        True,
        "akela device",
        True,
    )


def test_people_without_mosquitto_publish_and_subscribe(up: AkelaUp) -> None:
    demo = ("--demo", "--data", str(up.directory), "--endpoint", "hand-1")
    up.akela("device", "pub", *demo, "a1/me/u/value/level", "7")
    got = up.akela("device", "sub", *demo, "-v", "--count", "1", "a1/me/d/#")
    assert got.stdout.startswith('a1/me/d/config {"id":')
    refused = up.akela("device", "pub", *demo, "a1/me/u/log/readings", "{}", check=False)
    assert refused.returncode == 1
    assert "422" in refused.stderr
