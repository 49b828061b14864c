"""The REST API: its routers, and what every request goes through."""

from typing import Final

from fastapi import APIRouter, FastAPI

from akela import __version__
from control import openapi, problems
from control.bodies import CheckedBodies
from control.core import Core
from control.request_ids import RequestIds
from control.resources import (
    applications,
    audit,
    authorities,
    claims,
    configurations,
    convergence,
    departures,
    endpoints,
    explaining,
    groups,
    memberships,
    observed,
    owners,
    provisioning,
    schemas,
    signin,
    sinks,
    streams,
    tenants,
    tokens,
    topics,
    transfer,
    types,
    users,
    values,
    versions,
)
from control.route import operation_id

ROUTERS: Final[tuple[APIRouter, ...]] = (
    signin.router,
    tenants.router,
    users.router,
    tokens.router,
    types.router,
    transfer.router,  # before applications: `import` is no application
    applications.router,
    claims.router,
    schemas.router,
    groups.router,
    memberships.router,
    configurations.router,
    convergence.router,
    versions.router,
    values.leases_router,
    values.router,
    endpoints.router,
    explaining.router,
    provisioning.router,
    departures.router,
    departures.certificates_router,
    authorities.router,
    topics.router,
    streams.router,
    sinks.router,
    owners.router,
    owners.verifiers_router,
    audit.router,
    observed.router,
)
DESCRIPTION: Final = """Manages tenants, applications, schemas, configuration and endpoints.

Errors are `application/problem+json` (RFC 9457). Every change of something that is there needs `If-Match` with its ETag. A create may
carry an `Idempotency-Key`. Lists are paged by cursor: follow `next` until it is null."""


def api(core: Core) -> FastAPI:
    """The REST API over `core`."""
    app = FastAPI(
        title="Akela Control", version=__version__, description=DESCRIPTION, generate_unique_id_function=operation_id
    )
    app.state.core = core
    app.add_middleware(CheckedBodies)
    app.add_middleware(RequestIds, failed=problems.failed)
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.state.api_routes = [route for router in ROUTERS for route in router.routes]
    openapi.describe(app)
    return app
