"""Free TCP ports for servers that tests start, each given to one test process of this machine at a time.

A port is claimed by a UDP socket on the same number, held until this process ends: no server of ours speaks UDP, the kernel lets one
process at a time have it, and a killed process leaves nothing behind. All ports lie below those that the kernel gives to outgoing
connections.
"""

import os
import socket
from collections.abc import Iterator
from typing import Final

EPHEMERAL: Final = 32768  # Linux: net.ipv4.ip_local_port_range begins here
LOWEST: Final = 10_000
STRIDE: Final = 37  # between the offsets tried: with 1, processes would follow on each other's heels
_claims: Final[dict[int, socket.socket]] = {}


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on, and that no other test process is given."""
    return free_offset((0,))


def free_offset(ports: tuple[int, ...]) -> int:
    """An offset at which each of `ports` is free and given to no other test process."""
    for offset in _offsets(LOWEST, EPHEMERAL - max(ports)):
        if _claimed([port + offset for port in ports]):
            return offset
    raise AssertionError("no free ports")


def _offsets(first: int, last: int) -> Iterator[int]:
    """Each number of [first, last) once; processes begin at different ones."""
    begin = first + os.getpid() * 997 % (last - first)
    for start in range(STRIDE):
        yield from range(begin + start, last, STRIDE)
        yield from range(first + (begin + start - first) % STRIDE, begin, STRIDE)


def _claimed(ports: list[int]) -> bool:
    """Claim all of them, or none."""
    taken: list[int] = []
    for port in ports:
        if port in _claims or not _claim(port):
            break
        taken.append(port)
    else:
        return True
    for port in taken:
        _claims.pop(port).close()
    return False


def _claim(port: int) -> bool:
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    _claims[port] = claim
    return True
