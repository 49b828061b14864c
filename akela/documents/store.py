"""The Operations servers' side of the database: batches in, batches out, through pymongo's asynchronous client.

A database that is away, or full, is a `StoreError`: whoever writes keeps what it has and tries again. Everything else that pymongo
raises concerns the documents of that call, and trying again would not help.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

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

    async def register_endpoints(self, docs: Sequence[Document]) -> None:
        """Insert endpoints; those that exist stay as they are. Raises: StoreError."""
        await self._insert("endpoints", docs)

    async def write_endpoints(self, updates: Sequence[tuple[str, Mapping[str, Any]]]) -> int:
        """Set fields of stored endpoints; those that are no more are passed over. Raises: StoreError.

        Endpoints that get equal values share one statement; the answer is how many it took.
        """
        groups: dict[bytes, tuple[Mapping[str, Any], list[str]]] = {}
        for key, fields in updates:
            groups.setdefault(bson_encode(fields), (fields, []))[1].append(key)
        statements: list[UpdateOne | UpdateMany] = [
            UpdateOne({"_id": keys[0]}, {"$set": fields})
            if len(keys) == 1
            else UpdateMany({"_id": {"$in": keys}}, {"$set": fields})
            for fields, keys in groups.values()
        ]
        async with _telling():
            await self._collection("endpoints").bulk_write(statements, ordered=True)
        return len(statements)

    async def ensure_record_indexes(self, app: str, stream: str) -> None:
        """Make a stream's collection ready for queries by endpoint, newest first. Raises: StoreError."""
        async with _telling():
            await self._collection(records_collection(app, stream)).create_index([("ep", 1), ("n", -1)])

    async def insert_records(self, app: str, stream: str, docs: Sequence[Document]) -> None:
        """Insert records; those that are there already (same `_id`) count as inserted. Raises: StoreError."""
        await self._insert(records_collection(app, stream), docs)

    async def _insert(self, collection: str, docs: Sequence[Document]) -> None:
        async with _telling():
            try:
                await self._collection(collection).insert_many([dict(doc) for doc in docs], ordered=False)
            except BulkWriteError as error:
                problems = error.details.get("writeErrors", ())
                if not problems or any(problem.get("code") != DUPLICATE_KEY for problem in problems):
                    raise

    async def _all(self, collection: str, where: Mapping[str, Any]) -> Sequence[Document]:
        async with _telling():
            return await self._collection(collection).find(dict(where)).to_list()

    def _collection(self, name: str) -> AsyncCollection[dict[str, Any]]:
        if self._database is None:
            raise StoreError("not connected yet")
        return self._database[name]


def records_collection(app: str, stream: str) -> str:
    """Name of the collection that holds a stream's records.

    The embedded database takes letters, digits and `_`, and does not tell cases apart: every other character is `_` and its hex code.
    """
    plain = "".join(c if c.isdigit() or c.islower() else f"_{ord(c):02x}" for c in stream)
    return f"records_{app}_{plain}"
