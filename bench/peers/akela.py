"""Akela's engine: this checkout, another one, or on another event loop."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import akela
from bench import wire
from bench.peers.install import output_of, pip, pip_version
from bench.peers.peer import INFLIGHT, QUEUED, Command, Place

ENGINE = Path(__file__).resolve().parent.parent / "engine.py"


class Akela:
    """`bench/engine.py` with the `broker` of a checkout."""

    cannot: Mapping[str, str] = MappingProxyType({})
    slow: str | None = None

    def __init__(self, name: str = "akela", directory: Path | None = None, loop: str = "uvloop:new_event_loop") -> None:
        self.name = name
        self._directory = (directory or ENGINE.parent.parent).resolve()
        self._loop = loop

    def install(self) -> str | None:
        """The event loop, if it is not the usual one."""
        package = self._loop.partition(":")[0]
        return None if package == "asyncio" else pip(package, package)

    def version(self) -> str:
        """Akela's, with the commit where there is one."""
        commit = output_of("git", "-C", str(self._directory), "describe", "--always", "--dirty")
        package = self._loop.partition(":")[0]
        loop = "asyncio" if package == "asyncio" else f"{package} {pip_version(package)}"
        return f"{akela.__version__} {commit} on {loop}"

    def command(self, place: Place) -> Command:
        """One process."""
        options = {
            "port": place.port, "user": wire.USER, "password": wire.PASSWORD, "tree": wire.TREE, "inflight": INFLIGHT,
            "queued": QUEUED, "loop": self._loop, "certificate": place.certificate, "key": place.key,
        }  # fmt: skip
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        return Command(
            (sys.executable, "-P", str(ENGINE), *words), {"PYTHONPATH": str(self._directory)}, directory=self._directory
        )
