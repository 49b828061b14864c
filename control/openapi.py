"""The description of the API: what every operation has, said once: problems, ETags, request ids, idempotency keys."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from control.idempotency import HEADER, MAX_KEY, PATTERN
from control.request_ids import HEADER as REQUEST_ID
from control.route import Route

Content = dict[str, Any]

READ_PROBLEMS: Final = {
    "400": "it cannot be read: no JSON, a forged cursor",
    "401": "no token, or one that is unknown, revoked or expired",
    "403": "the caller's roles, or the token's scope, do not allow it",
    "404": "there is no such thing, or it belongs to another tenant",
    "409": "it does not fit the present state",
    "422": "it breaks its schema; `errors` names each wrong field",
    "429": "too many requests with this token; `Retry-After` says when to try again",
    "503": "the database, or the active server, does not answer; try again",
}
WRITE_PROBLEMS: Final = READ_PROBLEMS | {
    "413": "the body is too large",
    "415": "the body is not JSON",
}
MATCH_PROBLEMS: Final = {
    "412": "the revision is another one; the ETag in the answer is the present one",
    "428": "If-Match is missing",
}
PATH_EXAMPLES: Final = {"app": "k3qx7h2m", "stream": "values"}
PROBLEM: Final[Content] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "examples": ["Unprocessable Content"]},
        "status": {"type": "integer", "examples": [422]},
        "detail": {"type": "string", "examples": ["the request breaks its schema"]},
        "request_id": {"type": "string", "examples": ["9f86d081884c7d65"]},
        "errors": {
            "type": "array",
            "description": "each wrong field",
            "items": {
                "type": "object",
                "required": ["path", "reason"],
                "properties": {"path": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
        "impact": {"description": "of a schema that breaks what is there: who runs which version"},
    },
}


def describe(app: FastAPI) -> None:
    """Have `app` describe itself so."""

    def openapi() -> Content:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI) -> Content:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schema["components"]["schemas"]["Problem"] = PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(unused, None)
    routes = app.state.api_routes
    creates = {(route.path_format, "post") for route in routes if isinstance(route, Route) and route.is_create}
    for path, method, operation in _operations(schema):
        _add_problems(method, operation)
        _add_headers(operation)
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in PATH_EXAMPLES:
                parameter["schema"].setdefault("examples", [PATH_EXAMPLES[parameter["name"]]])
        if (path, method) in creates:
            operation.setdefault("parameters", []).append(_idempotency_key())
    return schema


def _operations(schema: Content) -> Iterator[tuple[str, str, Content]]:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _add_problems(method: str, operation: Content) -> None:
    problems = dict(READ_PROBLEMS if method == "get" else WRITE_PROBLEMS)
    if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", ())):
        problems |= MATCH_PROBLEMS
    if "security" not in operation:
        problems.pop("404")
    for status, description in problems.items():
        operation["responses"][status] = {
            "description": description,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    if method != "get":
        operation["responses"]["307"] = {"description": "this server is a standby: `Location` is the active one's"}


def _add_headers(operation: Content) -> None:
    for status, response in operation["responses"].items():
        headers = response.setdefault("headers", {})
        headers[REQUEST_ID] = {"description": "the request's id, its own or a new one", "schema": {"type": "string"}}
        if status in ("412", "428"):
            headers["ETag"] = {"description": "of the present revision", "schema": {"type": "string"}}
        if status == "429":
            headers["Retry-After"] = {"description": "seconds", "schema": {"type": "integer"}}


def _idempotency_key() -> Content:
    return {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "the same key with the same body is the same answer for 24 hours; with another body it is refused (422)",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": f"^{PATTERN}$"},
    }
