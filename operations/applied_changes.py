"""What each kind of change means for this server: keep the catalog current, tell convergence, end sessions.

The change log names the document (`target`) and carries its content after the change; a deletion carries none.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from akela.documents.applying import ENDPOINT_FIELDS
from akela.membership import Group
from broker import Session
from operations import identity
from operations.attached import Attached
from operations.catalog import Catalog
from operations.convergence import Convergence
from operations.effective import Configurations, Recent
from operations.principals import NOTHING, Endpoint, Operator, end
from operations.trust import Trust

MAX_RECENT: Final = 10_000  # changes of endpoints that are remembered for those whose document was read before
UNTRUSTED: Final = {
    "x509": "the authority that signed the certificate is withdrawn",
    "jwt": "the key that signed the JWT is withdrawn",
}

Change = Mapping[str, Any]


class AppliedChanges:
    """Applies done changes in sequence (`operations.changes.ChangeFeed` calls it).

    An endpoint's document is read while it connects, and a change may come in between: so changes of endpoints are remembered for a
    while, and an endpoint that attaches with an older document catches up.
    """

    def __init__(
        self,
        catalog: Catalog,
        configurations: Configurations,
        convergence: Convergence,
        attached: Attached,
        sessions: Callable[[], Iterable[Session]],
        trust: Trust,
    ) -> None:
        self._trust = trust
        self._catalog = catalog
        self._configurations = configurations
        self._convergence = convergence
        self._attached = attached
        self._sessions = sessions
        self._recent: Recent[str, tuple[int, Change | None]] = Recent(MAX_RECENT)

    def apply(self, change: Change) -> None:
        """Apply one change."""
        self._configurations.position = change["_id"]
        handler = {
            "application": self._application,
            "schema": self._schema,
            "configuration": self._configuration,
            "group": self._group,
            "endpoint": self._endpoint,
            "token": self._token,
            "authority": self._authority,
            "departure": self._departure,
        }.get(change["kind"])
        if handler is not None:
            handler(change)

    def on_attached(self, endpoint: Endpoint) -> None:
        """The endpoint's document was read some moments ago; what has changed since is applied."""
        if endpoint.session is not None and not self._trusted(endpoint):
            end(endpoint.session, UNTRUSTED[endpoint.via])
            return
        recent = self._recent.get(endpoint.key)
        if recent is not None and recent[0] > endpoint.rev:
            self.endpoint_is(endpoint.key, recent[1], recent[0])

    def on_detached(self, endpoint: Endpoint) -> None:
        """Nothing follows from it."""

    def on_reachable(self, endpoint: Endpoint) -> None:
        """Nothing follows from it."""

    def _application(self, change: Change) -> None:
        if change["op"] == "delete":
            self._end(lambda principal: isinstance(principal, Endpoint) and principal.app == change["target"])
            self._catalog.delete_application(change["target"])
            self._trust.delete_application(change["target"])
        else:
            self._catalog.put_application(change["after"])
            self._end_untrusted(change["target"])

    def _schema(self, change: Change) -> None:
        if change["op"] == "delete":
            return
        document = change["after"]
        self._catalog.put_schema(document)
        if document["kind"] == "config":
            self._convergence.schema_changed(document["app"])

    def _configuration(self, change: Change) -> None:
        app, _, rest = change["target"].partition("/")
        _, _, place = rest.partition("/")
        if change["op"] == "delete":
            self._catalog.delete_configuration(app, place)
        else:
            self._catalog.put_configuration(change["after"])
        self._convergence.layer_changed(app, place)

    def _group(self, change: Change) -> None:
        app, _, name = change["target"].partition("/")
        entry = self._catalog.entry(app)
        if entry is None:
            return
        before = entry.by_name.get(name)
        if change["op"] == "delete":
            self._catalog.delete_group(app, name)
        else:
            self._catalog.put_group(change["after"])
        after = entry.by_name.get(name)
        same = before is not None and after is not None and _asked(before) == _asked(after)
        self._convergence.group_changed(app, name, filter_changed=not same)

    def _endpoint(self, change: Change) -> None:
        if change["op"] == "many":
            return  # made where there were none: nobody of them is attached
        seq, document = change["_id"], None if change["op"] == "delete" else change["after"]
        before = self._recent.get(change["target"])
        known = before[1] if before is not None and before[1] is not None else NOTHING
        self._recent.put(change["target"], (seq, None if document is None else {**known, **_owned(document)}))
        self.endpoint_is(change["target"], document, seq)

    def endpoint_is(self, key: str, document: Change | None, rev: int | None = None) -> None:
        """The stored endpoint is this now, or is no more (None).

        A session that it does not allow any more ends. `rev`: number of the change, if it is not that of the document.
        """
        app, _, ep = key.partition("/")
        endpoint = self._attached.find(app, ep)
        if endpoint is None or endpoint.session is None:
            return
        allowed = document is not None and identity.allowed(endpoint, document)
        if not allowed:
            end(endpoint.session, "revoked")
        elif document is not None:
            self._facts(endpoint, document, document.get("rev", 0) if rev is None else rev)

    def _facts(self, endpoint: Endpoint, document: Change, rev: int) -> None:
        """Take what Control says of the endpoint, unless it is older than what is known; a field that is left out did not change."""
        if rev < endpoint.rev:
            return
        endpoint.rev = rev
        facts = (
            document.get("owner", endpoint.owner),
            document.get("server_profile", endpoint.server_profile) or NOTHING,
            document.get("decided", endpoint.decided) or NOTHING,
        )
        if facts != (endpoint.owner, endpoint.server_profile, endpoint.decided):
            endpoint.owner, endpoint.server_profile, endpoint.decided = facts
            self._convergence.said(endpoint)
        if (retry := document.get("retry") or 0) > endpoint.retry:
            endpoint.retry = retry
            self._convergence.again(endpoint)

    def _authority(self, change: Change) -> None:
        if change["op"] == "delete":
            self._trust.delete(change["target"])
        else:
            self._trust.put(change["after"])
        self._end_untrusted(change["target"].partition("/")[0])

    def authorities_are(self, documents: Iterable[Change]) -> None:
        """These are all stored authorities now."""
        self._trust.load(documents)
        for app in self._attached.applications():
            self._end_untrusted(app)

    def _end_untrusted(self, app: str) -> None:
        """Sessions end that came by an authority or key which is no more, or is another now."""
        for endpoint in self._attached.of(app):
            if endpoint.session is not None and not self._trusted(endpoint):
                end(endpoint.session, UNTRUSTED[endpoint.via])

    def _trusted(self, endpoint: Endpoint) -> bool:
        if endpoint.authority is None:
            return True
        if endpoint.via == "x509":
            return self._trust.has(endpoint.app, endpoint.authority)
        entry = self._catalog.entry(endpoint.app)
        return entry is not None and any(key.mark == endpoint.authority for key in entry.application.keys)

    def _departure(self, change: Change) -> None:
        """A deleted endpoint may come back: its deletion is no longer held against a new connection."""
        self._recent.forget(change["target"])

    def _token(self, change: Change) -> None:
        self.token_is(change["target"], None if change["op"] == "delete" else change["after"])

    def token_is(self, token: str, document: Change | None) -> None:
        """The stored API token is this now, or is no more (None)."""
        if document is None or document.get("revoked"):
            self._end(lambda principal: isinstance(principal, Operator) and principal.token == token)

    def _end(self, concerned: Callable[[object], bool]) -> None:
        for session in [session for session in self._sessions() if concerned(session.principal)]:
            end(session, "no longer authorized")


def _owned(document: Change) -> Change:
    """Of a changed endpoint what Control owns."""
    return {name: document[name] for name in ENDPOINT_FIELDS if name in document}


def _asked(group: Group) -> str:
    """What a group asks of an endpoint."""
    return group.error if group.filter is None else group.filter.text
