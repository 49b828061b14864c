"""Stores endpoints that come for the first time, many in one batch: within the quota of their claim secret, and none that was deleted.

Quota: a batch reserves room for all its endpoints of one claim secret by one conditional count, so that several servers together never
exceed it; those that another server has stored meanwhile give their place back. Deletion: who was deleted stays out until an operator
lifts it. This is asked before, and again after the insert, because the deletion may come in between.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from operations.batching import BatchLoader
from operations.catalog import Application
from operations.identity import Admitted

DEPARTED: Final = "the endpoint was deleted; it may come back when an operator adds it or lifts that"
OVER_QUOTA: Final = "the claim secret's quota is used up"

Document = Mapping[str, Any]


class RegisterStore(Protocol):
    """What registering reads and writes."""

    async def find_departed(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of `ids` that were deleted."""
        ...

    async def register_endpoints(self, docs: Sequence[Document]) -> frozenset[str]:
        """Insert endpoints; gives the ids of those that exist already."""
        ...

    async def withdraw_endpoints(self, ids: Sequence[str]) -> None:
        """Take back what was just inserted."""
        ...

    async def count_claims(self, app: str, claim: str, wanted: int, quota: int | None) -> int:
        """Count up to `wanted` registrations; gives how many."""
        ...


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An endpoint to be stored."""

    document: Document
    claim: str | None
    quota: int | None

    @classmethod
    def of(cls, application: Application, admitted: Admitted) -> "Newcomer":
        """What is stored of an endpoint that is admitted for the first time."""
        endpoint, claim = admitted.endpoint, admitted.claim
        document = {
            "_id": endpoint.key, "app": endpoint.app, "ep": endpoint.ep, "tenant": application.tenant,
            "registered_at": datetime.now(UTC), "how": admitted.how, "claim": claim, "credentials": [], "retired": [],
            "format": 1, "rev": 0, "revoked": False,
        }  # fmt: skip
        quota = None if claim is None else application.claim_quotas.get(claim)
        return cls(document, claim, quota)


class Registrar:
    """Registers newcomers in batches."""

    def __init__(self, store: RegisterStore) -> None:
        self._store = store
        self._new: dict[str, Newcomer] = {}
        self._batches: BatchLoader[str, str] = BatchLoader(self._register)

    async def register(self, key: str, newcomer: Newcomer) -> str | None:
        """Store an endpoint; gives why it may not be, if so. Raises: StoreError."""
        self._new[key] = newcomer
        return await self._batches.load(key)

    async def _register(self, keys: Sequence[str]) -> Mapping[str, str]:
        new = {key: self._new.pop(key) for key in keys}
        departed = await self._store.find_departed(keys)
        refused = dict.fromkeys(departed, DEPARTED)
        wanted = {key: newcomer for key, newcomer in new.items() if key not in departed}
        refused |= await self._reserve(wanted)
        stored = {key: newcomer for key, newcomer in wanted.items() if key not in refused}
        if not stored:
            return refused
        present = await self._store.register_endpoints([newcomer.document for newcomer in stored.values()])
        inserted = [key for key in stored if key not in present]
        gone = await self._store.find_departed(inserted) if inserted else frozenset()
        if gone:
            await self._store.withdraw_endpoints(sorted(gone))
        await self._give_back([stored[key] for key in (*present, *gone) if key in stored])
        return refused | dict.fromkeys(gone, DEPARTED)

    async def _reserve(self, wanted: Mapping[str, Newcomer]) -> dict[str, str]:
        """Take room for all; gives those that there is none for."""
        refused: dict[str, str] = {}
        by_claim: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key, newcomer in wanted.items():
            if newcomer.claim is not None:
                by_claim[newcomer.document["app"], newcomer.claim].append(key)
        for (app, claim), keys in by_claim.items():
            granted = await self._store.count_claims(app, claim, len(keys), wanted[keys[0]].quota)
            refused |= dict.fromkeys(keys[granted:], OVER_QUOTA)
        return refused

    async def _give_back(self, newcomers: Sequence[Newcomer]) -> None:
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for newcomer in newcomers:
            if newcomer.claim is not None:
                counts[newcomer.document["app"], newcomer.claim] += 1
        for (app, claim), count in counts.items():
            await self._store.count_claims(app, claim, -count, None)
