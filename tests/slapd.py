"""A directory for tests: Debian's slapd as a plain process on a free port, with two people in it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import ldap
import ldap.modlist

from tests.cluster import until
from tests.ports import free_port

BASE = "dc=tests"
ADMIN = f"cn=admin,{BASE}"
PASSWORD = "the directory's own"
CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
maxsize 16777216
suffix "{base}"
rootdn "{admin}"
rootpw "{password}"
directory {directory}
"""


class Slapd:
    """A running slapd; a context manager. `server` is its address."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        config = directory / "slapd.conf"
        config.write_text(CONFIG.format(base=BASE, admin=ADMIN, password=PASSWORD, directory=directory))
        self.server = f"ldap://127.0.0.1:{free_port()}"
        self._command = ["/usr/sbin/slapd", "-f", str(config), "-h", self.server, "-d", "0"]

    def __enter__(self) -> "Slapd":
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        connection = ldap.initialize(self.server)
        until(lambda: self._answers(connection), lambda: "slapd does not answer")
        entries: list[tuple[str, Mapping[str, list[bytes]]]] = [
            (BASE, {"objectClass": [b"dcObject", b"organization"], "o": [b"tests"], "dc": [b"tests"]})
        ]
        entries += [
            (
                f"uid={name},{BASE}",
                {
                    "objectClass": [b"inetOrgPerson"], "uid": [name.encode()], "cn": [name.encode()], "sn": [b"x"],
                    "userPassword": [f"{name}'s".encode()], "description": [b"up/#"], "street": [b"up/#"], "title": [b"up/heard"],
                },
            )
            for name in ("ann", "bob")
        ]  # fmt: skip
        for name, attributes in entries:
            connection.add_s(name, ldap.modlist.addModlist(attributes))
        connection.unbind_s()
        return self

    def _answers(self, connection: ldap.ldapobject.LDAPObject) -> bool:
        try:
            connection.simple_bind_s(ADMIN, PASSWORD)
        except ldap.SERVER_DOWN:
            assert self.process.poll() is None, "slapd has ended"
            return False
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
