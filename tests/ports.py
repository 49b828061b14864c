"""Free ports for servers that tests start."""

import socket
from typing import Final

SYSTEM_PORTS: Final[int] = 32768


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_offset(ports: tuple[int, ...], start: int = 20000) -> int:
    """An offset at which each of `ports` is free; different processes of a test run try different ones first.

    The ports stay below the range from which the system takes those of outgoing connections (32768 on Linux): a load test fills it.
    """
    offsets = list(range(start, SYSTEM_PORTS - max(ports), 37))
    first = free_port() % len(offsets)
    for offset in offsets[first:] + offsets[:first]:
        if all(_is_free(port + offset) for port in ports):
            return offset
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
