"""An HTTP server (uvicorn) inside the running loop, which leaves signals and the loop's life to its host."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from akela.errors import PortInUseError, ServerError


class HttpServer:
    """Serves an ASGI application on one address. `flag` is the setting that changes the port."""

    def __init__(self, app: Any, host: str, port: int, *, flag: str) -> None:
        self._host = host
        self._port = port
        self._flag = flag
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2, server_header=False
        )
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises: PortInUseError, ServerError."""
        bound = listening_socket(self._host, self._port, self._flag)
        self._task = asyncio.create_task(self._server.serve(sockets=[bound]))

    async def stop(self) -> None:
        """Finish what is being answered, for at most 2 s, and stop."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


class _Quiet(uvicorn.Server):
    """uvicorn without its own signal handling."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening_socket(host: str, port: int, flag: str) -> socket.socket:
    """A bound TCP socket. Raises: PortInUseError naming `flag`, ServerError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port, flag) from error
        raise ServerError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    bound.setblocking(False)
    return bound
