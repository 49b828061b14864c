"""Every request has an id: the caller's X-Request-Id, or a new one. It is in the answer, in problems and in the log."""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

HEADER: Final = "X-Request-Id"
_GOOD: Final = re.compile(
    r"[A-Za-z0-9._:/+=-]{1,128}"
)  # what is none of these is replaced, so that no log line can be forged
Failed = Callable[[Scope, Receive, Send, Exception], Awaitable[None]]

_current: ContextVar[str] = ContextVar("request_id", default="-")


def request_id() -> str:
    """The id of the request that is being answered."""
    return _current.get()


class RequestIds:
    """ASGI middleware, the outermost: also logs one line for each write and each failure.

    `failed` answers for an exception that nobody foresaw; raised any further it would cost the client its connection.
    """

    def __init__(self, app: ASGIApp, failed: Failed) -> None:
        self._app = app
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request its id, answer with it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        number = given if _GOOD.fullmatch(given) else secrets.token_hex(8)
        began_s = time.monotonic()
        token = _current.set(number)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[HEADER] = number
                _tell(scope, message["status"], number, time.monotonic() - began_s)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if started:
                raise
            await self._failed(scope, receive, sending, error)
        finally:
            _current.reset(token)


def _tell(scope: Scope, status: int, number: str, took_s: float) -> None:
    if scope["method"] in ("GET", "HEAD") and status < 500:
        return
    log.log(
        logging.WARNING if status >= 500 else logging.INFO,
        "request",
        extra={"request": number, "method": scope["method"], "path": scope["path"], "status": status, "ms": round(took_s * 1000)},
    )  # fmt: skip
