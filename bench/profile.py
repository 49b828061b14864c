"""Where the engine's time goes in a workload: py-spy's flame graph of the measured seconds. It slows the engine down."""

import contextlib
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.peers.akela import Akela
from bench.peers.peer import Peer

PY_SPY: Final = Path(sys.executable).with_name("py-spy")
RATE: Final = 200  # samples per second
WRITING_S: Final = 30.0


def check_profiler() -> None:
    """Raises: BenchError when there is no py-spy."""
    if not PY_SPY.exists():
        raise BenchError("py-spy is not installed here; `make bench` does that, or: pip install py-spy")


@contextlib.contextmanager
def profiled(peer: Peer, pid: int, file: Path | None, seconds: float) -> Iterator[None]:
    """While the block runs, for as long as it is measured; nothing without a file, or for a peer that is not ours.

    Raises: BenchError with what py-spy said, mostly that it may not: it needs root, or ptrace allowed.
    """
    if file is None or not isinstance(peer, Akela):
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    words = (str(PY_SPY), "record", "-p", str(pid), "-d", str(math.ceil(seconds)), "-r", str(RATE), "-o", str(file))
    recording = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield
        _, said = recording.communicate(timeout=WRITING_S)
    finally:
        recording.kill()
        recording.communicate()
    if recording.returncode != 0:
        raise BenchError(f"py-spy: {said.strip().splitlines()[-1] if said.strip() else recording.returncode}")
