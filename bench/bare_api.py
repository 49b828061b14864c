"""A FastAPI handler that does nothing, on the server that Control runs on: what REST could cost at the least. `PORT SIZE`."""

import sys

from fastapi import FastAPI
from fastapi.responses import Response

from akela.http_server import HttpServer
from akela.lifecycle import Stopper, run_server


async def _serve(port: int, size: int, stopper: Stopper) -> None:
    app = FastAPI()
    body = b'"' + b"x" * (size - 2) + b'"'

    @app.get("/")
    def answer() -> Response:
        return Response(body, media_type="application/json")

    server = HttpServer(app, "127.0.0.1", port, flag="PORT")
    await server.start()
    await stopper.wait()
    await server.stop()


if __name__ == "__main__":
    sys.exit(run_server(lambda stopper: _serve(int(sys.argv[1]), int(sys.argv[2]), stopper), supervised=False))
