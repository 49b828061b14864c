"""The admin page of `akela broker`: `/healthz`, `/metrics` (Prometheus) and `/trace` over HTTP, in the broker's own loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.admin import TracePage
from broker.broker import Broker
from broker.errors import BrokerStartError
from broker.metrics import BrokerMetrics

NAME = "admin"


class AdminServer:
    """Serves one broker's page on one address; leaves signals and the loop's life to its host."""

    def __init__(self, broker: Broker, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._traces = TracePage(broker)
        self._registry = CollectorRegistry()
        self._registry.register(BrokerMetrics(broker))
        routes = [Route("/healthz", self._healthz), Route("/metrics", self._metrics), self._traces.route]
        config = uvicorn.Config(
            Starlette(routes=routes), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> tuple[str, int]:
        """Listen; gives the address. Raises: BrokerStartError."""
        bound = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self._host, self._port))
            bound.listen(128)
        except OSError as error:
            bound.close()
            taken = error.errno == errno.EADDRINUSE
            why = "the port is in use" if taken else (error.strerror or str(error))
            raise BrokerStartError(NAME, self._host, self._port, why, in_use=taken) from error
        bound.setblocking(False)
        host, port = bound.getsockname()[:2]
        self._task = asyncio.create_task(self._server.serve(sockets=[bound]))
        return host, port

    async def stop(self) -> None:
        """End what is being read, and stop."""
        self._traces.close()
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "running"})

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4")


class _Quiet(uvicorn.Server):
    """uvicorn without its own signal handling."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
