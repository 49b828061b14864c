"""Errors of the REST API as `application/problem+json` (RFC 9457), each with the path of every wrong field."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from akela.contract.errors import ContractError
from akela.documents.base import DocumentError
from akela.documents.changelog import ExistsError, FencedError, StaleError
from akela.documents.model import DatabaseError
from control.request_ids import request_id

log = logging.getLogger(__name__)

FieldError = dict[str, str]


class Problem(Exception):
    """An answer other than success. `errors`: (path, reason) of each wrong field."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = dict(more or {})  # members of the document beside the standard ones
        self.errors = [{"path": path, "reason": reason} for path, reason in errors]


class NotActiveError(Exception):
    """This server may not write: `api` is where the active one is, if there is one."""

    def __init__(self, api: str | None) -> None:
        super().__init__("this Control server is a standby")
        self.api = api


def not_found(what: str, name: str) -> Problem:
    """404; also for what belongs to another tenant."""
    return Problem(404, f"no {what} {name!r}")


def answer(
    status: int,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """A problem document."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id(),
    }
    if errors:
        body["errors"] = list(errors)
    body |= more or {}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Have every error of `app` answered as a problem document, and none with a stack trace."""

    @app.exception_handler(Problem)
    def problem(request: Request, error: Problem) -> Response:
        challenge = {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
        return answer(error.status, error.detail, error.errors, error.headers | challenge, error.more)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [{"path": _path(item["loc"]), "reason": item["msg"]} for item in error.errors()]
        return answer(422, "the request breaks its schema", errors)

    @app.exception_handler(ContractError)
    def contract(request: Request, error: ContractError) -> Response:
        errors = [{"path": error.key or "", "reason": error.reason}]
        return answer(int(error.code), error.reason, errors)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods(request))
        return answer(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(NotActiveError)
    def standby(request: Request, error: NotActiveError) -> Response:
        if error.api is None:
            return answer(503, "no Control server is active yet; try again", headers={"Retry-After": "1"})
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{error.api}{request.url.path}{query}", 307)

    _install_storage(app)


def _install_storage(app: FastAPI) -> None:
    @app.exception_handler(StaleError)
    def stale(request: Request, error: StaleError) -> Response:
        return answer(412 if "if-match" in request.headers else 409, f"{error}; read it again and repeat")

    @app.exception_handler(ExistsError)
    def exists(request: Request, error: ExistsError) -> Response:
        return answer(409, str(error))

    @app.exception_handler(FencedError)
    def fenced(request: Request, error: FencedError) -> Response:
        return answer(503, f"{error}; try again", headers={"Retry-After": "1"})

    @app.exception_handler(DocumentError)
    def document(request: Request, error: DocumentError) -> Response:
        return answer(422, str(error))

    @app.exception_handler(DatabaseError)
    def database(request: Request, error: Exception) -> Response:
        log.warning("the database fails", extra={"error": str(error)[:200], "request": request_id()})
        return answer(503, "the database does not answer; try again", headers={"Retry-After": "1"})


async def failed(scope: Scope, receive: Receive, send: Send, error: Exception) -> None:
    """Answer for what nobody foresaw: the log says what, the answer only that."""
    log.error("a request failed", exc_info=error, extra={"path": scope["path"], "request": request_id()})
    await answer(500, "the server failed; its log says why")(scope, receive, send)


def _methods(request: Request) -> list[str]:
    """What may be asked of a path: of all its routes, where Starlette names the first one's."""
    found: set[str] = set()
    for route in request.app.state.api_routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    return sorted(found)


def _path(location: Sequence[int | str]) -> str:
    parts = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    return "/" + "/".join(map(str, parts)) if parts else ""
