"""Mosquitto, Debian's package."""

from collections.abc import Mapping
from types import MappingProxyType

from bench import wire
from bench.peers.install import apt, find, output_of
from bench.peers.peer import INFLIGHT, QUEUED, Command, Place

CONFIG = f"""listener {{port}} 127.0.0.1
allow_anonymous false
password_file {{directory}}/passwords
acl_file {{directory}}/acl
max_inflight_messages {INFLIGHT}
max_queued_messages {QUEUED}
persistence false
log_type error
user root
"""
ACL = f"user {wire.USER}\ntopic readwrite {wire.TREE}#\n"


class Mosquitto:
    """The broker in C that most people know."""

    name = "mosquitto"
    cannot: Mapping[str, str] = MappingProxyType({})
    slow: str | None = None

    def install(self) -> str | None:
        """Server and mosquitto_passwd are one package."""
        return apt("mosquitto", "mosquitto")

    def version(self) -> str:
        """As it says itself."""
        return output_of(find("mosquitto") or "mosquitto", "-h").partition("\n")[0].rpartition(" ")[2]

    def command(self, place: Place) -> Command:
        """`mosquitto -c`. It stays the user that it was started as: the files are a throw-away directory's."""
        config = CONFIG.format(port=place.port, directory=place.directory)
        if place.certificate:
            config += f"certfile {place.certificate}\nkeyfile {place.key}\n"
        passwords = place.directory / "passwords"
        output_of("mosquitto_passwd", "-b", "-c", str(passwords), wire.USER, wire.PASSWORD)
        (place.directory / "acl").write_text(ACL)
        (place.directory / "config").write_text(config)
        return Command((find("mosquitto") or "mosquitto", "-c", str(place.directory / "config")))
