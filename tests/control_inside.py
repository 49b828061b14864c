"""The Control API inside the test's process, on a real database: where a test must see what goes to the database."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from starlette.testclient import TestClient

from akela.documents import model
from akela.documents.changelog import ChangeLog
from control.api import api
from control.core import Core
from control.resources.signin import first_user
from tests.database import Database
from tests.rest import sign_in

PASSWORD = "the first password"


def core(epoch: int = 1, *, rate_per_s: float = 0, burst: int = 1) -> Core:
    """An active Control server's core over the connected database."""
    made = Core(cursor_key=b"key of the test", rate_per_s=rate_per_s, burst=burst)
    made.log = ChangeLog(epoch)
    made.log.resume()
    made.leading = lambda: True
    return made


def client(over: Core, token: str | None = None) -> TestClient:
    """A client of its API; a failure inside is answered, not raised."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return TestClient(api(over), base_url="http://control/api/v1", headers=headers, raise_server_exceptions=False)


@contextmanager
def connected(directory: Path) -> Iterator[Database]:
    """A database of its own, connected and with its indexes."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with Database(directory) as database:
        model.connect(database.uri, "akela")
        try:
            model.ensure_indexes()
            yield database
        finally:
            model.disconnect()


def first_admin(over: Core) -> httpx.Client:
    """The first user, signed in."""
    first_user(over, "admin", PASSWORD)
    with client(over) as anonymous:
        return client(over, sign_in(anonymous, "admin", PASSWORD))
