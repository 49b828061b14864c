"""Endpoints that register for the first time: quotas of claim secrets over several servers, and endpoints that were deleted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from akela.contract.topics import endpoint_id
from akela.documents import model
from akela.documents.changelog import ChangeLog, Draft
from akela.documents.model import ClaimCount
from akela.documents.store import OperationsStore
from operations.catalog import Application
from operations.identity import Admitted, admit_endpoint, digest
from operations.registering import DEPARTED, OVER_QUOTA, Newcomer, Registrar
from tests.database import Database

APP, CLAIM = "fleet222", b"akc_claim"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "data") as started:
        model.connect(started.uri, "akela")
        try:
            model.ensure_indexes()
            yield started
        finally:
            model.disconnect()


@pytest.fixture
async def stores(database: Database) -> AsyncIterator[list[OperationsStore]]:
    """Those of two servers."""
    made = [OperationsStore(), OperationsStore()]
    for store in made:
        store.connect(database.uri, "akela")
    yield made
    for store in made:
        await store.close()


def newcomer(ep: str, quota: int | None = None) -> Newcomer:
    quotas = {} if quota is None else {"c1": quota}
    application = Application(APP, "t", "open", {"c1": digest(CLAIM)}, "values", claim_quotas=quotas)
    verdict = admit_endpoint(application, endpoint_id(ep), CLAIM, None, NOW)
    assert isinstance(verdict, Admitted)
    return Newcomer.of(application, verdict)


async def registered(registrar: Registrar, ep: str, quota: int | None = None) -> str | None:
    return await registrar.register(f"{APP}/{ep}", newcomer(ep, quota))


def names() -> list[str]:
    return [document["ep"] for document in model.query("endpoint", {"app": APP}, sort="ep")]


def counted() -> int:
    found = ClaimCount.collection().find_one({"_id": f"{APP}/c1"})
    return 0 if found is None else int(found["used"])


def log() -> ChangeLog:
    made = ChangeLog(1)
    made.resume()
    return made


def draft(op: str, ep: str, before: int | None) -> Draft:
    content = {
        "_id": f"{APP}/{ep}", "app": APP, "ep": ep, "tenant": "t", "registered_at": NOW, "how": "provisioned", "credentials": [],
        "format": 1,
    }  # fmt: skip
    after = content if op == "put" else None
    return Draft("endpoint", op, f"{APP}/{ep}", after, before, "admin", "test", "t", APP)  # type: ignore[arg-type]


async def test_several_servers_together_never_exceed_a_quota(stores: list[OperationsStore]) -> None:
    servers = [Registrar(store) for store in stores]
    verdicts = await asyncio.gather(*(registered(servers[n % 2], f"e{n:02}", quota=17) for n in range(40)))
    assert sorted(verdicts, key=str) == [None] * 17 + [OVER_QUOTA] * 23
    assert len(names()) == 17
    assert counted() == 17
    assert names() == sorted(f"e{n:02}" for n, verdict in enumerate(verdicts) if verdict is None)


async def test_one_endpoint_at_two_servers_counts_once(stores: list[OperationsStore]) -> None:  # K50
    servers = [Registrar(store) for store in stores]
    assert await asyncio.gather(*(registered(server, "e1", quota=5) for server in servers)) == [None, None]
    assert (names(), counted()) == (["e1"], 1)


async def test_without_a_quota_registrations_are_counted(stores: list[OperationsStore]) -> None:
    registrar = Registrar(stores[0])
    assert await asyncio.gather(*(registered(registrar, f"e{n}") for n in range(3))) == [None] * 3
    assert counted() == 3
    stored = model.find("endpoint", f"{APP}/e1")
    assert stored is not None
    assert (stored["how"], stored["claim"], stored["rev"]) == ("claim", "c1", 0)


async def test_a_deleted_endpoint_stays_out_until_it_is_added_or_readmitted(stores: list[OperationsStore]) -> None:
    registrar, changes = Registrar(stores[0]), log()
    assert await registered(registrar, "e1") is None
    changes.write(draft("delete", "e1", 0))
    assert await registered(registrar, "e1") == DEPARTED
    assert (names(), counted()) == ([], 1)
    rev = changes.write(draft("put", "e1", None))
    assert await registered(registrar, "e1") is None
    assert names() == ["e1"]
    deleted = changes.write(draft("delete", "e1", rev))
    changes.write(Draft("departure", "delete", f"{APP}/e1", None, deleted, "admin", "test", "t", APP))
    assert await registered(registrar, "e1") is None
    assert names() == ["e1"]


async def test_a_deletion_in_the_middle_of_a_registration_wins(stores: list[OperationsStore]) -> None:
    changes = log()

    class Between(OperationsStore):
        """Control deletes the endpoint as soon as it is there, before the server has looked a second time."""

        async def register_endpoints(self, docs):  # type: ignore[no-untyped-def]
            inserted = await super().register_endpoints(docs)
            await asyncio.to_thread(changes.write, draft("delete", "e1", 0))
            await super().register_endpoints(docs)  # as by a third server, which had looked before
            return inserted

    store = Between()
    store._client, store._database = stores[0]._client, stores[0]._database
    assert await registered(Registrar(store), "e1", quota=5) == DEPARTED
    assert (names(), counted()) == ([], 0)


async def test_a_bulk_change_readmits(stores: list[OperationsStore]) -> None:
    registrar, changes = Registrar(stores[0]), log()
    assert await registered(registrar, "e1") is None
    changes.write(draft("delete", "e1", 0))
    rows = [{**draft("put", "e1", None).after, "revoked": False}]  # type: ignore[dict-item]
    changes.write(Draft("endpoint", "many", APP, {"rows": rows}, None, "admin", "test", "t", APP))
    assert names() == ["e1"]
    assert model.find("departure", f"{APP}/e1") is None
