"""Request bodies, checked before any handler sees them: size, UTF-8, JSON, depth, what no database could keep."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from akela.contract.errors import PayloadError
from akela.contract.payloads import check_plain, decode_json
from control.problems import answer

MAX_BODY: Final = 1024 * 1024  # bytes


class CheckedBodies:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, check it, pass it on whole."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        refusal = None
        if body is None:
            refusal = answer(413, f"a request body has at most {MAX_BODY} bytes")
        elif body:
            try:
                check_plain(decode_json(body))
            except PayloadError as error:
                refusal = answer(400, error.reason, [{"path": error.key or "", "reason": error.reason}])
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


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)
