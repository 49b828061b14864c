"""rumqttd, as the PyPI package iotcore embeds it. It knows users and passwords; it has no topic gate."""

import json
import sys
from collections.abc import Mapping
from importlib import metadata

from bench import wire
from bench.peers.install import pip, pip_version
from bench.peers.peer import INFLIGHT, Command, Place

CONFIG = f"""id = 0
[router]
id = 0
max_connections = 20010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "bench"
listen = "127.0.0.1:{{port}}"
next_connection_delay_ms = 0
{{tls}}[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = {INFLIGHT}
dynamic_filters = true
[v4.1.connections.auth]
{wire.USER} = "{wire.PASSWORD}"
"""
TLS = '[v4.1.tls]\ncertpath = "{certificate}"\nkeypath = "{key}"\n'
# What `iotcore.Broker` starts, without the pipe that ends it with its parent.
RUN = (
    "import json, logging, sys; from iotcore.iotcore import IotCoreBroker; "
    "logging.basicConfig(level=logging.ERROR); logging.getLogger('rumqttd').setLevel(logging.CRITICAL); "
    "IotCoreBroker(**json.loads(sys.argv[1])).run_forever()"
)


class Rumqttd:
    """A broker in Rust."""

    name = "rumqttd"
    cannot: Mapping[str, str] = {"acl": "rumqttd has no topic gate"}
    slow: str | None = None

    def install(self) -> str | None:
        """A wheel."""
        return pip("iotcore", "iotcore")

    def version(self) -> str:
        """iotcore's, and that of the broker in its list of parts."""
        parts = next((file for file in metadata.files("iotcore") or () if file.name.endswith(".cyclonedx.json")), None)
        components = json.loads(parts.read_text())["components"] if parts else []
        inner = next((part["version"] for part in components if part["name"] == "rumqttd"), "of unknown version")
        return f"{inner} in iotcore {pip_version('iotcore')}"

    def command(self, place: Place) -> Command:
        """A Python process whose threads are Rust's."""
        tls = TLS.format(certificate=place.certificate, key=place.key) if place.certificate else ""
        config = place.directory / "rumqttd.toml"
        config.write_text(CONFIG.format(port=place.port, tls=tls))
        return Command((sys.executable, "-c", RUN, json.dumps({"config_path": str(config)})))
