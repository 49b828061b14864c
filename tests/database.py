"""The embedded database as a process of its own, as the supervisor starts it."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from akela.paths import DataDirectory


class Database:
    """Use it as a context manager; `uri` is where it listens."""

    def __init__(self, directory: Path) -> None:
        self.directory = DataDirectory(directory)
        self.uri = f"mongodb://{quote(str(self.directory.database_socket), safe='')}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.process = subprocess.Popen([sys.executable, "-m", "akela.embedded_database", str(self.directory.path)])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.directory.database_socket))
                return
            assert self.process.poll() is None, "the embedded database ended"
        raise AssertionError("the embedded database takes no connections")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, or kill it."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(20)

    def __enter__(self) -> "Database":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)
