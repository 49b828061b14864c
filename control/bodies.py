"""Request bodies, checked before any handler sees them: size, type, UTF-8, JSON, depth, what no database could keep."""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from akela.contract.errors import PayloadError
from akela.contract.payloads import check_plain, decode_json
from control.problems import answer

MAX_BODY: Final = 1024 * 1024  # bytes
LARGER: Final[Mapping[str, int]] = {"/api/v1/applications/import": 32 * 1024 * 1024}  # by path
JSON_TYPES: Final = frozenset({"application/json", "application/merge-patch+json"})


class CheckedBodies:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, check it, pass it on whole."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        limit = LARGER.get(scope["path"], MAX_BODY)
        body = await _read(receive, limit)
        refusal: Response | None = None
        if body is None:
            refusal = answer(413, f"a request body has at most {limit} bytes here")
        elif body:
            refusal = _refusal(scope, body)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        sent = False

        async def again() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)


def _refusal(scope: Scope, body: bytes) -> Response | None:
    given = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if given not in JSON_TYPES:
        return answer(
            415, f"{given or 'a body without Content-Type'} is not understood; send {' or '.join(sorted(JSON_TYPES))}"
        )
    try:
        value = decode_json(body)
        check_plain(value)
        _check_keys(value, "")
    except PayloadError as error:
        return answer(400, error.reason, [{"path": error.key or "", "reason": error.reason}])
    return None


def _check_keys(value: object, path: str) -> None:
    """No key holds a NUL: the database keeps none such. Raises: PayloadError."""
    if isinstance(value, dict):
        for key, item in value.items():
            if "\0" in key:
                raise PayloadError("a key holds a NUL", key=path)
            _check_keys(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_keys(item, f"{path}/{index}")


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None when it is too large: the rest is read and thrown away, so that the sender gets to hear it."""
    body: bytearray | None = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None if body is None else bytes(body)
        if body is not None:
            body += message.get("body", b"")
            if len(body) > limit:
                body = None
        if not message.get("more_body", False):
            return None if body is None else bytes(body)
