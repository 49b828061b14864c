"""Debian's ZooKeeper as plain processes on free ports: one server, or an ensemble."""

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from kazoo.client import KazooClient

from tests.ports import free_port


class ZooKeeper:
    """One ZooKeeper server; `hosts` is what clients connect to. `ensemble`: the lines of zoo.cfg that name all servers."""

    def __init__(self, directory: Path, *, number: int = 0, ensemble: str = "") -> None:
        self._directory = directory
        self._port = free_port()
        self._number = number
        self._ensemble = ensemble
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def hosts(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, or start it again on its data, and wait until it answers."""
        self.launch()
        self.until_serving()

    def launch(self) -> None:
        """Start the process."""
        data = self._directory / "zookeeper"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(f"{self._number}\n")
        config = self._directory / "zoo.cfg"
        config.write_text(
            f"dataDir={data}\nclientPort={self._port}\nclientPortAddress=127.0.0.1\ntickTime=500\nadmin.enableServer=false\n{self._ensemble}"
        )
        class_path = ":".join(str(jar) for jar in Path("/usr/share/java").glob("*.jar"))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        with (self._directory / "zookeeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["java", "-Xmx128m", "-cp", class_path, main, str(config)], stdout=log, stderr=log
            )

    def until_serving(self) -> None:
        """Return when it answers."""
        client = KazooClient(hosts=self.hosts, timeout=10)
        client.start(timeout=60)
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


class Ensemble:
    """Three ZooKeeper servers that agree."""

    def __init__(self, directory: Path) -> None:
        lines = [f"server.{number}=127.0.0.1:{free_port()}:{free_port()}" for number in (1, 2, 3)]
        said = "\n".join(["initLimit=20", "syncLimit=10", *lines, ""])
        self.servers = [ZooKeeper(directory / f"server-{number}", number=number, ensemble=said) for number in (1, 2, 3)]

    @property
    def hosts(self) -> str:
        """host:port of all of them."""
        return ",".join(server.hosts for server in self.servers)

    def __enter__(self) -> "Ensemble":
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.until_serving()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.stop()
