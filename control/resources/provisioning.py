"""Provisioning in bulk: up to a thousand endpoints in one request, which is one change of the log.

Asking again is harmless: an endpoint that is there with the credential that the row names is `unchanged`, any other that is there is
`exists` and stays as it is. So an import that was interrupted is simply repeated, with the credentials that its maker chose.
"""

from collections.abc import Sequence
from typing import Final, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from akela.documents import model, upgrades
from akela.documents.changelog import MAX_ROWS, Draft
from akela.documents.model import Content
from control.core import DEVELOPERS, ENDPOINT_ID, Body, Calling, Server, now
from control.credentials import fresh
from control.etags import reply
from control.problems import Problem
from control.route import Route
from control.secrets import digest, new_credential
from control.stored_groups import COMPILED, settle

router = APIRouter(prefix="/api/v1/applications/{app}/endpoint-batches", tags=["endpoints"], route_class=Route)

CREDENTIAL: Final = r"^[!-~]{16,128}$"

Status = Literal["created", "unchanged", "exists"]


class Row(Body):
    """An endpoint to be provisioned."""

    id: str = Field(pattern=ENDPOINT_ID, examples=["meter-7"])
    credential: str | None = Field(
        default=None,
        pattern=CREDENTIAL,
        description="its password, 16 to 128 of ASCII without blanks (default: made here)",
    )


class Batch(Body):
    """Endpoints to be provisioned together."""

    items: list[Row] = Field(min_length=1, max_length=MAX_ROWS)


class RowDone(Body):
    """What became of a row."""

    id: str
    status: Status = Field(description="unchanged: there with this credential; exists: there with another")
    credential: str | None = Field(description="the password that was made here, shown once")


class BatchDone(Body):
    """What became of the rows, in their order."""

    items: list[RowDone]
    created: int
    unchanged: int
    exists: int


@router.post("", response_model=BatchDone)
def provision(app: str, body: Batch, caller: Calling, core: Server) -> Response:
    """Provision up to 1,000 endpoints as one change. Repeating a request is harmless."""
    core.application(caller, app, DEVELOPERS)
    _refuse_repeated(body.items)
    known = _stored(app, body.items)
    made = {row.id: row.credential or new_credential() for row in body.items if row.id not in known}
    seq = None
    if made:
        filters = COMPILED.of(app)
        rows = [_document(app, caller.tenant, ep, secret) for ep, secret in made.items()]
        rows = [row | filters.membership_of(row) for row in rows]
        seq = core.write(caller, Draft("endpoint", "many", app, {"rows": rows}, None, "", "", caller.tenant, app))
        settle(app, filters, list(made))
        known |= _stored(app, [row for row in body.items if row.id in made])
    done = [_done(row, known[row.id], seq, made) for row in body.items if row.id in known]
    counts = {status: sum(row["status"] == status for row in done) for status in ("created", "unchanged", "exists")}
    return reply({"items": done} | counts)


def _refuse_repeated(rows: Sequence[Row]) -> None:
    seen: set[str] = set()
    repeated = []
    for number, row in enumerate(rows):
        if row.id in seen:
            repeated.append((f"/items/{number}/id", f"{row.id} is in the request twice"))
        seen.add(row.id)
    if repeated:
        raise Problem(422, "an endpoint is in the request twice", repeated)


def _stored(app: str, rows: Sequence[Row]) -> dict[str, Content]:
    found = model.query("endpoint", {"_id": {"$in": [f"{app}/{row.id}" for row in rows]}}, sort=None)
    return {document["ep"]: document for document in found}


def _document(app: str, tenant: str, ep: str, secret: str) -> Content:
    moment = now()
    credential = fresh(secret, moment)
    return {
        "_id": f"{app}/{ep}", "app": app, "ep": ep, "tenant": tenant, "registered_at": moment, "how": "provisioned",
        "credentials": [credential], "revoked": False, "server_profile": None, "format": upgrades.format_of("endpoint"),
    }  # fmt: skip


def _done(row: Row, stored: Content, seq: int | None, made: dict[str, str]) -> Content:
    if stored.get("rev") == seq:
        return {"id": row.id, "status": "created", "credential": None if row.credential else made[row.id]}
    hashes = {credential.get("hash") for credential in stored.get("credentials") or ()}
    same = row.credential is not None and digest(row.credential) in hashes
    return {"id": row.id, "status": "unchanged" if same else "exists", "credential": None}
