"""Fixtures of the whole suite: one Akela on embedded parts, one ZooKeeper, shared by all tests that do not break them."""

from collections.abc import Iterator

import pytest

from tests.akela_up import AkelaUp, started
from tests.zookeeper import ZooKeeper


@pytest.fixture(scope="session")
def akela(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AkelaUp]:
    """A running `akela up --demo`."""
    yield from started(tmp_path_factory.mktemp("akela") / "data")


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """A running ZooKeeper."""
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server
