"""The life of a server process: its loop, its signals, its life line, its one-line errors.

SIGTERM and SIGINT ask it to stop; it has 10 s, then it is ended. A supervised process also stops when its standard input ends: that
is its supervisor's life line, which the kernel closes even when the supervisor is killed.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop

from akela.errors import AkelaError

log = logging.getLogger(__name__)

STOP_WITHIN_S: Final = 9.0
EXIT_ERROR: Final = 1


class Stopper:
    """Tells the parts of a server that it is time to stop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Ask to stop; more than once is once."""
        self._event.set()

    async def wait(self) -> None:
        """Return when it is time."""
        await self._event.wait()

    @property
    def stopping(self) -> bool:
        """It is time."""
        return self._event.is_set()


def run_server(main: Callable[[Stopper], Awaitable[None]], *, supervised: bool) -> int:
    """Run `main` until it returns; gives the exit code. AkelaError becomes one line on standard error."""
    try:
        uvloop.run(_run(main, supervised=supervised))
    except AkelaError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return EXIT_ERROR
    return 0


async def _run(main: Callable[[Stopper], Awaitable[None]], *, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    stopper = Stopper()

    def stop() -> None:
        stopper.set()
        _end_process_in(STOP_WITHIN_S)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if supervised:
        threading.Thread(target=_hold_life_line, name="life line", daemon=True).start()
    await main(stopper)


def _hold_life_line() -> None:
    """Read standard input until it ends; then stop as on SIGTERM."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    _end_process_in(STOP_WITHIN_S)


def _end_process_in(seconds: float) -> None:
    """End the process the hard way if it has not ended by then, also when its loop hangs."""
    timer = threading.Timer(seconds, os._exit, (EXIT_ERROR,))
    timer.daemon = True
    timer.start()
