"""Why an endpoint has what it has, or has not what it should have: everything that bears on it, in one answer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from akela.contract.authority import NOTHING as NOTHING_SET
from akela.coordination import Role
from akela.documents import members
from akela.documents.base import Content
from akela.membership import Membership
from control import credentials
from control.convergence import LEDGER, because, facts_of, state_of
from control.core import Body, Calling, Server
from control.device_values import present_state, values_shown
from control.etags import reply
from control.problems import Problem
from control.resources.endpoints import Ep, need_endpoint
from control.route import Route
from control.targets import Target, membership_of, target_of

router = APIRouter(prefix="/api/v1/applications/{app}/endpoints", tags=["endpoints"], route_class=Route)

NOTHING: Final = Target(None, {}, {})


class Explained(Body):
    """A configuration, and for the path of each leaf the layer that set it."""

    id: str | None = Field(description="null: it cannot be given to the endpoint")
    value: dict[str, Any]
    origin: dict[str, str]
    reason: str | None = Field(description="why it cannot be given")


class GroupVerdict(Body):
    """A group, and whether its filter picks the endpoint."""

    name: str
    weight: int
    filter: str
    verdict: Literal["matched", "not-matched", "failed"]
    reason: str | None = Field(description="why the filter fails")


class Session(Body):
    """Where the endpoint is attached, or was."""

    online: bool
    server: str | None = Field(description="null while it is away, or its server is gone")
    since: datetime | None = Field(description="attached since; away since")
    generation: int | str | None = Field(description="of the attachment; a later one has a higher")


class Explanation(Body):
    """All that bears on an endpoint's configuration."""

    id: str
    because: str = Field(description="one sentence: why it is not converged, or that it is")
    state: str
    configuration: Explained
    groups: list[GroupVerdict]
    owner: str | None
    revoked: bool
    credentials: list[dict[str, Any]]
    session: Session
    ledger: dict[str, dict[str, Any]] = Field(description="by state: id, time, and what else is known")
    device: list[Any] = Field(description="values that the device has set with authority")
    proposals: list[Any] = Field(description="values of the device that wait for an operator")
    pending_notifications: list[Any]
    refusals: list[dict[str, Any]] = Field(description="what it refused last")


@router.get("/{ep}/explain", response_model=Explanation)
def explain(app: str, ep: Ep, caller: Calling, core: Server) -> Response:
    """Everything that bears on an endpoint's configuration, and one sentence."""
    core.application(caller, app)
    return reply(explained(app, need_endpoint(app, ep), core.members.get(Role.OPERATIONS, {})))


def explained(app: str, document: Content, servers: Mapping[str, Any]) -> Content:
    """The explanation of a stored endpoint. `servers`: the Operations servers that are there."""
    target, membership = _target(app, document)
    facts = facts_of(document, target.id, target.reason, servers)
    presence = document.get("presence") or {}
    state = present_state(document) if target.id is not None else NOTHING_SET
    ledger = {state: facts.ledger[state] for state in LEDGER if state in facts.ledger}
    return {
        "id": document["ep"], "because": because(facts), "state": state_of(facts).value,
        "configuration": {"id": target.id, "value": target.value, "origin": target.origin, "reason": target.reason},
        "groups": _verdicts(app, membership), "owner": document.get("owner"), "revoked": facts.revoked,
        "credentials": credentials.shown(document),
        "session": {
            "online": facts.server is not None, "server": facts.server, "since": facts.seen,
            "generation": presence.get("generation"),
        },
        "ledger": ledger, "device": values_shown(state.values), "proposals": values_shown(state.proposals),
        "pending_notifications": [], "refusals": [ledger["refused"]] if "refused" in ledger else [],
    }  # fmt: skip


def _target(app: str, document: Content) -> tuple[Target, Membership]:
    try:
        return target_of(app, document)
    except Problem:  # no configuration schema
        return NOTHING, membership_of(app, document)


def _verdicts(app: str, membership: Membership) -> list[Content]:
    rows = []
    for group in sorted(members.groups_of(app), key=lambda found: int(found["weight"])):
        reason = membership.errors.get(group["name"])
        matched = group["name"] in membership.groups
        verdict = "matched" if matched else "not-matched" if reason is None else "failed"
        rows.append(
            {name: group[name] for name in ("name", "weight", "filter")} | {"verdict": verdict, "reason": reason}
        )
    return rows
