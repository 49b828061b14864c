"""`akela broker trace` against a running `akela broker`."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.command import ADMIN_PORT
from tests.akela_up import Lines
from tests.ports import free_port

CONFIG = """
listeners:
  default:
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
BROKER = [sys.executable, "-m", "akela", "broker"]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """(MQTT port, admin address) of a running broker."""
    port = free_port()
    file = tmp_path / "broker.yaml"
    file.write_text(CONFIG.format(port=port))
    process = subprocess.Popen(
        [*BROKER, "-c", str(file), "--admin-port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = Lines(process.stdout)
    admin = lines.until("admin: listening on").rpartition(" ")[2]
    lines.until("default: listening on")
    yield port, admin
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    lines.join()
    assert process.stdout is not None
    process.stdout.close()


def test_each_packet_is_printed_as_it_comes(running: tuple[int, str]) -> None:
    port, admin = running
    tracing = subprocess.Popen(
        [*BROKER, "trace", "c1", "--server", admin], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    lines = Lines(tracing.stdout)
    lines.until("c1 is not connected; waiting for it")
    subprocess.run(
        ["mosquitto_pub", "-p", str(port), "-i", "c1", "-u", "u", "-P", "hidden", "-q", "2", "-t", "a/b", "-m", "21.5"],
        check=True, timeout=60,
    )  # fmt: skip
    lines.until("closed: client")
    tracing.send_signal(signal.SIGINT)
    assert tracing.wait(10) == 0
    lines.join()
    assert tracing.stdout is not None
    tracing.stdout.close()
    printed = "".join(lines.seen)
    assert "hidden" not in printed
    expected = ("-> CONNECT", "<- CONNACK", "-> PUBLISH topic=a/b qos=2 retain=no packet_id=1 length=4 payload=21.5")
    more = ("<- PUBREC packet_id=1", "-> PUBREL packet_id=1", "<- PUBCOMP packet_id=1", "-> DISCONNECT")
    places = [printed.index(text) for text in expected + more]
    assert places == sorted(places)


def test_it_ends_with_who_reads_it(running: tuple[int, str]) -> None:
    port, admin = running
    tracing = subprocess.Popen(
        [*BROKER, "trace", "c1", "--server", admin], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert tracing.stdout is not None
    assert tracing.stderr is not None
    assert "waiting for it" in tracing.stdout.readline()
    tracing.stdout.close()
    subprocess.run(["mosquitto_pub", "-p", str(port), "-i", "c1", "-t", "t", "-m", "x"], check=True, timeout=60)
    said = tracing.stderr.read()
    assert tracing.wait(10) == 0
    assert "Traceback" not in said
    tracing.stderr.close()


def test_it_ends_by_itself_and_speaks_json(running: tuple[int, str]) -> None:
    done = subprocess.run(
        [*BROKER, "trace", "c1", "--server", running[1], "--duration", "0.2", "--output", "json"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert [json.loads(text)["event"] for text in done.stdout.splitlines()] == ["waiting"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name a CLIENT, or an --address"),
        (("c", "--server", "127.0.0.1:1"), 3, "no server answers at 127.0.0.1:1"),
        (("c", "--server", "not an address"), 3, "not an address"),
        (("c", "--duration", "-1"), 2, "--duration"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], code: int, said: str) -> None:
    done = subprocess.run([*BROKER, "trace", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_without_a_trace_is_named(running: tuple[int, str]) -> None:
    port = running[0]
    done = subprocess.run(
        [*BROKER, "trace", "c", "--server", f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_admin_port_stops_the_start_only_if_it_was_asked_for(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "broker.yaml"
    file.write_text(CONFIG.format(port=port))
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # or somebody else has it: as good
            stack.enter_context(socket.create_server(("127.0.0.1", ADMIN_PORT)))
        process = subprocess.Popen(
            [*BROKER, "-c", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines = Lines(process.stdout)
        lines.until("no admin page")
        lines.until("default: listening on")
        file.write_text(CONFIG.format(port=free_port()))
        done = subprocess.run(
            [*BROKER, "-c", str(file), "--admin-port", str(ADMIN_PORT)], capture_output=True, text=True, timeout=60
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    lines.join()
    assert process.stdout is not None
    process.stdout.close()
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr
