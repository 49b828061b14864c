"""`akela broker trace` against an Operations server."""

import subprocess
import sys

from tests.akela_up import AkelaUp, Lines, publish


def test_an_endpoint_is_traced_on_an_operations_server(akela: AkelaUp) -> None:
    admin = f"127.0.0.1:{9101 + akela.offset}"
    tracing = subprocess.Popen(
        [sys.executable, "-m", "akela", "broker", "trace", f"{akela.app}/traced-1", "--server", admin],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    lines = Lines(tracing.stdout)
    lines.until("waiting for it")
    publish(akela.device("traced-1"), "a1/me/u/value/temperature", "21.5")
    lines.until(f"{akela.app}/traced-1")
    assert akela.demo["claim_secret"] not in lines.until("closed")
    tracing.terminate()
    tracing.wait(10)
    lines.join()
    assert tracing.stdout is not None
    tracing.stdout.close()
    printed = "".join(lines.seen)
    assert "PUBLISH topic=a1/me/u/value/temperature" in printed
    assert akela.demo["claim_secret"] not in printed
