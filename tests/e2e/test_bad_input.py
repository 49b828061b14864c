"""Bad input of every kind: a clear answer each, and nothing lost."""

import json
import socket
import subprocess

import httpx
import pytest

from tests.akela_up import AkelaUp, Subscriber, publish, request


def connect_code(akela: AkelaUp, *options: str) -> int:
    """Return code of mosquitto_pub, which is that of the CONNACK."""
    done = subprocess.run(
        ["mosquitto_pub", "-p", akela.port(), *options, "-t", "a1/me/u/value/x", "-m", "1", "-q", "1"], capture_output=True, timeout=60
    )  # fmt: skip
    return done.returncode


@pytest.mark.parametrize(
    ("endpoint", "app", "password", "code"),
    [
        ("bad-1", "", "wrong", 5),  # wrong password
        ("bad-1", "nosuchap", "", 5),  # unknown application
        ("bad/1", "", "", 2),  # an endpoint id with a slash
        ("x" * 65, "", "", 2),
    ],
)
def test_connect_is_refused_with_a_code(akela: AkelaUp, endpoint: str, app: str, password: str, code: int) -> None:
    secret = password or akela.demo["claim_secret"]
    assert connect_code(akela, "-i", endpoint, "-u", app or akela.app, "-P", secret) == code


def test_operators_see_why_an_endpoint_was_refused(akela: AkelaUp) -> None:
    with Subscriber(akela.operator(), f"a1/{akela.app}/bad-2/o/#") as operator:
        connect_code(akela, "-i", "bad-2", "-u", akela.app, "-P", "wrong")
        assert operator.json(f"a1/{akela.app}/bad-2/o/refused")["reason"] == "wrong password"


@pytest.mark.parametrize(
    "topic", ["#", "a1/#", "a1/me/u/#", "a1/{app}/other/d/#", "a1/+/+/d/#", "$akela/control", "$SYS/#", "a1/me/o/#"]
)
def test_a_foreign_subscription_is_refused_in_the_suback(akela: AkelaUp, topic: str) -> None:
    foreign = topic.replace("{app}", akela.app)
    command = ["mosquitto_sub", *akela.device("bad-3"), "-t", foreign, "-E", "-d"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "Subscribed (mid: 1): 128" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("topic", "payload", "code", "in_reason"),
    [
        ("a1/{app}/other/u/value/x", "1", 403, "another endpoint's"),
        ("$akela/control", "{}", 403, ""),
        ("a1/me/d/config", "{}", 403, "under u/"),
        ("a1/me/u/nosuch", "{}", 404, "u/nosuch"),
        ("a1/me/u/log/nosuch", "{}", 404, "nosuch"),
        ("a1/me/u/log/readings", "this is no JSON", 400, "no JSON"),
        ("a1/me/u/log/readings", '{"sensor": "t1"}', 422, "missing"),
        ("a1/me/u/log/readings", '{"sensor": "t1", "value": "hot"}', 422, "no double"),
        ("a1/me/u/log/readings", "[]", 400, "at least one"),
        ("a1/me/u/log/readings", "[" * 100 + "]" * 100, 400, "nested"),
        ("a1/me/u/profile", '{"colour": "red"}', 422, "unknown field"),
        ("a1/me/u/config/applied", '{"id": "0123456789abcdef", "code": 200}', 409, "not the assigned one"),
        ("a1/me/u/config/applied", '{"id": 1}', 400, "no str"),
        ("a1/me/u/hello", '{"fmt": "xml"}', 400, "json or avro"),
    ],
)  # fmt: skip
def test_a_bad_publish_is_answered_and_costs_nobody_else(
    akela: AkelaUp, topic: str, payload: str, code: int, in_reason: str
) -> None:
    device = akela.device("bad-4")
    answer = request(device, topic.replace("{app}", akela.app), f"a1/me/d/err/{code}", payload)
    assert in_reason in answer["reason"]
    assert len(json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()) <= 200
    assert publish(device, "a1/me/u/value/still", "1").returncode == 0


def test_of_an_array_the_good_records_are_stored(akela: AkelaUp) -> None:
    good, bad = {"sensor": "t9", "value": 1.5}, {"sensor": 7, "value": 1.5}
    answer = request(
        akela.device("bad-5"), "a1/me/u/log/readings/r1", "a1/me/d/re/r1/422", json.dumps([good, bad, good])
    )
    assert (answer["stored"], answer["refused"]) == (2, [{"index": 1, "path": "/sensor", "reason": "7 is no string"}])
    assert len(akela.value("logs", "query", "--app", "demo", "readings", "--endpoint", "bad-5")["items"]) == 2


