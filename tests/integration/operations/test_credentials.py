"""Who may connect, on two real Operations servers: rotation, retirement, quotas, deletion, provisioning ahead."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from akela.client import AkelaClient, ApiError
from tests.akela_up import AkelaUp, Subscriber, publish, request, started
from tests.certificates import Authority

WAIT_S = 20
SITE: dict[str, Any] = {"type": "record", "name": "S", "fields": [{"name": "site", "type": "string"}]}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AkelaUp]:
    """An Akela with two Operations servers."""
    yield from started(tmp_path_factory.mktemp("credentials") / "data", "--operations", "2")


class App:
    """An application of its own."""

    def __init__(self, up: AkelaUp, trust: str) -> None:
        self.up = up
        self.api = AkelaClient(up.ready["api"], up.demo["admin_token"])
        self.name = f"fleet-{secrets.token_hex(4)}"
        made = self.api.post("/applications", {"name": self.name, "trust": trust})
        self.token, self.claim = str(made["id"]), str(made["claim_secret"])
        self.path = f"/applications/{self.token}"

    def device(self, ep: str, password: str, server: int = 0) -> list[str]:
        """Options of Mosquitto's clients."""
        return ["-p", self.up.port(server), "-i", ep, "-u", self.token, "-P", password, "-q", "1"]

    def opens(self, ep: str, password: str, server: int = 0) -> bool:
        """Whether a device gets in."""
        done = publish(self.device(ep, password, server), "a1/me/u/hello", "{}")
        assert done.returncode in (0, 5), done.stderr
        return done.returncode == 0

    def issued(self, ep: str, password: str, server: int = 0) -> dict[str, Any]:
        """What `u/reg` answers, once the server knows the password."""
        self.let_in(ep, password, server)
        answer = request(self.device(ep, password, server), "a1/me/u/reg/r1", "a1/me/d/re/r1/201", "")
        assert isinstance(answer, dict)
        return answer

    def watching(self, server: int = 0) -> Subscriber:
        """An operator's view of what the server decides."""
        demo = self.up.demo
        options = ["-p", self.up.port(server), "-u", demo["operator_user"], "-P", demo["operator_token"]]
        return Subscriber(options, f"a1/{self.token}/+/o/#")

    def shown(self, ep: str) -> Any:
        """An endpoint as REST shows it."""
        return self.api.get(f"{self.path}/endpoints/{ep}")

    def delete(self, path: str) -> None:
        """Delete what is at a path, or under an endpoint's ETag."""
        self.api.delete(f"{self.path}{path}", etag=self.api.etag(f"{self.path}{path}"))

    def shut_out(self, ep: str, password: str, server: int = 0) -> None:
        """Return when a change has reached the server: the device is refused."""
        pause = iter(range(100))
        while self.opens(ep, password, server):
            assert next(pause, None) is not None, f"{ep} still gets in"

    def let_in(self, ep: str, password: str, server: int = 0) -> None:
        """Return when a change has reached the server: the device gets in."""
        pause = iter(range(100))
        while not self.opens(ep, password, server):
            assert next(pause, None) is not None, f"{ep} never gets in"


def test_a_credential_is_rotated_over_mqtt(up: AkelaUp) -> None:
    app = App(up, "open")
    first = app.issued("m1", app.claim)
    second = app.issued("m1", first["credential"])
    assert first["id"] != second["id"]
    assert app.opens("m1", first["credential"])  # an answer that got lost must not lock it out
    third = app.issued("m1", first["credential"])  # and it may ask again
    assert not app.opens("m1", second["credential"])
    assert app.opens("m1", third["credential"])
    app.shut_out("m1", first["credential"], server=1)
    assert not app.opens("m1", app.claim)
    assert app.shown("m1")["credentials"] == [{"id": third["id"], "kind": "token", "used": True}]


def test_an_operator_rotates_and_the_first_use_retires_the_old_one(up: AkelaUp) -> None:
    app = App(up, "closed")
    old = app.api.post(f"{app.path}/endpoints", {"id": "m1"})["credential"]
    app.let_in("m1", old)
    new = json.loads(up.akela("endpoint", "rotate", "--app", app.name, "m1", "--output", "json").stdout)
    with pytest.raises(ApiError, match="at most 2"):
        app.api.post(f"{app.path}/endpoints/m1/credentials", None)
    app.let_in("m1", old)
    app.let_in("m1", new["credential"])
    app.shut_out("m1", old, server=1)
    assert [c["id"] for c in app.shown("m1")["credentials"]] == [new["id"]]
    again = app.api.post(f"{app.path}/endpoints/m1/credentials", None)
    app.let_in("m1", again["credential"])


