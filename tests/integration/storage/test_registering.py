"""Endpoints that register for the first time: quotas of claim secrets over several servers, and endpoints that were deleted."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from akela.contract.topics import endpoint_id
from akela.credentials import Standing
from akela.documents import model
from akela.documents.changelog import ChangeLog, Draft
from akela.documents.model import ClaimCount
from akela.documents.store import OperationsStore
from control import credentials
from operations.catalog import Application
from operations.endpoint_writer import DROP, EndpointWriter
from operations.identity import Admitted, admit_endpoint, denied, digest
from operations.registering import DEPARTED, OVER_QUOTA, Newcomer, Registrar

APP, CLAIM = "fleet222", b"akc_claim"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def stores(uri: str, name: str, store: OperationsStore) -> AsyncIterator[list[OperationsStore]]:
    """Those of two servers."""
    second = OperationsStore()
    second.connect(uri, name)
    yield [store, second]
    await second.close()


def application(quota: int | None = None) -> Application:
    quotas = {} if quota is None else {"c1": quota}
    return Application(APP, "t", "open", {"c1": digest(CLAIM)}, "values", claim_quotas=quotas)


def newcomer(ep: str, quota: int | None = None) -> Newcomer:
    verdict = admit_endpoint(application(quota), endpoint_id(ep), CLAIM, None, NOW)
    assert isinstance(verdict, Admitted)
    return Newcomer.of(application(quota), verdict)


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


async def test_a_late_note_of_a_use_brings_no_retired_credential_back(stores: list[OperationsStore]) -> None:
    """Operations write fields of their own: what Control takes away at the same moment stays taken away."""
    writer, changes = EndpointWriter(stores[0], "s"), log()
    issued = {"kind": "token", "hash": digest(b"ake_a"), "created": NOW}
    await stores[0].register_endpoints([{**newcomer("e1").document, "issued": {"a1": issued}}])
    stored = model.find("endpoint", f"{APP}/e1")
    assert stored is not None
    own = {name: stored[name] for name in ("_id", "app", "ep", "tenant", "registered_at", "how", "format")}
    writer.note(f"{APP}/e1", {"used.a1": NOW})  # the device has just come with it
    retired = credentials.without(stored, "a1")
    changes.write(Draft("endpoint", "put", f"{APP}/e1", own | retired, 0, "admin", "test", "t", APP))
    writer.note(f"{APP}/e1", {"issued.a1": issued})  # and this server is still writing that it issued it
    await writer.close(5)
    after = model.find("endpoint", f"{APP}/e1")
    assert after is not None
    assert set(after["used"]) == set(after["issued"]) == {"a1"}
    assert Standing.of(after).valid == ()
    assert admit_endpoint(application(), endpoint_id("e1"), b"ake_a", after, NOW) == denied("wrong password")


async def test_writing_behind_makes_no_endpoint_that_is_not_there(stores: list[OperationsStore]) -> None:
    writer, changes = EndpointWriter(stores[0], "s"), log()
    assert await registered(Registrar(stores[0]), "e1") is None
    changes.write(draft("delete", "e1", 0))
    writer.note(f"{APP}/e1", {"profile": {"n": 1}})
    writer.present(f"{APP}/e1", NOW, "s", "1")
    writer.set(f"{APP}/e2", {"profile": {"n": 1}})
    await writer.close(5)
    assert names() == []


async def test_fields_of_a_map_are_taken_away_one_by_one(stores: list[OperationsStore]) -> None:
    writer = EndpointWriter(stores[0], "s")
    await stores[0].register_endpoints([{**newcomer(ep).document, "used": {"a": 1, "b": 2}} for ep in ("e1", "e2")])
    for ep in ("e1", "e2"):
        writer.note(f"{APP}/{ep}", {"used.a": DROP, "used.c": 3})
    await writer.close(5)
    assert [document["used"] for document in model.query("endpoint", {"app": APP}, sort="ep")] == [{"b": 2, "c": 3}] * 2
