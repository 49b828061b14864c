"""Free ports for servers that tests start."""

import socket
from typing import Final

EPHEMERAL: Final = 32768  # Linux: net.ipv4.ip_local_port_range begins here
LOWEST: Final = 10_000


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_offset(ports: tuple[int, ...]) -> int:
    """An offset at which each of `ports` is free; different processes of a test run try different ones first.

    The ports end below those that the kernel gives to outgoing connections: a machine with many of them leaves no row of those free.
    """
    last = EPHEMERAL - max(ports)
    first = min(LOWEST, last)
    begin = first + free_port() % max(1, last - first)
    offsets = list(range(begin, last, 37)) + list(range(first, begin, 37))
    for offset in offsets:
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