def test_a_credential_that_is_taken_away_ends_its_session_and_stays_away(up: AkelaUp) -> None:  # K89
    app = App(up, "open")
    own = app.issued("m1", app.claim)
    with app.watching(1) as operator, Subscriber(app.device("m1", own["credential"], 1), "a1/me/d/#"):
        operator.until(f"a1/{app.token}/m1/o/attached")
        path = f"{app.path}/endpoints/m1"
        app.api.delete(f"{path}/credentials/{own['id']}", etag=app.api.etag(path))
        assert operator.json(f"a1/{app.token}/m1/o/detached")["cause"] == "host"
        assert operator.json(f"a1/{app.token}/m1/o/refused")["reason"] == "wrong password"
    assert app.shown("m1")["credentials"] == []
    app.shut_out("m1", own["credential"])
    assert app.opens("m1", app.claim)  # nothing of its own is in use any more


def test_a_quota_holds_over_two_servers_and_says_why(up: AkelaUp) -> None:
    app = App(up, "open")
    made = app.api.post(f"{app.path}/claim-secrets", {"quota": 3, "keep_others": True})
    claim, secret = made["id"], made["claim_secret"]
    for server in (0, 1):
        app.let_in("m0", secret, server)
    with app.watching(0) as first, app.watching(1) as second:
        devices = [
            subprocess.Popen(
                ["mosquitto_pub", *app.device(f"m{n}", secret, n % 2), "-t", "a1/me/u/hello", "-m", "{}"],
                stderr=subprocess.DEVNULL,
            )
            for n in range(1, 9)
        ]
        codes = [device.wait(WAIT_S) for device in devices]
        assert sorted(codes) == [0, 0] + [5] * 6
        outside = next(n for n, code in enumerate(codes, 1) if code)
        operator = (first, second)[outside % 2]
        refused = operator.json(f"a1/{app.token}/m{outside}/o/refused")
        assert (refused["plane"], refused["reason"]) == ("connect", "the claim secret's quota is used up")
    inside = next(n for n, code in enumerate(codes, 1) if code == 0)
    assert app.opens(f"m{inside}", secret)  # registering again costs nothing
    assert [row["id"] for row in app.api.get(f"{app.path}/endpoints")["items"]] == sorted(
        ["m0", *(f"m{n}" for n, code in enumerate(codes, 1) if code == 0)]
    )
    assert app.shown("m0")["claim"] == claim
    counts = {
        row["id"]: row["used"]
        for row in json.loads(up.akela("app", "claims", app.name, "--output", "json").stdout)["items"]
    }
    assert counts[claim] == 3
    assert not app.opens("m99", secret)
    up.akela("app", "claim-update", app.name, claim, "--quota", "4")
    app.let_in("m99", secret)


def test_the_kill_switch_of_a_claim_secret(up: AkelaUp) -> None:
    app = App(up, "open")
    claim = app.api.get(f"{app.path}/claim-secrets")["items"][0]["id"]
    app.let_in("m1", app.claim)
    up.akela("app", "claim-update", app.name, claim, "--revoked")
    app.shut_out("m1", app.claim)
    up.akela("app", "claim-update", app.name, claim, "--not-revoked")
    app.let_in("m1", app.claim)


def test_a_deleted_endpoint_is_thrown_out_and_stays_out(up: AkelaUp) -> None:
    app = App(up, "open")
    app.let_in("m1", app.claim, 1)
    with app.watching(1) as operator, Subscriber(app.device("m1", app.claim, 1), "a1/me/d/#"):
        operator.until(f"a1/{app.token}/m1/o/attached")
        app.delete("/endpoints/m1")
        assert operator.json(f"a1/{app.token}/m1/o/detached")["cause"] == "host"
        assert "was deleted" in operator.json(f"a1/{app.token}/m1/o/refused")["reason"]  # it came back at once
    app.shut_out("m1", app.claim)
    assert app.api.get(f"{app.path}/endpoints")["items"] == []
    departed = json.loads(up.akela("endpoint", "departed", "--app", app.name, "--output", "json").stdout)
    assert [row["id"] for row in departed["items"]] == ["m1"]
    up.akela("endpoint", "readmit", "--app", app.name, "m1")
    app.let_in("m1", app.claim, 1)
    assert up.akela("endpoint", "readmit", "--app", app.name, "m1", check=False).returncode == 1


