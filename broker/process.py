"""Makes a process fit to hold many connections. For the program that a broker is started by, not for the broker itself."""

import gc
import logging
import resource
from typing import Final

log = logging.getLogger(__name__)

SPARE_FILES: Final = 100  # for what is no client: listeners, the store, links to other servers, logs
YOUNG_OBJECTS: Final = 20_000  # a connection makes some 20 objects that refer to each other


def prepare(max_connections: int) -> int:
    """Let this process open as many files as it may, and look for garbage less often; returns how many connections it can hold.

    A client is an open file; the usual limit of 1,024 is for programs that use `select`, which nothing here does. Cyclic garbage is
    made by connections that end, not by messages, so a collection every 700 objects (CPython's default) only walks through sessions.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + SPARE_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.info(
            "fewer connections than wanted, as the system allows no more open files (ulimit -Hn, LimitNOFILE)",
            extra={"wanted": max_connections, "connections": allowed - SPARE_FILES},
        )
    return max(allowed - SPARE_FILES, 1)
