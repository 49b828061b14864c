"""A real `akela up` on a directory and ports of its own, and Debian's Mosquitto clients to talk to it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.ports import free_offset

PORTS = (1882, 1883, 1893, 8080, 8083, 8093, 8883, 9101, 9102, 9103, 9111)
WAIT_S = 60.0


class AkelaUp:
    """`akela up --demo --output json`; use it as a context manager. `ready` is what it printed."""

    def __init__(self, directory: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.offset = free_offset(PORTS)
        self._arguments = arguments
        own = {name: value for name, value in os.environ.items() if not name.startswith("AKELA_")}
        self._environment = own | {"XDG_CONFIG_HOME": str(directory.parent / "config"), **(environment or {})}
        self.ready: dict[str, Any] = {}
        self.process: subprocess.Popen[str] | None = None

    def command(self) -> list[str]:
        """The command line."""
        where = ["--data", str(self.directory), "--port-offset", str(self.offset)]
        return [sys.executable, "-m", "akela", "up", "--demo", "--output", "json", *where, *self._arguments]

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment
        )
        self.lines = Lines(self.process.stderr)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "akela up ended: " + "".join(self.lines.seen)
        self.ready = json.loads(line)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; gives its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)

    def akela(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the CLI as the demo's admin."""
        environment = self._environment | {"AKELA_API": self.ready["api"], "AKELA_TOKEN": self.demo["admin_token"]}
        done = subprocess.run(
            [sys.executable, "-m", "akela", *arguments], input=stdin, capture_output=True, text=True, env=environment, timeout=WAIT_S
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def value(self, *arguments: str, stdin: str | None = None) -> Any:
        """What the CLI prints as JSON."""
        return json.loads(self.akela(*arguments, "--output", "json", stdin=stdin).stdout)

    @property
    def demo(self) -> dict[str, Any]:
        """What the demo made."""
        made: dict[str, Any] = self.ready["demo"]
        return made

    @property
    def app(self) -> str:
        """The demo's application token."""
        return str(self.demo["app"])

    def port(self, index: int = 0) -> str:
        """MQTT port of an Operations server."""
        return str(self.ready["operations"][index]).rpartition(":")[2]

    def boot_port(self) -> str:
        """MQTT port of the Bootstrap server."""
        return str(self.ready["bootstrap"][0]).rpartition(":")[2]

    def device(self, endpoint: str, password: str | None = None) -> list[str]:
        """Options of Mosquitto's clients that make them a device."""
        return [
            "-p",
            self.port(),
            "-i",
            endpoint,
            "-u",
            self.app,
            "-P",
            password or self.demo["claim_secret"],
            "-q",
            "1",
        ]

    def operator(self) -> list[str]:
        """Options of Mosquitto's clients that make them an operator."""
        return ["-p", self.port(), "-u", self.demo["operator_user"], "-P", self.demo["operator_token"], "-q", "1"]

    def __enter__(self) -> "AkelaUp":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        if self.process is not None and self.process.stdout is not None and self.process.stderr is not None:
            self.lines.join()
            self.process.stdout.close()
            self.process.stderr.close()


class Lines:
    """Lines of a stream, read in a thread, so that nobody blocks on a full pipe."""

    def __init__(self, stream: Any) -> None:
        self.seen: list[str] = []
        self._queue: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.seen.append(line)
            self._queue.put(line)

    def until(self, text: str) -> str:
        """The next line with `text` in it."""
        while True:
            try:
                line = self._queue.get(timeout=WAIT_S)
            except queue.Empty:
                raise AssertionError(f"no line with {text!r} in: {''.join(self.seen)}") from None
            if text in line:
                return line.rstrip("\n")

    def join(self) -> None:
        """Wait for the end of the stream."""
        self._thread.join(WAIT_S)


class Subscriber:
    """A running mosquitto_sub -v; `until` waits for a message."""

    def __init__(self, options: list[str], *topics: str) -> None:
        wanted = [part for topic in topics for part in ("-t", topic)]
        self._process = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", *options, *wanted, "-v", "-d"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines = Lines(self._process.stdout)

    def __enter__(self) -> "Subscriber":
        self._lines.until("Subscribed (mid")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._lines.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def until(self, topic: str) -> str:
        """Payload of the next message whose topic begins with `topic`."""
        while True:
            line = self._lines.until(topic)
            if line.startswith(topic):
                return line.partition(" ")[2]

    def json(self, topic: str) -> Any:
        """The same as JSON."""
        return json.loads(self.until(topic))


def publish(options: list[str], topic: str, payload: str | bytes) -> subprocess.CompletedProcess[bytes]:
    """mosquitto_pub: returns when the message is acknowledged."""
    data = payload if isinstance(payload, bytes) else payload.encode()
    return subprocess.run(
        ["mosquitto_pub", *options, "-t", topic, "-s"], input=data, capture_output=True, timeout=WAIT_S
    )


def request(options: list[str], topic: str, answer: str, payload: str) -> Any:
    """mosquitto_rr: publish, wait for the answer, give it as JSON."""
    done = subprocess.run(
        ["mosquitto_rr", *options, "-t", topic, "-e", answer, "-m", payload, "-W", "10"],
        capture_output=True, text=True, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def started(directory: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[AkelaUp]:
    """For fixtures."""
    with AkelaUp(directory, *arguments, environment=environment) as akela:
        yield akela
