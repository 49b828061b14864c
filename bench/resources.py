"""What processes use, read from /proc; which core they are on. Linux; elsewhere nothing is pinned."""

import contextlib
import os
import resource
import signal
from pathlib import Path


def raise_file_limit() -> None:
    """Allow as many connections as the machine does; started processes inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def cpu_seconds(pid: int) -> float:
    """Processor time that the living threads of a process have used. The kernel's ticks would be too coarse for half a second."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def end_children() -> None:
    """Kill what this process has started and not yet ended: an interrupt may come while a start is half done."""
    for task in list(Path("/proc/self/task").iterdir()):
        children = []
        with contextlib.suppress(OSError):  # a thread that has ended meanwhile
            children = (task / "children").read_text().split()
        for pid in children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)


def cores() -> tuple[set[int], set[int]]:
    """(the broker's core, the load's cores); the same ones where there is only one."""
    all_cores = sorted(os.sched_getaffinity(0))
    return {all_cores[0]}, set(all_cores[1:] or all_cores)
