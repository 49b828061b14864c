"""aedes, a broker for Node.js from npm, with its hooks for users and topics."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench import wire
from bench.peers.install import CACHE, find, npm, output_of
from bench.peers.peer import QUEUED, Command, Place

SERVER = Path(__file__).with_name("aedes_server.mjs")


class Aedes:
    """A broker in JavaScript."""

    name = "aedes"
    cannot: Mapping[str, str] = MappingProxyType({})
    slow: str | None = None

    def install(self) -> str | None:
        """Into the bench's cache; the present version wants Node.js 20."""
        version = output_of("node", "--version").removeprefix("v")
        if find("node") and int(version.partition(".")[0] or 0) < 20:
            return f"aedes needs Node.js 20 or newer; this machine has {version or 'none'}"
        return npm("aedes@1", "aedes")

    def version(self) -> str:
        """Of package and runtime."""
        package = json.loads((CACHE / "node_modules" / "aedes" / "package.json").read_text())
        return f"{package['version']} on Node.js {output_of('node', '--version').removeprefix('v')}"

    def command(self, place: Place) -> Command:
        """Node.js with a small server around aedes."""
        options = {
            "port": place.port, "user": wire.USER, "password": wire.PASSWORD, "tree": wire.TREE, "queue": QUEUED,
            "certificate": str(place.certificate or ""), "key": str(place.key or ""),
            "module": str(CACHE / "node_modules" / "aedes" / "aedes.js"),
        }  # fmt: skip
        return Command(("node", str(SERVER), json.dumps(options)))
