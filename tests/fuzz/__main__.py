"""`python -m tests.fuzz [INPUTS]`: so many inputs on decoder and session, and a share of them on each other reader."""

import sys
import time
from collections.abc import Callable

from tests.fuzz import configuration, edges, session

STEP = 50_000
# name -> (what runs, its share of the inputs)
READERS: dict[str, tuple[Callable[[int, int], int], float]] = {
    "decoder and session": (session.run, 1.0),
    "WebSocket framing": (edges.run_websocket, 0.1),
    "PROXY header": (edges.run_proxy, 0.1),
    "trace": (edges.run_trace, 0.1),
    "amqtt configuration": (configuration.run, 0.01),
}


def main(inputs: int) -> None:
    began = time.monotonic()
    for name, (run, share) in READERS.items():
        total = max(1, int(inputs * share))
        for start in range(0, total, STEP):
            step = min(STEP, total - start)
            counted = run(step, start)
            print(f"{name}: {start + step:>9,} inputs, {counted:,} whole, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
