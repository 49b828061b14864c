"""The admin page of a server: `/healthz` (it runs), `/readyz` (it serves), `/metrics` (Prometheus), and what the server adds."""

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from akela.http_server import HttpServer


class AdminServer:
    """Serves the admin page inside the running loop. `ready` tells for each part of the server whether it is."""

    def __init__(
        self,
        host: str,
        port: int,
        ready: Callable[[], Mapping[str, bool]],
        registry: CollectorRegistry,
        more: Sequence[BaseRoute] = (),
    ) -> None:
        self._ready = ready
        self._registry = registry
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            *more,
        ]
        self._http = HttpServer(Starlette(routes=routes), host, port, flag="--admin-port")

    async def start(self) -> None:
        """Listen. Raises: PortInUseError."""
        await self._http.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._http.stop()

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "running"})

    async def _readyz(self, request: Request) -> Response:
        parts = dict(self._ready())
        return JSONResponse({"ready": all(parts.values()), "parts": parts}, 200 if all(parts.values()) else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4")
