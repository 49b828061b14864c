"""The engine's part of an admin page, for whatever serves it: `/trace`, a client's packets as JSON lines for as long as it is read.

Only for this machine: what clients say to each other is nobody else's. A page in a browser cannot read it either, since
it must come under a loopback name (no DNS rebinding) and says nothing that lets other origins read it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from broker import trace
from broker.tracing import Trace, Wanted

if TYPE_CHECKING:
    from broker.broker import Broker

MAX_TRACES: Final = 8  # at a time
MAX_DURATION_S: Final = 24 * 3600.0
MAX_PAYLOAD: Final = trace.MAX_SCANNED
PARAMETERS: Final = ("client", "address", "duration", "payload")


class ParameterError(Exception):
    """A parameter of the request that cannot be used; the text names it."""


class TracePage:
    """`/trace?client=ID`, `?client=NAMESPACE/ID`, `?address=ADDRESS[:PORT]`, and `duration` (s) and `payload` (characters)."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._open: set[Trace] = set()
        self.route = Route("/trace", self._answer)

    def close(self) -> None:
        """End every trace."""
        for one in list(self._open):
            one.close()

    async def _answer(self, request: Request) -> Response:
        if not _local(request):
            return PlainTextResponse("traces are read on the server's own machine, under 127.0.0.1 or localhost\n", 403)
        try:
            wanted, duration_s = _asked(request)
        except ParameterError as error:
            return PlainTextResponse(f"{error}\n", 400)
        if len(self._open) >= MAX_TRACES:
            return PlainTextResponse(f"{MAX_TRACES} traces are open already, that is the most\n", 503)
        lines = self._lines(wanted, duration_s)
        return StreamingResponse(lines, media_type="application/x-ndjson", headers={"cache-control": "no-store"})

    async def _lines(self, wanted: Wanted, duration_s: float) -> AsyncIterator[bytes]:
        reading = Trace(self._broker, wanted, time.time)
        self._open.add(reading)
        ending = asyncio.get_running_loop().call_later(duration_s, reading.close)
        try:
            async for event in reading.events():
                yield json.dumps(event).encode() + b"\n"
        finally:  # also when the reader has gone
            ending.cancel()
            reading.close()
            self._open.discard(reading)


def _asked(request: Request) -> tuple[Wanted, float]:
    """Raises: ParameterError."""
    query = request.query_params
    unknown = sorted(set(query) - set(PARAMETERS))
    if unknown:
        raise ParameterError(f"{unknown[0]}: no such parameter; known are {', '.join(PARAMETERS)}")
    client, address = query.get("client"), query.get("address")
    if not client and not address:
        raise ParameterError("client or address is needed: whose packets are to be traced")
    duration_s = _number("duration", query.get("duration"), MAX_DURATION_S, MAX_DURATION_S)
    most = int(_number("payload", query.get("payload"), trace.MAX_PAYLOAD, MAX_PAYLOAD))
    return Wanted(client or None, address or None, most), duration_s


def _number(name: str, text: str | None, default: float, most: float) -> float:
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise ParameterError(f"{name}: {text!r} is not a number from 0 to {most:g}")
    return value


def _local(request: Request) -> bool:
    """It comes from this machine, and names this machine."""
    name = (request.url.hostname or "").strip("[]")
    return request.client is not None and _loopback(request.client.host) and (name == "localhost" or _loopback(name))


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
