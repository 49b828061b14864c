"""The certificate authorities of all applications: for the gate by application, for TLS as one file.

TLS must know every one of them before a client has said what application it is of; `operations.certificates` then asks for those of the
application alone. The file is written whole and renamed, the listener takes it up when it has changed (`broker.tls`).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from operations.certificates import Authority

log = logging.getLogger(__name__)

Document = Mapping[str, Any]


class Trust:
    """Kept current by the change log. `file`: where TLS reads who may sign, if it does; `more`: those that the server's settings name."""

    def __init__(self, file: Path | None, more: Path | None) -> None:
        self.file = file
        self._more = more
        self._by_app: dict[str, dict[str, Authority]] = {}
        self._texts: dict[str, str] = {}  # id -> PEM

    def load(self, documents: Iterable[Document]) -> None:
        """Replace everything by what the database holds."""
        self._by_app, self._texts = {}, {}
        for document in documents:
            self._take(document)
        self.write()

    def of(self, app: str) -> Sequence[Authority]:
        """The application's authorities."""
        return tuple(self._by_app.get(app, {}).values())

    def has(self, app: str, mark: str) -> bool:
        """Whether the application (still) has the authority with this mark."""
        return any(authority.mark == mark for authority in self._by_app.get(app, {}).values())

    def put(self, document: Document) -> None:
        """Add or replace an authority."""
        self._take(document)
        self.write()

    def delete(self, authority: str) -> None:
        """Trust an authority no more."""
        if self._texts.pop(authority, None) is not None:
            self._by_app[authority.partition("/")[0]].pop(authority, None)
            self.write()

    def delete_application(self, app: str) -> None:
        """Trust an application's authorities no more."""
        for authority in self._by_app.pop(app, {}):
            del self._texts[authority]
        self.write()

    def write(self) -> None:
        """Write the file for TLS, unless it is as it should be. One that cannot be written is logged: TLS then goes by the one before."""
        if self.file is None:
            return
        texts = sorted(set(self._texts.values()))
        try:
            if self._more is not None:
                texts.insert(0, self._more.read_text())
            wanted = "\n".join(texts)
            if self.file.exists() and self.file.read_text() == wanted:
                return
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.file.with_suffix(".new")
            fresh.write_text(wanted)
            fresh.replace(self.file)
        except OSError as error:
            log.error("authorities cannot be given to TLS", extra={"file": str(self.file), "error": str(error)})  # noqa: TRY400  said in full

    def _take(self, document: Document) -> None:
        try:
            authority = Authority.of(document)
        except ValueError as error:
            log.error("an authority cannot be read", extra={"authority": document["_id"], "error": str(error)})  # noqa: TRY400  said in full
            return
        self._by_app.setdefault(document["app"], {})[authority.id] = authority
        self._texts[authority.id] = document["certificate"]
