"""A route of the API: refuses query parameters that it does not know, answers a create once per Idempotency-Key."""

import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from control.core import caller_of
from control.idempotency import HEADER, answered_once
from control.problems import Problem

CREATED: Final = 201


class Route(APIRoute):
    """What every router of the API uses: `APIRouter(route_class=Route)`."""

    @property
    def is_create(self) -> bool:
        """It makes something for a caller."""
        calls_for = any(dependency.call is caller_of for dependency in self.dependant.dependencies)
        return "POST" in (self.methods or ()) and self.status_code == CREATED and calls_for

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the checks."""
        inner = super().get_route_handler()
        known = frozenset(_query_names(self.dependant))
        idempotent = self.is_create

        async def handle(request: Request) -> Response:
            _refuse_unknown(request, known)
            if idempotent:
                return await answered_once(request, inner)
            if HEADER in request.headers and request.method == "POST":
                raise Problem(422, f"{HEADER} is for what makes something new", [(f"/{HEADER}", "leave it out")])
            return await inner(request)

        return handle


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def _refuse_unknown(request: Request, known: frozenset[str]) -> None:
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        allowed = ", ".join(sorted(known)) or "none"
        raise Problem(
            422, "unknown query parameter", [(f"/{name}", f"unknown; this route takes: {allowed}") for name in unknown]
        )


def operation_id(route: APIRoute) -> str:
    """`{function}_{resource}`: what generated clients call it."""
    last = [part for part in route.path_format.split("/") if part and not part.startswith("{")][2:]
    parts = last if last and last[-1] == route.name else [route.name, *last]
    return re.sub(r"[^a-z_]", "_", "_".join(parts).lower())
