"""Claim secrets of an application: what its devices have from the factory. With an expiry, a quota, and a kill switch."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, field_validator

from akela.documents.model import ClaimCount, Content
from control.core import DEVELOPERS, Body, Caller, Calling, Core, Server, now
from control.etags import IfMatch, check_match, etag, reply
from control.moments import Moment
from control.problems import Problem, not_found
from control.resources.applications import new_claim
from control.route import Route
from control.secrets import new_claim_secret
from control.shapes import Revised
from control.writing import fields_of, patched, takes_patch

router = APIRouter(prefix="/api/v1/applications/{app}/claim-secrets", tags=["applications"], route_class=Route)

ClaimId = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$", examples=["0123456789ab"])]
MAX_CLAIMS: Final = 32
MAX_TTL_S: Final = 10 * 365 * 24 * 3600
Quota = Annotated[
    int | None, Field(ge=1, le=2**31 - 1, description="endpoints that may register with it; null: any number")
]


class NewClaim(Body):
    """A claim secret."""

    keep_others: bool = Field(
        default=False, description="the present ones go on being good; else this one replaces them"
    )
    quota: Quota = None
    ttl_s: int | None = Field(
        default=None, ge=60, le=MAX_TTL_S, description="seconds that it is good; null: it does not expire"
    )


class ClaimSettings(Body):
    """What may be changed of a claim secret."""

    quota: Quota = None
    expires: Moment = Field(default=None, description="null: it does not expire", examples=["2027-01-31T12:00:00Z"])
    revoked: bool = Field(default=False, description="the kill switch: it opens nothing while this is true")

    @field_validator("expires", mode="before")
    @classmethod
    def _written_out(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError("a time is written out with its zone: 2026-01-31T12:00:00Z") from error


class Claim(Body):
    """A claim secret as it is shown."""

    id: str
    created: datetime
    expires: datetime | None
    quota: int | None
    revoked: bool
    used: int = Field(description="endpoints that have registered with it")


class ClaimRevised(Claim, Revised):
    """A claim secret, with the revision of its application."""


class ClaimWithText(ClaimRevised):
    """A new claim secret; `claim_secret` is shown this once."""

    claim_secret: str


class Claims(Body):
    """All of an application's claim secrets."""

    items: list[Claim]
    next: None = None


@router.post("", status_code=201, response_model=ClaimWithText)
def create(app: str, caller: Calling, core: Server, body: NewClaim | None = None) -> Response:
    """Make a claim secret, shown once; unless told otherwise it replaces the others. Registered endpoints keep their own credentials."""
    found = core.application(caller, app, DEVELOPERS)
    wanted = body or NewClaim()
    others = found["claim_secrets"] if wanted.keep_others else []
    if len(others) >= MAX_CLAIMS:
        raise Problem(409, f"an application has at most {MAX_CLAIMS} claim secrets; delete one first")
    secret, moment = new_claim_secret(), now()
    expires = None if wanted.ttl_s is None else moment + timedelta(seconds=wanted.ttl_s)
    claim = new_claim(secret, moment, expires, wanted.quota)
    made = core.put(caller, "application", found | {"claim_secrets": [*others, claim]}, found, app)
    location = f"{router.prefix.replace('{app}', app)}/{claim['id']}"
    return reply(_shown(claim, {}) | {"claim_secret": secret}, made, status=201, location=location)


@router.get("", response_model=Claims)
def index(app: str, caller: Calling, core: Server) -> Response:
    """The application's claim secrets, without their text. The ETag is the application's."""
    found = core.application(caller, app)
    counts = _counts(app)
    response = reply({"items": [_shown(claim, counts) for claim in found["claim_secrets"]], "next": None})
    response.headers["ETag"] = etag(found)
    return response


@router.get("/{claim}", response_model=ClaimRevised)
def show(app: str, claim: ClaimId, caller: Calling, core: Server) -> Response:
    """One claim secret, without its text. The ETag is the application's."""
    found = core.application(caller, app)
    return reply(_shown(_found(found, claim), _counts(app)), found)


@router.put("/{claim}", response_model=ClaimRevised)
def replace(
    app: str, claim: ClaimId, body: ClaimSettings, caller: Calling, core: Server, if_match: IfMatch = None
) -> Response:
    """Set quota, expiry and kill switch."""
    found = core.application(caller, app, DEVELOPERS)
    present = _found(found, claim)
    check_match(found, if_match)
    return _write(core, caller, found, present, body)


@router.patch("/{claim}", response_model=ClaimRevised)
@takes_patch(ClaimSettings)
def patch(
    app: str, claim: ClaimId, body: BaseModel, caller: Calling, core: Server, if_match: IfMatch = None
) -> Response:
    """Change quota, expiry or kill switch."""
    found = core.application(caller, app, DEVELOPERS)
    present = _found(found, claim)
    check_match(found, if_match)
    return _write(core, caller, found, present, patched(ClaimSettings, fields_of(ClaimSettings, present), body))


@router.delete("/{claim}", status_code=204)
def delete(app: str, claim: ClaimId, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Delete a claim secret."""
    found = core.application(caller, app, DEVELOPERS)
    gone = _found(found, claim)
    check_match(found, if_match)
    rest = [item for item in found["claim_secrets"] if item["id"] != gone["id"]]
    core.put(caller, "application", found | {"claim_secrets": rest}, found, app)


def _write(core: Core, caller: Caller, found: Content, present: Content, settings: ClaimSettings) -> Response:
    fresh = present | settings.model_dump()
    rest = [fresh if item["id"] == present["id"] else item for item in found["claim_secrets"]]
    made = core.put(caller, "application", found | {"claim_secrets": rest}, found, found["_id"])
    return reply(_shown(fresh, _counts(found["_id"])), made)


def _found(application: Content, claim: str) -> Content:
    for item in application["claim_secrets"]:
        if item["id"] == claim:
            return dict(item)
    raise not_found("claim secret", claim)


def _shown(claim: Content, counts: Mapping[str, int]) -> Content:
    settings = {name: claim[name] for name in Claim.model_fields if name != "used"}
    return settings | {"used": counts.get(claim["id"], 0)}


def _counts(app: str) -> Mapping[str, int]:
    """By claim secret how many endpoints have registered with it."""
    found = ClaimCount.collection().find({"app": app})
    return {count["_id"].partition("/")[2]: count["used"] for count in found}
