"""Idempotency-Key on creates: the same key with the same body is the same answer for 24 hours, another body is refused.

The answer may hold a secret that is shown once, so it is sealed with a key made of the API token's text and the Idempotency-Key:
the database has neither.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from akela.documents import answered
from control.core import core_of, valid_token
from control.problems import Problem

HEADER: Final = "Idempotency-Key"
MAX_KEY: Final = 128
PATTERN: Final = r"[\x21-\x7e]+"
NONCE_SIZE: Final = 12
KEPT_HEADERS: Final = ("etag", "location", "content-type")

Handler = Callable[[Request], Awaitable[Response]]


async def answered_once(request: Request, handler: Handler) -> Response:
    """Answer a create; one that was answered before under its key, again so.

    Raises: Problem 422 when the key was used for another request, 409 while that is being answered.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return await handler(request)
    if not re.fullmatch(PATTERN, key) or len(key) > MAX_KEY:
        raise Problem(
            422, f"{HEADER} has 1 to {MAX_KEY} printable ASCII characters, no space", [(f"/{HEADER}", "not so")]
        )
    bearer = request.headers.get("Authorization", "").partition(" ")[2]
    token = await run_in_threadpool(valid_token, bearer or None)
    epoch = core_of(request).need_active().epoch
    asked = hashlib.sha256(f"{request.method} {request.url}\n".encode() + await request.body()).hexdigest()
    number = f"{token['_id']}/{hashlib.sha256(key.encode()).hexdigest()}"
    seal = _Seal(f"{bearer}\0{key}", number)
    before = await run_in_threadpool(answered.take, number, asked, epoch)
    if before is not None:
        if before["request"] != asked:
            raise Problem(422, f"{HEADER} was used for another request", [(f"/{HEADER}", "take a new one")])
        if before["answer"] is None:
            raise Problem(409, f"a request with this {HEADER} is being answered", headers={"Retry-After": "1"})
        return seal.opened(before["answer"])
    try:
        response = await handler(request)
    except BaseException:
        await run_in_threadpool(answered.forget, number)
        raise
    await run_in_threadpool(answered.complete, number, seal.sealed(response))
    return response


class _Seal:
    """Closes and opens answers; `context` binds one to its record."""

    def __init__(self, secret: str, context: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(secret.encode()).digest())
        self._context = context.encode()

    def sealed(self, response: Response) -> str:
        kept = {
            "status": response.status_code,
            "headers": {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers},
            "body": base64.b64encode(bytes(response.body)).decode(),
        }
        nonce = os.urandom(NONCE_SIZE)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, json.dumps(kept).encode(), self._context)).decode()

    def opened(self, answer: str) -> Response:
        raw = base64.b64decode(answer)
        kept: dict[str, Any] = json.loads(self._cipher.decrypt(raw[:NONCE_SIZE], raw[NONCE_SIZE:], self._context))
        headers = kept["headers"] | {"Idempotency-Replayed": "true"}
        return Response(base64.b64decode(kept["body"]), kept["status"], headers)
