"""The indexes that the documents declare, made where they are missing and checked where they are there.

The embedded database uses a compound index only if each field that a query compares for equality has an index of its own
(docs/decisions/0030); hence the single-field ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from akela.documents.base import Content, DocumentError, Stored

DUPLICATE_KEY: Final = 11000


@dataclass(frozen=True, slots=True)
class Index:
    """One index. `expires`: documents go when the field's time has passed."""

    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    expires: bool = False

    def __str__(self) -> str:
        fields = ", ".join(f"{name}{'' if order == 1 else ' descending'}" for name, order in self.keys)
        return f"({fields}){' unique' if self.unique else ''}{' expiring' if self.expires else ''}"


def declared(document: type[Stored]) -> Sequence[Index]:
    """What a document declares."""
    specs: list[Mapping[str, Any]] = document._meta["index_specs"]  # noqa: SLF001  mongoengine offers no other way
    return [Index(tuple(spec["fields"]), bool(spec.get("unique")), "expireAfterSeconds" in spec) for spec in specs]


def ensure(document: type[Stored]) -> None:
    """Make what is missing. Raises: DocumentError for an index on the same fields that is not what is declared."""
    collection = document.collection()
    present = {index.keys: index for index in _present(collection)}
    for index in declared(document):
        found = present.get(index.keys)
        if found is None:
            _make(collection, index)
        elif found != index:
            raise DocumentError(
                f"collection {collection.name}: there is an index {found} where {index} is declared; drop it and start again"
            )


def _present(collection: Collection[Content]) -> Sequence[Index]:
    information = collection.index_information().values()
    return [
        Index(tuple((str(name), int(order)) for name, order in entry["key"]), bool(entry.get("unique")), "expireAfterSeconds" in entry)
        for entry in information
    ]  # fmt: skip


def _make(collection: Collection[Content], index: Index) -> None:
    options: dict[str, Any] = {"expireAfterSeconds": 0} if index.expires else {}
    try:
        collection.create_index(list(index.keys), unique=index.unique, **options)
    except OperationFailure as error:
        if not index.unique or not (
            error.code == DUPLICATE_KEY or "UNIQUE" in str(error)
        ):  # the embedded database gives no code
            raise
        raise DocumentError(
            f"collection {collection.name}: index {index} cannot be made, stored documents break it: {str(error)[:200]}"
        ) from error
