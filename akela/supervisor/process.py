"""One supervised process: started, held by its standard input, restarted, stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from akela.supervisor.plan import Backoff, Child

STOP_WITHIN_S: Final = 4.0
MAX_LINE: Final = 1024 * 1024

Tell = Callable[[str], None]


class SupervisedProcess:
    """Keeps one child running until `stop`."""

    def __init__(self, child: Child, environment: Mapping[str, str], tell: Tell) -> None:
        self.child = child
        self._environment = dict(environment) | dict(child.environment)
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.last_line = ""

    @property
    def pid(self) -> int | None:
        """The process's id, while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it, and start it again whenever it ends."""
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Ask it to stop; kill it when it does not."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_WITHIN_S):
                    await process.wait()
            except TimeoutError:
                self._tell(f"{self.child.name} does not stop; killing it")
                process.kill()
                await process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        backoff = Backoff()
        while not self._stopping:
            started_s = time.monotonic()
            code = await self._run()
            if self._stopping:
                return
            wait_s = backoff.after_death(time.monotonic() - started_s)
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            self._tell(f"{self.child.name} {how}; starting it again in {wait_s:.1f} s")
            if not self.failed.done():
                self.failed.set_result(self.last_line or how)
            await asyncio.sleep(wait_s)

    async def _run(self) -> int:
        """Start the process and follow it to its end. Its own session, so that Ctrl-C reaches only the supervisor."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self.child.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self._environment},
            start_new_session=True,
            limit=MAX_LINE,
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.last_line = line.decode(errors="replace").rstrip()
            self._tell(self.last_line)
        return await self._process.wait()
