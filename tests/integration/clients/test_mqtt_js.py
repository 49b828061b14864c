"""mqtt.js: MQTT 3.1.1 and 5.0, over TCP, WebSocket and TLS. Its scenario is in mqtt_js.cjs; what was reached is in its standard error."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.clients.conftest import PASSWORD, USER, Running

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / ".cache/node_modules"
SCHEMES = {"default": "mqtt", "ws": "ws", "tls": "mqtts", "wss": "wss"}


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("transport", SCHEMES)
def test_it_connects_publishes_and_hears(running: Running, transport: str, version: int) -> None:
    assert (MODULES / "mqtt").is_dir(), "mqtt.js is missing: sh tests/install_requirements.sh installs it"
    url = f"{SCHEMES[transport]}://localhost:{running.ports[transport]}"
    done = subprocess.run(
        ["node", str(HERE / "mqtt_js.cjs"), url, str(version), USER, PASSWORD],
        capture_output=True, text=True, timeout=60, env=os.environ | {"NODE_PATH": str(MODULES)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
