"""What each kind of change means for this server: keep the catalog current, bring endpoints, end sessions.

The change log names the document (`target`) and carries its content after the change; a deletion carries none.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from broker import Reason, Session
from operations.attached import Attached
from operations.catalog import Catalog
from operations.effective import Configurations
from operations.plugins.configuration import ConfigurationPlane
from operations.principals import Endpoint, Operator

Change = Mapping[str, Any]


class AppliedChanges:
    """Applies done changes in sequence (`operations.changes.ChangeFeed` calls it)."""

    def __init__(
        self,
        catalog: Catalog,
        configurations: Configurations,
        plane: ConfigurationPlane,
        attached: Attached,
        sessions: Callable[[], Iterable[Session]],
    ) -> None:
        self._catalog = catalog
        self._configurations = configurations
        self._plane = plane
        self._attached = attached
        self._sessions = sessions

    def apply(self, change: Change) -> None:
        """Apply one change."""
        self._configurations.position = change["_id"]
        handler = {
            "application": self._application,
            "schema": self._schema,
            "configuration": self._configuration,
            "endpoint": self._endpoint,
            "token": self._token,
        }.get(change["kind"])
        if handler is not None:
            handler(change)

    def _application(self, change: Change) -> None:
        if change["op"] == "delete":
            self._end(lambda principal: isinstance(principal, Endpoint) and principal.app == change["target"])
            self._catalog.delete_application(change["target"])
        else:
            self._catalog.put_application(change["after"])

    def _schema(self, change: Change) -> None:
        if change["op"] == "delete":
            return
        document = change["after"]
        self._catalog.put_schema(document)
        if document["kind"] == "config":
            self._plane.changed(document["app"], None)

    def _configuration(self, change: Change) -> None:
        app, _, rest = change["target"].partition("/")
        _, _, place = rest.partition("/")
        scope, _, target = place.partition(":")
        if change["op"] == "delete":
            self._catalog.delete_configuration(app, scope, target)
        else:
            self._catalog.put_configuration(change["after"])
        self._plane.changed(app, target if scope == "endpoint" else None)

    def _endpoint(self, change: Change) -> None:
        if change["op"] == "many":
            return  # made where there were none: nobody of them is attached
        self.endpoint_is(change["target"], None if change["op"] == "delete" else change["after"])

    def endpoint_is(self, key: str, document: Change | None) -> None:
        """The stored endpoint is this now, or is no more (None): a session that it does not allow any more ends."""
        app, _, ep = key.partition("/")
        endpoint = self._attached.find(app, ep)
        if endpoint is None or endpoint.session is None:
            return
        if document is None:
            allowed = endpoint.limited and self._catalog.entry(app) is not None  # it has not registered yet
        else:
            known = {credential["id"] for credential in document.get("credentials") or ()}
            gone = endpoint.credential is not None and "credentials" in document and endpoint.credential not in known
            allowed = not (document.get("revoked") or gone)
        if not allowed:
            endpoint.session.disconnect(Reason.NOT_AUTHORIZED, "revoked")

    def _token(self, change: Change) -> None:
        self.token_is(change["target"], None if change["op"] == "delete" else change["after"])

    def token_is(self, token: str, document: Change | None) -> None:
        """The stored API token is this now, or is no more (None)."""
        if document is None or document.get("revoked"):
            self._end(lambda principal: isinstance(principal, Operator) and principal.token == token)

    def _end(self, concerned: Callable[[object], bool]) -> None:
        for session in [session for session in self._sessions() if concerned(session.principal)]:
            session.disconnect(Reason.NOT_AUTHORIZED, "no longer authorized")
