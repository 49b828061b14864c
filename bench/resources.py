"""What processes use, read from /proc; which core they are on. Linux; elsewhere nothing is pinned."""

import contextlib
import os
import resource
import signal
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def raise_file_limit() -> None:
    """Allow as many connections as the machine does; started processes inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used, with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def end_children() -> None:
    """Kill what this process has started and not yet ended: an interrupt may come while a start is half done."""
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)


def cores() -> tuple[set[int], set[int]]:
    """(the broker's core, the load's cores); the same ones where there is only one."""
    all_cores = sorted(os.sched_getaffinity(0))
    return {all_cores[0]}, set(all_cores[1:] or all_cores)
