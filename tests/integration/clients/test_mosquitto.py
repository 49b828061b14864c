"""mosquitto_pub, mosquitto_sub and mosquitto_rr: MQTT 3.1, 3.1.1 and 5.0, over TCP and TLS."""

import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.akela_up import Lines
from tests.integration.clients.conftest import LARGE, PASSWORD, USER, Running

WAIT_S = 60.0


class Mosquitto:
    """Their command lines for one version and transport; ids and topics are its own."""

    def __init__(self, running: Running, version: str, transport: str) -> None:
        self.version = version
        self.name = f"mosquitto-{version}-{transport}"
        self._where = ["-V", f"mqttv{version}", "-u", USER, "-p", str(running.ports[transport])]
        if transport == "tls":
            self._where += ["-h", "localhost", "--cafile", str(running.ca)]
        self._open: list[subprocess.Popen[str]] = []
        self._lines: list[Lines] = []

    def run(
        self, command: str, *options: str, password: str = PASSWORD, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        line = [f"mosquitto_{command}", *self._where, "-P", password, *options]
        return subprocess.run(line, capture_output=True, timeout=WAIT_S, input=stdin)

    def pub(self, *options: str, stdin: bytes | None = None) -> None:
        done = self.run("pub", "-i", f"{self.name}-p", *options, stdin=stdin)
        assert done.returncode == 0, done.stderr

    def sub(self, *options: str, ready: str | None = "Subscribed (mid") -> Lines:
        """A running mosquitto_sub, once it is subscribed; its lines are topic and payload."""
        line = ["stdbuf", "-oL", "mosquitto_sub", *self._where, "-P", PASSWORD, "-v", "-d", *options]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._open.append(process)
        lines = Lines(process.stdout)
        self._lines.append(lines)
        if ready is not None:
            lines.until(ready)
        return lines

    def end(self, number: int = -1) -> None:
        """Kill a mosquitto_sub: it says no DISCONNECT."""
        process, lines = self._open.pop(number), self._lines.pop(number)
        process.kill()
        process.wait()
        lines.join()
        assert process.stdout is not None
        process.stdout.close()

    def close(self) -> None:
        while self._open:
            self.end()


@pytest.fixture(params=[("31", "default"), ("311", "default"), ("5", "default"), ("311", "tls"), ("5", "tls")], ids=str)
def mosquitto(running: Running, request: pytest.FixtureRequest) -> Iterator[Mosquitto]:
    client = Mosquitto(running, *request.param)
    yield client
    client.close()


def test_a_wrong_password_is_refused(mosquitto: Mosquitto) -> None:
    done = mosquitto.run("pub", "-t", "t", "-m", "x", password="wrong")
    assert done.returncode == (135 if mosquitto.version == "5" else 5)
    assert b"not authori" in (done.stderr + done.stdout).lower()


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_both_ways_at_each_qos(mosquitto: Mosquitto, qos: str) -> None:
    topic = f"{mosquitto.name}/qos{qos}"
    heard = mosquitto.sub("-t", topic, "-q", qos)
    mosquitto.pub("-t", topic, "-q", qos, "-m", "one")
    mosquitto.pub("-t", topic, "-q", qos, "-m", "two")
    received = heard.until("received PUBLISH")
    assert f"q{qos}, r0" in received
    assert [heard.until(topic + " ") for _ in range(2)] == [f"{topic} one", f"{topic} two"]


def test_retained(mosquitto: Mosquitto) -> None:
    topic = f"{mosquitto.name}/retained"
    mosquitto.pub("-t", topic, "-q", "1", "-r", "-m", "kept")
    heard = mosquitto.sub("-t", f"{mosquitto.name}/#", ready=None)
    assert "r1" in heard.until("received PUBLISH")
    assert heard.until(topic + " ") == f"{topic} kept"
    mosquitto.pub("-t", topic, "-r", "-n")
    done = mosquitto.run("sub", "-t", topic, "-W", "1")
    assert done.stdout == b""


def test_a_will_is_published_for_who_is_killed(mosquitto: Mosquitto) -> None:
    topic = f"{mosquitto.name}/will"
    heard = mosquitto.sub("-t", topic, "-q", "1")
    will = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", "1"]
    mosquitto.sub("-t", "nothing", "-i", f"{mosquitto.name}-w", *will)
    mosquitto.end()
    assert heard.until(topic + " ") == f"{topic} gone"


def test_a_session_is_taken_up_again(mosquitto: Mosquitto) -> None:
    topic = f"{mosquitto.name}/session"
    kept: list[str] = ["-i", f"{mosquitto.name}-s", "-c", "-q", "1", "-t", topic]
    kept += ["-x", "300"] if mosquitto.version == "5" else []
    mosquitto.sub(*kept)
    mosquitto.end()
    for number in range(3):
        mosquitto.pub("-t", topic, "-q", "1", "-m", str(number))
    back = mosquitto.sub(*kept, ready=None)
    assert [back.until(topic + " ") for _ in range(3)] == [f"{topic} {number}" for number in range(3)]


@pytest.mark.parametrize("qos", ["0", "2"])
def test_a_large_payload(mosquitto: Mosquitto, qos: str) -> None:
    topic = f"{mosquitto.name}/large"
    heard = mosquitto.sub("-t", topic, "-q", qos)
    mosquitto.pub("-t", topic, "-q", qos, "-s", stdin=b"x" * LARGE)
    assert heard.until(topic + " ") == f"{topic} {'x' * LARGE}"


@pytest.fixture
def five(running: Running) -> Iterator[Mosquitto]:
    client = Mosquitto(running, "5", "default")
    yield client
    client.close()


def _said(command: str, *pairs: str) -> Sequence[str]:
    return [part for name, value in zip(pairs[::2], pairs[1::2], strict=True) for part in ("-D", command, name, value)]


def test_properties_of_mqtt_5(five: Mosquitto) -> None:
    topic = f"{five.name}/properties"
    heard = five.sub("-t", topic, "-F", ">%t|%C|%D|%R|%P|%E|%p", *_said("subscribe", "subscription-identifier", "7"))
    properties = (
        "content-type",
        "text/plain",
        "correlation-data",
        "id1",
        "response-topic",
        "answers",
        "message-expiry-interval",
        "60",
    )
    user = ("-D", "publish", "user-property", "k", "v")
    five.pub("-t", topic, "-m", "x", *_said("publish", *properties), *user)
    content, correlation, response, users, expiry, payload = heard.until(">").partition("|")[2].split("|")
    assert (content, correlation, response, payload) == ("text/plain", "id1", "answers", "x")
    assert users == "k:v"
    assert 0 < int(expiry) <= 60


def test_topic_aliases_of_mqtt_5(five: Mosquitto) -> None:
    topic = f"{five.name}/alias"
    heard = five.sub("-t", topic)
    five.pub("-t", topic, "-l", "-q", "1", *_said("publish", "topic-alias", "3"), stdin=b"one\ntwo\nthree\n")
    assert [heard.until(topic + " ") for _ in range(3)] == [f"{topic} {text}" for text in ("one", "two", "three")]


def test_shared_subscriptions_of_mqtt_5(five: Mosquitto) -> None:
    topic = f"{five.name}/shared"
    members: list[Any] = [five.sub("-t", f"$share/group/{topic}", "-q", "1") for _ in range(2)]
    witness = five.sub("-t", topic, "-q", "1")
    for number in range(6):
        five.pub("-t", topic, "-q", "1", "-m", str(number))
    for number in range(6):
        assert witness.until(topic + " ") == f"{topic} {number}"
    heard = [[lines.until(topic + " ") for _ in range(3)] for lines in members]
    assert sorted(heard[0] + heard[1]) == [f"{topic} {number}" for number in range(6)]


def test_request_and_response_of_mqtt_5(five: Mosquitto) -> None:
    topic, answer = f"{five.name}/ask", f"{five.name}/answer"
    server = five.sub("-t", topic, "-F", ">%R %D %p")
    asking = subprocess.Popen(
        ["mosquitto_rr", *five._where, "-P", PASSWORD, "-t", topic, "-e", answer, "-m", "how?", "-W", "10",
         "-D", "publish", "correlation-data", "c1"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert server.until(">") == f">{answer} c1 how?"
    five.pub("-t", answer, "-m", "so", *_said("publish", "correlation-data", "c1"))
    assert asking.communicate(timeout=WAIT_S)[0] == "so\n"
