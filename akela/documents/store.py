"""The Operations servers' side of the database: batches in, batches out, through pymongo's asynchronous client.

A database that is away, or full, is a `StoreError`: whoever writes keeps what it has and tries again. Everything else that pymongo
raises concerns the documents of that call, and trying again would not help.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from bson import encode as bson_encode
from pymongo import AsyncMongoClient, UpdateMany, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConnectionFailure, ExecutionTimeout, OperationFailure, WaitQueueTimeoutError

from akela.documents.numbers import PLAIN_NUMBERS
from akela.errors import AkelaError

Document = Mapping[str, Any]

TIMEOUT_MS: Final = 2000  # to find a server, and to connect
SOCKET_TIMEOUT_MS: Final = 20_000
DUPLICATE_KEY: Final = 11000
OUT_OF_DISK_SPACE: Final = 14031
PASSING: Final = (
    "disk is full",
    "disk I/O error",
    "is locked",
    "unable to open",
)  # of SQLite, behind the embedded database


class EndpointUpdate(NamedTuple):
    """Fields of one stored endpoint to be set and to be taken away (dotted names allowed), perhaps under a condition."""

    key: str
    fields: Mapping[str, Any]
    unset: tuple[str, ...] = ()
    newest: str | None = None  # a generation: only where the stored presence is of no newer one
    by: str | None = None  # a server: only where the stored presence is of a connection to it


class StoreError(AkelaError):
    """The database cannot be reached or refuses for now; the same call may succeed later."""


@asynccontextmanager
async def _telling() -> AsyncIterator[None]:
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError) as error:
        raise StoreError(str(error)[:200]) from error
    except OperationFailure as error:
        if error.code == OUT_OF_DISK_SPACE or any(word in str(error) for word in PASSING):
            raise StoreError(str(error)[:200]) from error
        raise


class OperationsStore:
    """What an Operations server reads and writes."""

    def __init__(self) -> None:
        self._client: AsyncMongoClient[dict[str, Any]] | None = None
        self._database: AsyncDatabase[dict[str, Any]] | None = None

    def connect(self, uri: str, database: str) -> None:
        """Use this database; the first call tells whether somebody is there."""
        self._client = AsyncMongoClient(
            uri, tz_aware=True, retryWrites=False, serverSelectionTimeoutMS=TIMEOUT_MS, connectTimeoutMS=TIMEOUT_MS,
            socketTimeoutMS=SOCKET_TIMEOUT_MS, type_registry=PLAIN_NUMBERS,
        )  # fmt: skip
        self._database = self._client[database]

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def load_applications(self) -> Sequence[Document]:
        """All applications. Raises: StoreError."""
        return await self._all("applications", {})

    async def load_schemas(self) -> Sequence[Document]:
        """All schemas, oldest version first. Raises: StoreError."""
        return await self._all("schemas", {})

    async def load_configurations(self) -> Sequence[Document]:
        """All active configuration layers. Raises: StoreError."""
        return await self._all("configurations", {})

    async def load_groups(self) -> Sequence[Document]:
        """All groups. Raises: StoreError."""
        return await self._all("groups", {})

    async def head_seq(self) -> int:
        """The last number of the change log that has been taken; 0 when it is empty. Raises: StoreError."""
        async with _telling():
            head = await self._collection("heads").find_one({"_id": "changes"})
            return 0 if head is None else int(head["seq"])

    async def settled_seq(self) -> int:
        """The last number up to which every change is done or void. Raises: StoreError."""
        head = await self.head_seq()
        async with _telling():
            pending = await self._collection("changes").find_one({"state": "pending"}, sort=[("n", 1)])
            return head if pending is None else min(head, int(pending["_id"]) - 1)

    async def read_changes(self, after_seq: int, limit: int) -> Sequence[Document]:
        """Changes behind `after_seq`, in sequence without a gap, up to the first that is pending. Raises: StoreError."""
        async with _telling():
            cursor = (
                self._collection("changes").find({"n": {"$gt": after_seq}}, {"before": 0}).sort("n", 1).limit(limit)
            )
            found = await cursor.to_list()
        changes: list[Document] = []
        for change in found:
            if change["_id"] != after_seq + len(changes) + 1 or change["state"] == "pending":
                break
            changes.append(change)
        return changes

    async def cut_seq(self) -> int:
        """The last number that the log has been cut up to; 0 when it is whole. Raises: StoreError."""
        async with _telling():
            head = await self._collection("heads").find_one({"_id": "changes"})
            return 0 if head is None else int(head.get("cut", 0))

    async def find_endpoints(self, ids: Sequence[str]) -> Sequence[Document]:
        """The stored endpoints among `ids`. Raises: StoreError."""
        return await self._all("endpoints", {"_id": {"$in": list(ids)}})

    async def find_tokens(self, ids: Sequence[str]) -> Sequence[Document]:
        """The stored API tokens among `ids`. Raises: StoreError."""
        return await self._all("tokens", {"_id": {"$in": list(ids)}})

    async def find_presence(self, ids: Sequence[str]) -> Sequence[Document]:
        """`_id` and `presence` of the stored endpoints among `ids`. Raises: StoreError."""
        async with _telling():
            return await self._collection("endpoints").find({"_id": {"$in": list(ids)}}, {"presence": 1}).to_list()

    async def find_departed(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of `ids` that were deleted and may not register. Raises: StoreError."""
        return frozenset(found["_id"] for found in await self._all("departures", {"_id": {"$in": list(ids)}}))

    async def register_endpoints(self, docs: Sequence[Document]) -> frozenset[str]:
        """Insert endpoints; those that exist stay as they are. Gives the ids of those. Raises: StoreError."""
        return await self._insert("endpoints", docs)

    async def withdraw_endpoints(self, ids: Sequence[str]) -> None:
        """Take back what `register_endpoints` has just inserted, unless Control has changed it since. Raises: StoreError."""
        async with _telling():
            await self._collection("endpoints").delete_many({"_id": {"$in": list(ids)}, "rev": 0})

    async def count_claims(self, app: str, claim: str, wanted: int, quota: int | None) -> int:
        """Count `wanted` registrations with a claim secret, as many as its quota has room for; gives how many. Raises: StoreError.

        Each step is one conditional write, so that several servers together never count more. A negative `wanted` gives back.
        """
        counts, key = self._collection("claim_counts"), f"{app}/{claim}"
        while wanted:
            fits = {"_id": key} if quota is None or wanted < 0 else {"_id": key, "used": {"$lte": quota - wanted}}
            async with _telling():
                if (await counts.update_one(fits, {"$inc": {"used": wanted}})).matched_count:
                    return wanted
                found = await counts.find_one({"_id": key})
            if found is None:
                await self._insert("claim_counts", [{"_id": key, "app": app, "used": 0}])
            elif quota is not None:
                wanted = min(wanted, max(0, quota - int(found["used"])))
        return 0

    async def write_endpoints(self, updates: Sequence[EndpointUpdate | tuple[str, Mapping[str, Any]]]) -> int:
        """Set fields of stored endpoints; those that are no more are passed over. Raises: StoreError.

        Endpoints that get equal values share one statement; the answer is how many it took.
        """
        groups: dict[tuple[bytes, str | None, str | None], tuple[EndpointUpdate, list[str]]] = {}
        for given in updates:
            update = EndpointUpdate(*given)
            content = bson_encode({"set": update.fields, "unset": update.unset})
            groups.setdefault((content, update.newest, update.by), (update, []))[1].append(update.key)
        statements = [_statement(update, keys) for update, keys in groups.values()]
        async with _telling():
            await self._collection("endpoints").bulk_write(statements, ordered=True)
        return len(statements)

    async def ensure_record_indexes(self, app: str, stream: str) -> None:
        """Make a stream's collection ready for queries by endpoint, newest first. Raises: StoreError."""
        async with _telling():
            await self._collection(records_collection(app, stream)).create_index([("ep", 1), ("n", -1)])

    async def load_authorities(self) -> Sequence[Document]:
        """All certificate authorities of endpoints. Raises: StoreError."""
        return await self._all("authorities", {})

    async def insert_records(self, app: str, stream: str, docs: Sequence[Document]) -> None:
        """Insert records; those that are there already (same `_id`) count as inserted. Raises: StoreError."""
        await self._insert(records_collection(app, stream), docs)

    async def _insert(self, collection: str, docs: Sequence[Document]) -> frozenset[str]:
        """Insert; gives the ids of those that are there already."""
        async with _telling():
            try:
                await self._collection(collection).insert_many([dict(doc) for doc in docs], ordered=False)
            except BulkWriteError as error:
                problems = error.details.get("writeErrors", ())
                if not problems or any(problem.get("code") != DUPLICATE_KEY for problem in problems):
                    raise
                return frozenset(str(docs[problem["index"]]["_id"]) for problem in problems)
        return frozenset()

    async def _all(self, collection: str, where: Mapping[str, Any]) -> Sequence[Document]:
        async with _telling():
            return await self._collection(collection).find(dict(where)).to_list()

    def _collection(self, name: str) -> AsyncCollection[dict[str, Any]]:
        if self._database is None:
            raise StoreError("not connected yet")
        return self._database[name]


def _statement(update: EndpointUpdate, keys: Sequence[str]) -> UpdateOne | UpdateMany:
    """One write of equal values to the endpoints `keys`."""
    change: dict[str, Any] = {"$set": update.fields} if update.fields else {}
    if update.unset:
        change["$unset"] = dict.fromkeys(update.unset, "")
    where: dict[str, Any] = {"_id": keys[0] if len(keys) == 1 else {"$in": list(keys)}}
    if update.newest is not None:
        where["$or"] = [{"presence.generation": {"$lte": update.newest}}, {"presence.generation": None}]
    if update.by is not None:
        where["presence.by"] = update.by
    return UpdateOne(where, change) if len(keys) == 1 else UpdateMany(where, change)


def records_collection(app: str, stream: str) -> str:
    """Name of the collection that holds a stream's records.

    The embedded database takes letters, digits and `_`, and does not tell cases apart: every other character is `_` and its hex code.
    """
    plain = "".join(c if c.isdigit() or c.islower() else f"_{ord(c):02x}" for c in stream)
    return f"records_{app}_{plain}"
