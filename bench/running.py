"""A broker as a process: fresh for each measurement, on a free port, alone on its core where there are two; and its gates, tried."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import wire
from bench.certificate import make_certificate
from bench.errors import NotStarted
from bench.peers.install import PATH
from bench.peers.peer import Peer, Place
from bench.peers.ports import free_port
from bench.resources import cores

START_S: Final = 20.0
REFUSAL_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Running:
    """A broker that serves."""

    port: int
    pid: int
    certificate: Path | None


@contextlib.contextmanager
def running(peer: Peer, *, tls: bool = False) -> Iterator[Running]:
    """Start it, and kill it in the end. Its files are in memory where that is possible. Raises: NotStarted."""
    with tempfile.TemporaryDirectory(dir=_memory()) as name:
        directory = Path(name)
        certificate, key = make_certificate(directory) if tls else (None, None)
        place = Place(free_port(), directory, certificate, key)
        command = peer.command(place)
        log = directory / "log"
        process = _started(command.words, command.environment, command.directory or directory, log)
        try:
            _wait(peer, process, place.port, log)
            yield Running(place.port, process.pid, certificate)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _memory() -> Path | None:
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and os.access(shared, os.W_OK) else None


def _started(
    words: tuple[str, ...], environment: Mapping[str, str], directory: Path, log: Path
) -> subprocess.Popen[bytes]:
    """On its core from its first instruction: a runtime counts the cores when it starts."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores()[0])
    try:
        with log.open("w") as output:
            return subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=directory,
                env={**os.environ, "PATH": PATH, **environment},
            )  # fmt: skip
    finally:
        os.sched_setaffinity(0, mine)


def _wait(peer: Peer, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip(" │╰─╯^")][-2:]
    raise NotStarted(f"{peer.name} did not start; it said: {' / '.join(said) or 'nothing'}")


def open_gates(peer: Peer) -> list[str]:
    """Which gates of a peer let through what they should refuse: "authentication", "acl". Raises: NotStarted."""
    with running(peer) as broker:
        out = []
        if _answers(broker.port, wire.connect("stranger", password="wrong"), b"\x20\x02\x00\x00"):
            out.append("authentication")
        hello = wire.connect("friend")
        if not _answers(broker.port, hello, b"\x20\x02\x00\x00"):
            raise NotStarted(f"{peer.name} refuses the bench's own user")
        # Some refuse the subscription, some the message, some end the connection: what counts is whether it comes back.
        message = wire.publish("elsewhere/x", b"should not come", 0)
        if _answers(broker.port, hello + wire.subscribe(["elsewhere/#"], 0) + message, message):
            out.append("acl")
        return out


def _answers(port: int, said: bytes, wanted: bytes) -> bool:
    """Whether `wanted` comes back within `REFUSAL_S`, which is how long a refusal by silence takes."""
    answer = b""
    deadline = time.monotonic() + REFUSAL_S
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), REFUSAL_S) as connection:
        connection.sendall(said)
        while wanted not in answer and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            data = connection.recv(65536)
            if not data:
                break
            answer += data
    return wanted in answer
