"""The API against its own description: schemathesis finds nothing; every operation says what it needs to."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.akela_up import AkelaUp, started
from tests.rest import made, sign_in, token_client
from tests.rest_world import World, every

CONFIG = Path(__file__).with_name("schemathesis.toml")
SECONDS = 45
WORKERS = "1"  # with two, CPython 3.11 may end with a SystemError: both parse source at once
# These end the sign-in that all other requests need.
KEPT_OUT = ("/api/v1/logout", "/api/v1/me/password")


def known(world: World) -> str:
    """Settings that lead requests to what is there, so that they reach more than 404."""
    names = {"groups": "g1", "topics": "t1", "sinks": "k1", "streams": "s1", "owners": "o1", "verifiers": "v1"}
    operations = "".join(
        f'[[operations]]\ninclude-path-regex = "/{plural}/.name.$"\nparameters = {{ "path.name" = "{name}" }}\n\n'
        for plural, name in names.items()
    )
    return f'[parameters]\n"path.app" = "{world.app}"\n"path.ep" = "e1"\n\n{operations}'


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[AkelaUp]:
    """An Akela that nobody else uses: it is full of odd things afterwards, and wrong passwords have made its address wait."""
    yield from started(tmp_path / "data")


@pytest.fixture
def admin(alone: AkelaUp) -> Iterator[httpx.Client]:
    """Its first user."""
    login = alone.ready["admin"]
    with httpx.Client(base_url=f"{alone.ready['api']}/api/v1", timeout=60) as anonymous:
        token = sign_in(anonymous, login["user"], login["password"])
    with token_client(httpx.URL(f"{alone.ready['api']}/api/v1"), token) as client:
        yield client


@pytest.mark.timeout(240)
def test_schemathesis_finds_nothing(alone: AkelaUp, admin: httpx.Client, tmp_path: Path) -> None:
    """All its checks: status codes, bodies, content types and headers as described, bad data refused, no server error."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(known(World(admin)) + CONFIG.read_text())
    token = made(admin.post("/tokens", json={"name": "schemathesis"}))["token"]
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run", f"{alone.ready['api']}/openapi.json",
        "-H", f"Authorization: Bearer {token}", "--checks", "all", "--phases", "examples,coverage,fuzzing", "--workers", WORKERS,
        "--max-examples", "5", "--max-time", str(SECONDS), "--seed", "7", "--continue-on-failure", "--no-color",
        "--generation-database", "none", "--warnings", "off", *(word for path in KEPT_OUT for word in ("--exclude-path", path)),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=220, cwd=tmp_path
    )  # it leaves its findings there
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Fuzzing" in done.stdout


def test_every_operation_is_described(akela: AkelaUp) -> None:
    described: dict[str, Any] = httpx.get(f"{akela.ready['api']}/openapi.json").json()
    ids: set[str] = set()
    for operation in every(described):
        value = described["paths"][f"/api/v1{operation.path}"][operation.method.lower()]
        assert value["operationId"] not in ids
        ids.add(value["operationId"])
        assert value["summary"]
        assert value["description"]
        good = [status for status in value["responses"] if status.startswith("2")]
        assert good, operation
        for status, response in value["responses"].items():
            assert "X-Request-Id" in response["headers"]
            if status.startswith(("4", "5")):
                assert list(response["content"]) == ["application/problem+json"], (operation, status)
        creates = operation.method == "POST" and "201" in value["responses"] and operation.path != "/login"
        assert any(p["name"] == "Idempotency-Key" for p in value.get("parameters", ())) == creates
        writes = operation.method in ("PUT", "PATCH", "DELETE") and operation.path != "/me/password"
        assert operation.matched == (
            writes
            or operation.path.rpartition("/")[2] in ("activate", "deactivate", "revoke", "restore", "retry", "leases")
        )
        if operation.method == "PATCH":
            assert list(value["requestBody"]["content"]) == ["application/merge-patch+json"]
    assert len(ids) > 100


def test_everything_that_is_needed_has_an_example(akela: AkelaUp) -> None:
    described: dict[str, Any] = httpx.get(f"{akela.ready['api']}/openapi.json").json()
    schemas = described["components"]["schemas"]

    def followed(schema: dict[str, Any]) -> dict[str, Any]:
        schema = schema["anyOf"][0] if "anyOf" in schema else schema
        return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def has_example(schema: dict[str, Any]) -> bool:
        return bool(schema.keys() & {"examples", "enum", "const", "$ref", "items"})

    for operation in every(described):
        value = described["paths"][f"/api/v1{operation.path}"][operation.method.lower()]
        for parameter in value.get("parameters", ()):
            assert not parameter["required"] or has_example(parameter["schema"]), (operation, parameter["name"])
        for content in value.get("requestBody", {"content": {}})["content"].values():
            body = followed(content["schema"])
            for name in body.get("required", ()):
                assert has_example(body["properties"][name]), (operation, name)


def test_a_path_tells_its_methods(anonymous: httpx.Client) -> None:
    answer = anonymous.request("TRACE", "/applications/x")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, PATCH, PUT"
