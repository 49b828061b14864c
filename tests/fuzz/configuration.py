"""amqtt's configuration file: texts, damaged files, and values of the wrong kind. Each is taken or refused."""

import contextlib
import random
import tempfile
from pathlib import Path
from typing import Any

import yaml

from broker.amqtt_host import AmqttConfigError, settings_of
from broker.amqtt_host.config import read_config
from tests.fuzz.session import damaged

GOOD: dict[str, Any] = {
    "listeners": {
        "default": {"type": "tcp", "bind": "127.0.0.1:1883", "max-connections": 5},
        "ws": {"type": "ws", "bind": "[::1]:8080", "ssl": False, "cafile": None},
    },
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow-anonymous": True}, "a.b": None},
    "timeout-disconnect-delay": 2,
    "session_expiry_interval": 60,
    "auth": {"plugins": ["auth_anonymous"]},
    "topic-check": {"enabled": False},
}
WRONG: list[Any] = [
    None,
    True,
    -1,
    10**30,
    float("nan"),
    "",
    ":",
    "::1",
    "127.0.0.1:99999",
    [],
    [1],
    {},
    {"a": 1},
    {1: 2},
    "\0",
]


def changed(value: Any, chance: random.Random) -> Any:
    """The value with something in it taken out or put in another's place."""
    if not isinstance(value, dict) or not value or chance.random() < 0.2:
        return chance.choice(WRONG)
    key = chance.choice(list(value))
    rest = dict(value)
    match chance.randrange(4):
        case 0:
            del rest[key]
        case 1:
            rest[chance.choice(["bind", "type", "colour", 7, key])] = rest.pop(key)
        case _:
            rest[key] = changed(rest[key], chance)
    return rest


def run(inputs: int, seed: int) -> int:
    """Configurations from files; gives how many were taken."""
    chance, taken = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "broker.yaml"
        for _ in range(inputs):
            text = yaml.safe_dump(changed(GOOD, chance)).encode()
            file.write_bytes(damaged(text, chance) if chance.random() < 0.3 else text)
            with contextlib.suppress(AmqttConfigError):
                settings_of(read_config(file))
                taken += 1
    return taken
