"""A broker with a file, in a process of its own that a test may kill: `python -m tests.stored_broker PORT FILE [SETTINGS]`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from broker import Broker, BrokerSettings, Listener
from broker.errors import BrokerError
from tests.akela_up import Lines
from tests.ports import free_port


class StoredBroker:
    """Starts it, kills it, starts it again on the same file and port."""

    def __init__(self, file: Path, **settings: Any) -> None:
        self.file = file
        self.port = free_port()
        self._settings = json.dumps(settings)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Gives the line that it says: `ready`, or why not."""
        command = [sys.executable, "-m", "tests.stored_broker", str(self.port), str(self.file), self._settings]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._lines = Lines(self._process.stdout)
        return self._lines.until("")

    def kill(self) -> None:
        """kill -9."""
        self._end(9)

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._end(15)

    def again(self) -> None:
        """kill -9, and start anew."""
        self.kill()
        assert self.start() == "ready"

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(20)
        self._lines.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


async def main(port: int, file: Path, settings: dict[str, Any]) -> None:
    """Serve until a signal ends the process."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(15, stop.set)
    broker = Broker(BrokerSettings(listeners=(Listener(port=port),), allow_anonymous=True, store=file, **settings))
    try:
        await broker.start()
    except BrokerError as error:
        print(error, flush=True)
        return
    print("ready", flush=True)
    await stop.wait()
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])))
