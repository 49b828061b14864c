"""The demo: an application with schemas, a base configuration and an operator's token, made through the REST API. Again is once."""

import json
import shlex
from dataclasses import asdict, dataclass
from typing import Any, Final

from akela.client import AkelaClient
from akela.paths import DataDirectory, write_private

APPLICATION: Final = "demo"
ENDPOINT: Final = "demo-1"

PROFILE: Final = {
    "type": "record",
    "name": "Profile",
    "namespace": "demo",
    "fields": [
        {"name": "model", "type": "string", "default": "unknown"},
        {"name": "firmware", "type": "string", "default": "0.0.0"},
        {"name": "location", "type": "string", "optional": True},
    ],
}
CONFIG: Final = {
    "type": "record",
    "name": "Config",
    "namespace": "demo",
    "fields": [
        {"name": "interval", "type": "int", "default": 60},
        {
            "name": "unit",
            "type": {"type": "enum", "name": "Unit", "symbols": ["celsius", "fahrenheit"]},
            "default": "celsius",
            "akela.authority": "hold",
        },
        {"name": "label", "type": "string", "optional": True, "akela.authority": "device"},
        {
            "name": "network",
            "type": {
                "type": "record",
                "name": "Network",
                "fields": [
                    {"name": "retry", "type": "int", "default": 3},
                    {"name": "timeout", "type": "double", "default": 5.0},
                ],
            },
        },
    ],
}
READINGS: Final = {
    "type": "record",
    "name": "Reading",
    "namespace": "demo",
    "fields": [
        {"name": "sensor", "type": "string"},
        {"name": "value", "type": "double"},
        {"name": "seq", "type": "long", "optional": True},
    ],
}
BASE: Final = {"interval": 30, "network": {"retry": 5}}


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo's commands need; kept in the data directory."""

    app: str
    claim_secret: str
    endpoint: str
    operator_user: str
    operator_token: str
    admin_token: str
    bootstrap: str
    mqtt: str
    api: str
    trust_key: str


def set_up(client: AkelaClient, directory: DataDirectory, *, user: str, mqtt: str, bootstrap: str) -> Demo:
    """Make what is not there yet, and write `demo.json` and `demo.env`. `client` is signed in."""
    known = _known(directory)
    app, claim_secret = _application(client, known)
    for kind, name, body in (
        ("profile", "default", PROFILE),
        ("config", "default", CONFIG),
        ("log", "readings", READINGS),
    ):
        client.post(f"/applications/{app}/schemas", {"kind": kind, "name": name, "body": body})
    if known.get("app") != app:
        client.put(f"/applications/{app}/configurations/all/-", {"data": BASE})
        operator = client.post("/tokens", {"name": "demo operator", "roles": ["tenant-viewer"]})["token"]
        admin = client.post("/tokens", {"name": "demo admin"})["token"]
    else:
        operator, admin = known["operator_token"], known["admin_token"]
    keys = client.get("/bootstrap-keys")["items"]
    demo = Demo(
        app, claim_secret, ENDPOINT, user, operator, admin, bootstrap, mqtt, client.api, keys[0] if keys else ""
    )
    _write(directory, demo)
    return demo


def _known(directory: DataDirectory) -> dict[str, Any]:
    try:
        value = json.loads(directory.demo.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _application(client: AkelaClient, known: dict[str, Any]) -> tuple[str, str]:
    """Token and claim secret of the demo application; a secret that is not known any more is replaced."""
    for row in client.every("/applications"):
        if row["name"] == APPLICATION:
            if known.get("app") == row["id"]:
                return row["id"], known["claim_secret"]
            return row["id"], client.post(f"/applications/{row['id']}/claim-secrets")["claim_secret"]
    made = client.post("/applications", {"name": APPLICATION, "trust": "open"})
    return made["id"], made["claim_secret"]


def _write(directory: DataDirectory, demo: Demo) -> None:
    write_private(directory.demo, json.dumps(asdict(demo), indent=1) + "\n")
    variables = {
        "PORT": demo.mqtt.rpartition(":")[2], "BOOT": demo.bootstrap.rpartition(":")[2], "APP": demo.app, "CLAIM": demo.claim_secret,
        "OPERATOR": demo.operator_user, "TOKEN": demo.operator_token, "ADMIN_TOKEN": demo.admin_token, "API": demo.api,
    }  # fmt: skip
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    write_private(directory.demo.with_suffix(".env"), "\n".join(lines) + "\n")