def test_what_no_database_keeps_is_refused_and_its_neighbours_are_stored(akela: AkelaUp) -> None:
    device = akela.device("bad-6")
    huge = '{"sensor": "t1", "value": 1.5, "seq": 99999999999999999999}'
    assert "64 bits" in request(device, "a1/me/u/log/readings", "a1/me/d/err/400", huge)["reason"]
    assert request(device, "a1/me/u/log/readings", "a1/me/d/err/400", '{"sensor": "\\ud800", "value": 1.5}')
    assert publish(device, "a1/me/u/log/readings", '{"sensor": "t1", "value": 2.5}').returncode == 0
    assert len(akela.value("logs", "query", "--app", "demo", "readings", "--endpoint", "bad-6")["items"]) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x10\xff\xff\xff\x7f",
        b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x3c\x00\x00",
    ],
)
def test_garbage_on_the_mqtt_port_closes_its_own_connection_only(akela: AkelaUp, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(akela.port())), 10) as client:
        client.sendall(garbage)
        client.settimeout(10)
        while client.recv(1024):
            pass
    assert publish(akela.device("bad-7"), "a1/me/u/value/x", "1").returncode == 0


def rest(akela: AkelaUp, method: str, path: str, **body: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {akela.demo['admin_token']}", "If-Match": "*"}
    return httpx.request(method, f"{akela.ready['api']}/api/v1{path}", headers=headers, timeout=60, **body)  # type: ignore[arg-type]


def test_a_configuration_that_breaks_its_schema_names_the_field(akela: AkelaUp) -> None:
    path = f"/applications/{akela.app}/configurations/all/-"
    body = {"data": {"network": {"retry": "often"}, "colour": 1}}
    answer = rest(akela, "PUT", path, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {error["path"] for error in answer.json()["errors"]} == {"/network/retry", "/colour"}
    said = akela.akela("config", "set", "--app", "demo", "-", stdin='{"network": {"retry": "often"}}', check=False)
    assert (said.returncode, "/network/retry" in said.stderr, "Traceback" in said.stderr) == (1, True, False)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ('"nosuchtype"', "/body"),
        ('{"type": "record", "name": "A", "fields": [{"name": "x", "type": "nosuch"}]}', "/body/fields/0/type"),
        (
            '{"type": "record", "name": "A", "fields": [{"name": "x", "type": "int", "default": "y"}]}',
            "/body/x/default",
        ),
        ("{}", "/body"),
        ("12", "/body"),
    ],
)
def test_a_schema_that_is_not_avro_names_the_place(akela: AkelaUp, schema: str, path: str) -> None:
    answer = rest(
        akela, "POST", f"/applications/{akela.app}/schemas", json={"kind": "config", "body": json.loads(schema)}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"].startswith(path)


def test_a_revoked_endpoint_is_disconnected_at_once_and_stays_out(akela: AkelaUp) -> None:
    with (
        Subscriber(akela.operator(), f"a1/{akela.app}/bad-8/o/#") as operator,
        Subscriber(akela.device("bad-8"), "a1/me/d/#"),
    ):
        operator.json(f"a1/{akela.app}/bad-8/o/attached")
        akela.akela("endpoint", "revoke", "--app", "demo", "bad-8")
        assert operator.json(f"a1/{akela.app}/bad-8/o/detached")["cause"] == "host"
        assert operator.json(f"a1/{akela.app}/bad-8/o/refused")["reason"] == "the endpoint is revoked"
    akela.akela("endpoint", "restore", "--app", "demo", "bad-8")
    assert publish(akela.device("bad-8"), "a1/me/u/value/x", "1").returncode == 0


def test_an_operator_reaches_its_own_tenant_and_publishes_nothing(akela: AkelaUp) -> None:
    assert publish(akela.operator(), f"a1/{akela.app}/x/u/value/x", "1").returncode == 0  # acknowledged, and refused
    akela.akela("tenant", "create", "other-co")
    akela.akela(
        "user",
        "create",
        "olga",
        "--tenant",
        "other-co",
        "--role",
        "tenant-admin",
        "--password-stdin",
        stdin="long enough\n",
    )
    answer = httpx.post(
        f"{akela.ready['api']}/api/v1/login", json={"user": "other-co/olga", "password": "long enough"}, timeout=60
    ).json()
    foreign = ["-p", akela.port(), "-u", "olga", "-P", answer["token"], "-t", f"a1/{akela.app}/#", "-E", "-d"]
    done = subprocess.run(["mosquitto_sub", *foreign], capture_output=True, text=True, timeout=60)
    assert "Subscribed (mid: 1): 128" in done.stdout + done.stderr
    assert httpx.get(
        f"{akela.ready['api']}/api/v1/applications/{akela.app}", headers={"Authorization": f"Bearer {answer['token']}"}, timeout=60
    ).status_code == 404  # fmt: skip