def test_a_deleted_endpoint_that_is_added_again_begins_anew(up: AkelaUp) -> None:
    app = App(up, "open")
    own = app.issued("m1", app.claim)
    app.let_in("m1", own["credential"])
    app.delete("/endpoints/m1")
    up.akela("endpoint", "add", "--app", app.name, "m1")
    app.shut_out("m1", own["credential"])
    shown = app.shown("m1")
    assert (shown["how"], len(shown["credentials"]), shown["profile"]) == ("provisioned", 1, None)
    assert app.api.get(f"{app.path}/departures")["items"] == []


def test_a_revoked_endpoint_stays_out_under_open_trust(up: AkelaUp) -> None:  # K88
    app = App(up, "open")
    app.let_in("m1", app.claim)
    up.akela("endpoint", "revoke", "--app", app.name, "m1")
    app.shut_out("m1", app.claim)
    with app.watching() as operator:
        assert not app.opens("m1", app.claim)
        assert operator.json(f"a1/{app.token}/m1/o/refused")["reason"] == "the endpoint is revoked"
    up.akela("endpoint", "restore", "--app", app.name, "m1")
    app.let_in("m1", app.claim)


def test_an_endpoint_that_is_provisioned_ahead_registers_once_with_its_server_profile(
    up: AkelaUp,
) -> None:  # K50, K88, K91
    app = App(up, "listed")
    app.api.post(f"{app.path}/schemas", {"kind": "server-profile", "body": SITE})
    app.api.post(f"{app.path}/endpoints", {"id": "m1", "server_profile": {"site": "north"}})
    with app.watching() as operator:
        app.let_in("m1", app.claim)
        assert not app.opens("m2", app.claim)
        assert "not provisioned" in operator.json(f"a1/{app.token}/m2/o/refused")["reason"]
        assert not app.opens("m1", "ake_of_nobody")
    for _ in range(2):
        own = app.issued("m1", app.claim)
    app.let_in("m1", own["credential"])
    assert [row["id"] for row in app.api.get(f"{app.path}/endpoints")["items"]] == ["m1"]
    shown = app.shown("m1")
    assert (shown["how"], shown["server_profile"]) == ("provisioned", {"site": "north"})


def test_keys_for_jwts_and_authorities_are_managed_from_the_command_line(up: AkelaUp, tmp_path: Path) -> None:
    app = App(up, "open")
    authority = Authority(tmp_path, app.name)
    up.akela("authority", "create", "factory", "--app", app.name, "--certificate", str(authority.file))
    shown = json.loads(up.akela("authority", "show", "factory", "--app", app.name, "--output", "json").stdout)
    assert (shown["names"], shown["pattern"], shown["subject"]) == ("cn", "{ep}", f"CN={app.name}")
    pattern = ("--names", "uri", "--pattern", "urn:dev:{ep}")
    up.akela("authority", "update", "factory", "--app", app.name, *pattern)
    other = up.akela("authority", "create", "device", "--app", app.name, "--certificate",
                     str(authority.pair("m1").certificate), check=False)  # fmt: skip
    assert (other.returncode, "no certificate of an authority" in other.stderr) == (1, True)
    key = tmp_path / "key.pem"
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    key.write_bytes(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(serialization.Encoding.PEM, spki))
    up.akela("app", "key-add", app.name, "k1", str(key))
    assert up.akela("app", "key-add", app.name, "k1", str(key), check=False).returncode == 2
    assert up.value("app", "keys", app.name)["items"][0]["algorithm"] == "ES256"
    up.akela("app", "key-delete", app.name, "k1", "--yes")
    assert up.value("app", "show", app.name)["keys"] == []
    up.akela("authority", "delete", "factory", "--app", app.name, "--yes")
    assert app.api.get(f"{app.path}/certificates", within_days=30)["items"] == []
    assert up.value("endpoint", "certificates", "--app", app.name, "--within", "4w")["items"] == []
    wrong = up.akela("endpoint", "certificates", "--app", app.name, "--within", "soon", check=False)
    assert (wrong.returncode, "30d" in wrong.stderr) == (2, True)
