"""Tenants: made, renamed and deleted by platform-admins; everybody else sees the own one."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from akela.documents import model
from akela.documents.model import Content
from control.core import NAME, PLATFORM, Body, Caller, Calling, Core, Paging, Server
from control.etags import IfMatch, check_match, reply
from control.paging import Prefix, Sort, only, paged, sorting
from control.problems import Problem, not_found
from control.resources.signin import SLUG
from control.route import Route
from control.shapes import Revised, page_model
from control.writing import fields_of, patched, takes_patch

router = APIRouter(prefix="/api/v1/tenants", tags=["tenants"], route_class=Route)

TenantId = Annotated[str, Path(pattern=SLUG, examples=["acme"])]


class TenantSettings(Body):
    """A tenant."""

    name: str = Field(pattern=NAME, examples=["Acme Inc"])


class NewTenant(TenantSettings):
    """A tenant."""

    id: str = Field(pattern=SLUG, examples=["acme"])


class Tenant(Revised):
    """A tenant as it is shown."""

    id: str
    name: str


@router.post("", status_code=201, response_model=Tenant)
def create(body: NewTenant, caller: Calling, core: Server) -> Response:
    """Make a tenant (platform-admin)."""
    caller.need(PLATFORM)
    made = core.put(caller, "tenant", {"_id": body.id, "tenant": body.id, "name": body.name}, None)
    return reply(_shown(made), made, status=201, location=f"/api/v1/tenants/{body.id}")


@router.get("", response_model=page_model(Tenant))
def index(caller: Calling, page: Paging, sort: Annotated[Sort, sorting("id")], prefix: Prefix = None) -> Response:
    """Tenants: all for a platform-admin, else the caller's own."""
    if caller.roles & PLATFORM:
        return reply(paged("tenant", {}, page, _shown, key="tenant", descending=sort.descending, prefix=prefix))
    own = model.find("tenant", caller.tenant)
    fits = own is not None and caller.tenant.startswith(prefix or "") and page.place is None
    return reply({"items": [_shown(own)] if own is not None and fits else [], "next": None})


@router.get("/{tenant}", response_model=Tenant)
def show(tenant: TenantId, caller: Calling) -> Response:
    """One tenant."""
    found = visible_tenant(caller, tenant)
    return reply(_shown(found), found)


@router.put("/{tenant}", response_model=Tenant)
def replace(
    tenant: TenantId, body: TenantSettings, caller: Calling, core: Server, if_match: IfMatch = None
) -> Response:
    """Rename a tenant (platform-admin)."""
    return _write(core, caller, tenant, if_match, lambda present: body)


@router.patch("/{tenant}", response_model=Tenant)
@takes_patch(TenantSettings)
def patch(tenant: TenantId, body: BaseModel, caller: Calling, core: Server, if_match: IfMatch = None) -> Response:
    """Rename a tenant (platform-admin)."""
    return _write(core, caller, tenant, if_match, lambda present: patched(TenantSettings, present, body))


@router.delete("/{tenant}", status_code=204)
def delete(tenant: TenantId, caller: Calling, core: Server, if_match: IfMatch = None) -> None:
    """Delete a tenant that has no users, applications and types (platform-admin)."""
    found = visible_tenant(caller, tenant)
    caller.need(PLATFORM)
    check_match(found, if_match)
    for kind in ("application", "user", "type"):
        if model.find_one(kind, {"tenant": tenant}) is not None:
            raise Problem(409, f"tenant {tenant} still has {kind}s; delete them first")
    core.delete(caller, "tenant", found)


def visible_tenant(caller: Caller, tenant: str) -> Content:
    """A tenant that the caller may see. Raises: Problem 404."""
    found = model.find("tenant", tenant)
    if found is None or not (tenant == caller.tenant or caller.roles & PLATFORM):
        raise not_found("tenant", tenant)
    return found


def _write(
    core: Core, caller: Caller, tenant: str, if_match: str | None, change: Callable[[Mapping[str, Any]], TenantSettings]
) -> Response:
    found = visible_tenant(caller, tenant)
    caller.need(PLATFORM)
    check_match(found, if_match)
    settings = change(fields_of(TenantSettings, found))
    made = core.put(caller, "tenant", found | settings.model_dump(), found)
    return reply(_shown(made), made)


def _shown(document: Content) -> Content:
    return only(document, "name", "rev")
