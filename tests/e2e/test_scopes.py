"""What Control says of tokens and claim secrets, as MQTT clients meet it."""

import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.akela_up import AkelaUp, publish
from tests.rest import fresh, made, match, sign_in, token_client

TRIES = 200


@pytest.fixture
def admin(akela: AkelaUp) -> Iterator[httpx.Client]:
    base = f"{akela.ready['api']}/api/v1"
    with httpx.Client(base_url=base, timeout=60) as anonymous:
        token = sign_in(anonymous, akela.ready["admin"]["user"], akela.ready["admin"]["password"])
    with token_client(base, token) as client:
        yield client


def subscribed(akela: AkelaUp, token: dict[str, str], topic: str) -> str:
    options = ["-p", akela.port(), "-u", token["id"], "-P", token["token"], "-t", topic, "-E", "-d"]
    done = subprocess.run(["mosquitto_sub", *options], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_a_token_scoped_to_an_application_observes_no_other(akela: AkelaUp, admin: httpx.Client) -> None:
    other = made(admin.post("/applications", json={"name": fresh("other")}))["id"]
    scoped = made(admin.post("/tokens", json={"name": "scoped", "applications": [akela.app]}))
    whole = made(admin.post("/tokens", json={"name": "whole"}))
    assert "Subscribed (mid: 1): 0" in subscribed(akela, scoped, f"a1/{akela.app}/#")
    assert "Subscribed (mid: 1): 128" in subscribed(akela, scoped, f"a1/{other}/#")
    assert "Subscribed (mid: 1): 128" in subscribed(akela, scoped, "$SYS/broker/#")
    for _ in range(TRIES):  # the server hears of a new application by a change event
        if "Subscribed (mid: 1): 0" in subscribed(akela, whole, f"a1/{other}/#"):
            break
    assert "Subscribed (mid: 1): 0" in subscribed(akela, whole, f"a1/{other}/#")


def test_the_kill_switch_of_a_claim_secret(akela: AkelaUp, admin: httpx.Client) -> None:
    application = made(admin.post("/applications", json={"name": fresh("killed")}))
    second = made(admin.post(f"/applications/{application['id']}/claim-secrets", json={"keep_others": True}))

    def connects(secret: str) -> bool:
        options = ["-p", akela.port(), "-i", fresh("e"), "-u", application["id"], "-P", secret, "-q", "1"]
        return publish(options, "a1/me/u/hello", "{}").returncode == 0

    def becomes(secret: str, wanted: bool) -> bool:
        return any(connects(secret) == wanted for _ in range(TRIES))

    assert becomes(second["claim_secret"], wanted=True)
    path = f"/applications/{application['id']}/claim-secrets/{second['id']}"
    made(admin.patch(path, json={"revoked": True}, headers=match(admin, path)), 200)
    assert becomes(second["claim_secret"], wanted=False)
    assert connects(application["claim_secret"])
    made(admin.patch(path, json={"revoked": False}, headers=match(admin, path)), 200)
    assert becomes(second["claim_secret"], wanted=True)
    expired = {"expires": "2026-01-01T00:00:00Z"}
    made(admin.patch(path, json=expired, headers=match(admin, path)), 200)
    assert becomes(second["claim_secret"], wanted=False)
