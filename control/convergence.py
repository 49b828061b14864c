"""Whether an endpoint has the configuration that it should have, and one sentence that says why not. Pure.

The ledger (field `config` of a stored endpoint) holds what became of configurations, each state with the id that it is about. Only what
is about the target counts: an old refusal says nothing of a new configuration. The order of the questions is the rule: what an operator
can act upon comes first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from akela.coordination import Member
from control.presence import server_of

Entry = Mapping[str, Any]  # of the ledger: `id`, `at`, more by its state
LEDGER: Final = ("assigned", "sent", "delivered", "applied", "refused", "held", "unservable")


class State(StrEnum):
    """What holds for an endpoint now."""

    CONVERGED = "converged"
    REFUSED = "refused"  # it is tried again by itself
    HELD = "held"  # refused or unanswered too often: it waits for an operator, or for another configuration
    UNSERVABLE = "unservable"  # it cannot be given the configuration in the schema version that it runs
    WAITING_ONLINE = "waiting-online"
    WAITING_OFFLINE = "waiting-offline"
    UNKNOWN = "unknown"  # it has never connected
    REVOKED = "revoked"
    UNCONFIGURED = "unconfigured"  # its application has no configuration schema


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an endpoint. `target`: id of what it should have; None with `unservable` for the reason why it has none."""

    target: str | None
    ledger: Mapping[str, Entry]
    unservable: str | None = None
    revoked: bool = False
    seen: datetime | None = None  # last attached or detached; None: never
    server: str | None = None  # where it is attached, if that server is there

    def about_target(self, state: str) -> Entry | None:
        """The ledger's entry of a state, if it is about the target."""
        entry = self.ledger.get(state)
        return entry if entry and self.target is not None and entry.get("id") == self.target else None


def facts_of(
    endpoint: Mapping[str, Any], target: str | None, unservable: str | None, servers: Mapping[str, Member]
) -> Facts:
    """From a stored endpoint. `servers`: the Operations servers that are there; presence on another one counts for nothing."""
    presence = endpoint.get("presence") or {}
    ledger = {state: entry for state, entry in (endpoint.get("config") or {}).items() if state in LEDGER and entry}
    return Facts(
        target,
        ledger,
        unservable,
        bool(endpoint.get("revoked")),
        presence.get("at"),
        server_of(endpoint, servers),
    )


def state_of(facts: Facts) -> State:
    """The state."""
    if facts.revoked:
        return State.REVOKED
    if facts.target is None:
        return State.UNCONFIGURED if facts.unservable is None else State.UNSERVABLE
    if facts.about_target("applied") and not facts.about_target("refused"):
        return State.CONVERGED
    for state in (State.HELD, State.REFUSED, State.UNSERVABLE):
        if facts.about_target(state.value):
            return state
    if facts.seen is None:
        return State.UNKNOWN
    return State.WAITING_OFFLINE if facts.server is None else State.WAITING_ONLINE


def because(facts: Facts) -> str:
    """One sentence: why the endpoint is not converged, or that it is."""
    state = state_of(facts)
    return _SAID[state](facts, facts.about_target(state.value) or {})


def _revoked(facts: Facts, entry: Entry) -> str:
    return "it is revoked: it cannot connect until it is restored"


def _unconfigured(facts: Facts, entry: Entry) -> str:
    return "its application has no configuration schema, so there is nothing that it should have"


def _unservable(facts: Facts, entry: Entry) -> str:
    return f"its configuration cannot be given to it: {facts.unservable or entry.get('reason')}"


def _converged(facts: Facts, entry: Entry) -> str:
    return f"it runs {facts.target}, which is what it should have, since {_at(facts.ledger['applied'])}"


def _refused(facts: Facts, entry: Entry) -> str:
    return f"it refused {facts.target} with {_refusal(entry)}{_next(entry)}"


def _unknown(facts: Facts, entry: Entry) -> str:
    return "it has never connected"


def _offline(facts: Facts, entry: Entry) -> str:
    return f"it is away since {_time(facts.seen)}; it gets {facts.target} when it comes back"


def _held(facts: Facts, entry: Entry) -> str:
    tries = f"after it was sent again {entry.get('tries', 0)} times"
    refused = facts.about_target("refused")
    what = f"was refused with {_refusal(refused)}" if refused else "was never answered"
    return f"{facts.target} {what} {tries}; it is held until the configuration changes or an operator asks to try again"


def _waiting(facts: Facts, entry: Entry) -> str:
    """Why an attached endpoint has not reported yet."""
    delivered, sent = facts.about_target("delivered"), facts.about_target("sent")
    if delivered and not (sent and sent["at"] > delivered["at"]):
        return (
            f"it has received {facts.target} at {_at(delivered)} and has not said what became of it (u/config/applied)"
        )
    if sent:
        return f"{facts.target} was sent at {_at(sent)} and the endpoint has not acknowledged it (PUBACK)"
    applied = facts.ledger.get("applied")
    if applied:
        return f"it has applied {applied['id']} and {facts.target} is not sent yet: it listens to no d/config, or it is about to be"
    return f"{facts.target} is not sent yet: it listens to no d/config, or it is about to be"


def _refusal(entry: Entry) -> str:
    where = f" at {entry['key']}" if entry.get("key") else ""
    why = f": {entry['reason']}" if entry.get("reason") else ""
    return f"{entry.get('code', 'no code')}{where}{why}"


def _next(entry: Entry) -> str:
    return f"; it is sent again at {_time(entry['next'])}" if entry.get("next") else "; it is sent again later"


def _at(entry: Entry) -> str:
    return _time(entry.get("at"))


def _time(moment: Any) -> str:
    return moment.isoformat(timespec="seconds") if isinstance(moment, datetime) else str(moment)


_SAID: Final[Mapping[State, Callable[[Facts, Entry], str]]] = {
    State.REVOKED: _revoked,
    State.UNCONFIGURED: _unconfigured,
    State.UNSERVABLE: _unservable,
    State.CONVERGED: _converged,
    State.HELD: _held,
    State.REFUSED: _refused,
    State.UNKNOWN: _unknown,
    State.WAITING_OFFLINE: _offline,
    State.WAITING_ONLINE: _waiting,
}
