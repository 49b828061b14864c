"""NATS with its MQTT gateway, Debian's package. It keeps every QoS 1 message in JetStream, so it must store; here, in memory files."""

from collections.abc import Mapping

from bench import wire
from bench.peers.install import apt, find, output_of
from bench.peers.peer import INFLIGHT, Command, Place
from bench.peers.ports import free_port

SUBJECTS = wire.TREE.replace("/", ".") + ">"  # MQTT's levels are NATS's tokens
CONFIG = f"""server_name: bench
listen: 127.0.0.1:{{inner}}
jetstream {{{{ store_dir: "{{directory}}/store" }}}}
mqtt {{{{
  listen: 127.0.0.1:{{port}}
  max_ack_pending: {INFLIGHT}
  {{tls}}
}}}}
authorization {{{{
  users: [{{{{
    user: {wire.USER}, password: "{wire.PASSWORD}"
    permissions: {{{{ publish: ["{SUBJECTS}"], subscribe: ["{SUBJECTS}", "$MQTT.sub.>"] }}}}
  }}}}]
}}}}
"""


class Nats:
    """A message system in Go that also speaks MQTT."""

    name = "nats"
    cannot: Mapping[str, str] = {"qos2": "nats-server has no QoS 2 before 2.10; this is Debian's"}
    slow: str | None = None

    def install(self) -> str | None:
        """The server."""
        return apt("nats-server", "nats-server")

    def version(self) -> str:
        """As it says itself."""
        return output_of(find("nats-server") or "nats-server", "--version").rpartition(" ")[2].removeprefix("v")

    def command(self, place: Place) -> Command:
        """The server, its store in the directory that is given (in memory where the machine has /dev/shm)."""
        tls = f'tls {{ cert_file: "{place.certificate}", key_file: "{place.key}" }}' if place.certificate else ""
        config = place.directory / "nats.conf"
        config.write_text(CONFIG.format(port=place.port, inner=free_port(), directory=place.directory, tls=tls))
        return Command((find("nats-server") or "nats-server", "-c", str(config)))
