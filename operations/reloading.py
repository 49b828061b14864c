"""Starts over when the change log no longer reaches back to where this server stands: everything is read from the documents themselves.

What the missed changes would have done is found by comparing: catalogs are replaced, every attached endpoint is brought what it lacks,
and whoever may not be connected any more is disconnected.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from broker import Session
from operations.applied_changes import AppliedChanges
from operations.attached import Attached
from operations.catalog import Catalog
from operations.convergence import Convergence
from operations.effective import Configurations
from operations.principals import Operator

log = logging.getLogger(__name__)

BATCH: Final = 500

Document = Mapping[str, Any]


class DocumentSource(Protocol):
    """Where documents are read from."""

    async def settled_seq(self) -> int:
        """The last number up to which every change is done or void."""
        ...

    async def load_applications(self) -> Sequence[Document]:
        """All applications."""
        ...

    async def load_schemas(self) -> Sequence[Document]:
        """All schemas, oldest version first."""
        ...

    async def load_configurations(self) -> Sequence[Document]:
        """All active configuration layers."""
        ...

    async def load_groups(self) -> Sequence[Document]:
        """All groups."""
        ...

    async def load_authorities(self) -> Sequence[Document]:
        """All certificate authorities of endpoints."""
        ...

    async def find_endpoints(self, ids: Sequence[str]) -> Sequence[Document]:
        """The stored endpoints among `ids`."""
        ...

    async def find_tokens(self, ids: Sequence[str]) -> Sequence[Document]:
        """The stored API tokens among `ids`."""
        ...


class Reloading:
    """Loads, and loads again."""

    def __init__(
        self,
        source: DocumentSource,
        catalog: Catalog,
        configurations: Configurations,
        changes: AppliedChanges,
        convergence: Convergence,
        attached: Attached,
        sessions: Callable[[], Iterable[Session]],
    ) -> None:
        self._source = source
        self._catalog = catalog
        self._configurations = configurations
        self._changes = changes
        self._convergence = convergence
        self._attached = attached
        self._sessions = sessions

    async def load(self) -> int:
        """Read all that this server keeps in memory; returns the place in the log that it stands for. Raises: StoreError."""
        position = await self._source.settled_seq()
        self._catalog.load(
            await self._source.load_applications(),
            await self._source.load_schemas(),
            await self._source.load_configurations(),
            await self._source.load_groups(),
        )
        self._changes.authorities_are(await self._source.load_authorities())
        self._configurations.reloaded(position)
        return position

    async def start_over(self) -> int:
        """The same for a server that serves already; returns the new place. Raises: StoreError; call again then."""
        log.warning("the change log was cut behind this server's place: reading everything again")
        position = await self.load()
        await self._check_endpoints()
        await self._check_operators()
        self._convergence.reloaded()
        return position

    async def _check_endpoints(self) -> None:
        keys = [endpoint.key for app in self._attached.applications() for endpoint in self._attached.of(app)]
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]
            stored = {document["_id"]: document for document in await self._source.find_endpoints(batch)}
            for key in batch:
                self._changes.endpoint_is(key, stored.get(key))

    async def _check_operators(self) -> None:
        present = {session.principal.token for session in self._sessions() if isinstance(session.principal, Operator)}
        tokens = sorted(present)
        for start in range(0, len(tokens), BATCH):
            batch = tokens[start : start + BATCH]
            stored = {document["_id"]: document for document in await self._source.find_tokens(batch)}
            for token in batch:
                self._changes.token_is(token, stored.get(token))
