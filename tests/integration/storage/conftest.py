"""An empty database for each test: the embedded one always, a real MongoDB too where AKELA_TEST_MONGODB_URL names it."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pymongo
import pytest

from akela.documents import model
from akela.documents.store import OperationsStore
from tests.database import Database

REAL = os.environ.get("AKELA_TEST_MONGODB_URL")


@pytest.fixture(params=["embedded", *(["mongodb"] if REAL else [])])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the database is."""
    if request.param == "mongodb":
        assert REAL
        yield REAL
    else:
        with Database(tmp_path / "data") as database:
            yield database.uri


@pytest.fixture
def name(uri: str) -> Iterator[str]:
    """The connected documents' database."""
    made = f"test_{secrets.token_hex(4)}"
    model.connect(uri, made)
    model.ensure_indexes()
    yield made
    if uri == REAL:
        pymongo.MongoClient(uri).drop_database(made)
    model.disconnect()


@pytest.fixture
async def store(uri: str, name: str) -> AsyncIterator[OperationsStore]:
    """The Operations servers' side."""
    connected = OperationsStore()
    connected.connect(uri, name)
    yield connected
    await connected.close()
