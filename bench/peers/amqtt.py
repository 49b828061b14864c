"""amqtt from PyPI: the other broker in Python, with its own plugins for users and topics."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from argon2 import PasswordHasher

from bench import wire
from bench.peers.install import pip, pip_version
from bench.peers.peer import Command, Place

CONFIG = f"""listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{{port}}
    max_connections: 20000
{{tls}}
plugins:
  amqtt.plugins.authentication.FileAuthPlugin:
    password_file: {{directory}}/passwords
  amqtt.plugins.topic_checking.TopicAccessControlListPlugin:
    acl: {{{{ {wire.USER}: ["{wire.TREE}#"] }}}}
    publish_acl: {{{{ {wire.USER}: ["{wire.TREE}#"] }}}}
"""


class Amqtt:
    """The broker whose core ours replaces."""

    name = "amqtt"
    cannot: Mapping[str, str] = MappingProxyType({})
    slow: str | None = (
        "amqtt matches every message against every subscription and takes some 200 clients/s: minutes for so many"
    )

    def install(self) -> str | None:
        """A wheel."""
        return pip("amqtt", "amqtt")

    def version(self) -> str:
        """Of the package."""
        return pip_version("amqtt")

    def command(self, place: Place) -> Command:
        """Its own command."""
        tls = f"    ssl: true\n    certfile: {place.certificate}\n    keyfile: {place.key}" if place.certificate else ""
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # the others' hashes cost next to nothing
        (place.directory / "passwords").write_text(f"{wire.USER}:{cheap.hash(wire.PASSWORD)}\n")
        config = place.directory / "config.yaml"
        config.write_text(CONFIG.format(port=place.port, tls=tls, directory=place.directory))
        return Command((str(Path(sys.executable).with_name("amqtt")), "-c", str(config)))
