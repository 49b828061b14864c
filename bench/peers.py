"""The brokers that are compared: each started fresh for a measurement, on a free port, alone on its core where there are two."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_S = 15.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A broker: its name, how to start it, and whether it is one that cannot do the large workloads in a minute."""

    name: str
    command: tuple[str, ...]  # {port} and {config} are filled in
    config: str = ""
    slow: bool = False
    directory: Path | None = None  # where it runs

    @property
    def found(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.command[0], path=f"{os.environ['PATH']}:/usr/sbin") is not None


MOSQUITTO_CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 1000
max_queued_messages 0
log_type error
"""
AMQTT_CONFIG = """listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
PEERS = (
    Peer("akela", (sys.executable, "-m", "bench.engine", "{port}")),
    Peer("mosquitto", ("mosquitto", "-c", "{config}"), MOSQUITTO_CONFIG),
    Peer("amqtt", (str(Path(sys.executable).with_name("amqtt")), "-c", "{config}"), AMQTT_CONFIG, slow=True),
)


def baseline(directory: Path) -> Peer:
    """Another checkout of Akela, to compare a change with what was before it."""
    return Peer("baseline", (sys.executable, "-m", "bench.engine", "{port}"), directory=directory)


@contextlib.contextmanager
def running(peer: Peer) -> Iterator[tuple[int, int]]:
    """Yields (port, process id). Raises: RuntimeError when it does not start."""
    with tempfile.TemporaryDirectory() as directory, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        config = Path(directory) / "config"
        config.write_text(peer.config.replace("{port}", str(port)))
        command = [part.format(port=port, config=config) for part in peer.command]
        log = Path(directory) / "log"
        with log.open("w") as output:
            path = f"{os.environ['PATH']}:/usr/sbin"
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=os.environ | {"PATH": path}, cwd=peer.directory
            )
        pin(0, process.pid)
        try:
            _wait(process, port, log)
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def pin(core: int, pid: int = 0) -> None:
    """Keep a process (0: this one) on one core, so that broker and load do not fight for it."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[core]})


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()}")
