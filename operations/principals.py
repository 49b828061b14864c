"""Who is at the other end of a session. The engine carries these values and never looks inside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from akela.contract.authority import NOTHING as NOTHING_SET
from akela.contract.authority import DeviceState
from akela.contract.topics import AppToken, EndpointId
from broker import Reason, Session
from operations.cohorts import Cohort
from operations.ledger import Ledger

NOTHING: Final[Mapping[str, Any]] = {}  # shared by all endpoints that have none of something

MAX_TOLD: Final = 64  # unknown leaves of one connection that are remembered as answered


@dataclass(slots=True, eq=False)
class Endpoint:
    """An endpoint from its CONNECT on. One object per connection; the stored endpoint outlives it."""

    app: AppToken
    ep: EndpointId
    tenant: str
    credential: str | None  # id of its own token; None: it came with something else
    limited: bool  # it may register and say hello, nothing else
    ledger: Ledger = field(default_factory=Ledger)
    profile_id: str | None = None  # id of the stored profile's canonical form
    profile: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    profile_at: datetime | None = None  # when the profile that was read was taken
    server_profile: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    owner: str | None = None
    retry: int = 0  # the last request of an operator to try again
    rev: int = 0  # number of the change that Control's fields are known from
    fmt: str = "json"  # or avro: what it wants configurations in
    max_size: int | None = None  # largest payload that it takes, bytes; None: it has not said
    sdk: str | None = None
    versions: Mapping[str, int] = field(default_factory=lambda: NOTHING)  # schema -> version that it runs
    groups: tuple[str, ...] = ()  # by name, without `all`; shared with all that have the same
    group_errors: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    cohort: Cohort | None = None  # with whom it shares its configuration, while it is attached
    device: DeviceState = NOTHING_SET  # what it set and proposes by itself
    device_id: str | None = None  # of the values that it set: equal for endpoints that set the same
    decided: Mapping[str, str] = field(default_factory=lambda: NOTHING)  # operators' verdicts on these, by id
    session: Session | None = None
    said_hello: bool = False
    holds: str | None = None  # the configuration that the endpoint holds: by its own word, else by the ledger
    sent_now: str | None = None  # sent on this connection and not refused since
    sent_base: str | None = None  # what that was a delta against, if it was one
    acked: bool = False  # and whether it has arrived
    told: set[str] | None = None
    via: str = "token"  # what it came with: token, claim, x509 or jwt
    authority: str | None = None  # with x509 and jwt: the mark of the authority or key that signed what it came with
    until: datetime | None = None  # when what it came with expires
    generation: str = ""  # of this connection (operations.generations); before it is attached: of the one before
    server_before: str | None = None  # where it was attached by its stored presence
    moved_to: str | None = None  # the server that it attached to after this one, when this connection ends for that
    newest: datetime | None = None  # when its newest token was made
    spare: tuple[str, ...] = ()  # ids of issued tokens that a new one makes superfluous
    attached_at: datetime | None = None
    ending: str | None = None  # why this server ends its connection

    @property
    def key(self) -> str:
        """The stored endpoint's id."""
        return f"{self.app}/{self.ep}"

    def tell_once(self, what: str) -> bool:
        """True the first time that `what` is to be told on this connection."""
        told = self.told = self.told or set()
        if what in told or len(told) >= MAX_TOLD:
            return False
        told.add(what)
        return True


@dataclass(frozen=True, slots=True)
class Operator:
    """A person or a tool with an API token: observes the applications of its tenant."""

    user: str
    tenant: str
    token: str
    expires: datetime | None = None
    platform: bool = False  # a platform-admin: sees the server's own topics, too
    applications: frozenset[str] | None = None  # those that the token is scoped to; None: all of the tenant's


@dataclass(frozen=True, slots=True)
class Server:
    """Another server of this cluster."""

    name: str


Principal = Endpoint | Operator | Server


def end(session: Session, why: str) -> None:
    """End a session that is not authorized any more; operators see `why` with the endpoint that is detached."""
    if isinstance(session.principal, Endpoint):
        session.principal.ending = why
    session.disconnect(Reason.NOT_AUTHORIZED, why)


CONTROL_USER: Final = "$control"
PEER_USER: Final = "$operations"
SERVER_NAMESPACE: Final = "$servers"


def operator_namespace(tenant: str, user: str) -> str:
    """Sessions of operators never meet those of an application: its token has no colon."""
    return f"operator:{tenant}:{user}"
