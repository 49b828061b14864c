"""Debian's ZooKeeper as a plain process on a free port."""

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from kazoo.client import KazooClient

from tests.ports import free_port


class ZooKeeper:
    """One ZooKeeper server; `hosts` is what clients connect to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def hosts(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, or start it again on its data, and wait until it answers."""
        data = self._directory / "zookeeper"
        data.mkdir(parents=True, exist_ok=True)
        config = self._directory / "zoo.cfg"
        config.write_text(
            f"dataDir={data}\nclientPort={self._port}\nclientPortAddress=127.0.0.1\ntickTime=500\nadmin.enableServer=false\n"
        )
        class_path = ":".join(str(jar) for jar in Path("/usr/share/java").glob("*.jar"))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        with (self._directory / "zookeeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["java", "-Xmx128m", "-cp", class_path, main, str(config)], stdout=log, stderr=log
            )
        client = KazooClient(hosts=self.hosts, timeout=10)
        client.start(timeout=30)
        client.stop()
        client.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> "ZooKeeper":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
