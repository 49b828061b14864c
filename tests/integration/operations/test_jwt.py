"""Endpoints that come with a JSON Web Token: who gets in, how long, what ends it, and what operators see."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from akela.client import AkelaClient, ApiError
from tests import mqtt
from tests.akela_up import AkelaUp
from tests.mqtt import WAIT_S, Wire
from tests.watching import Watch

SIGNERS: dict[str, Any] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": rsa.generate_private_key(65537, 2048),
}


def pem(signer: Any) -> str:
    return str(signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


class Fleet:
    """An application with a key of each algorithm, named for it."""

    def __init__(self, akela: AkelaUp, trust: str = "open") -> None:
        self.akela = akela
        self.api = AkelaClient(akela.ready["api"], akela.demo["admin_token"])
        self.name = f"fleet-{secrets.token_hex(4)}"
        made = self.api.post("/applications", {"name": self.name, "trust": trust})
        self.app, self.path = str(made["id"]), f"/applications/{made['id']}"
        self.keys = [{"id": name, "algorithm": name, "public_key": pem(signer)} for name, signer in SIGNERS.items()]
        self.api.patch(self.path, {"keys": self.keys})

    def token(self, ep: str, by: str = "ES256", *, signer: Any = None, **claims: Any) -> str:
        """A token that its key's owner has signed."""
        said = {"sub": ep, "aud": self.app, "exp": datetime.now(UTC) + timedelta(hours=1)} | claims
        return jwt.encode(said, signer or SIGNERS[by], by, headers={"kid": by})

    async def wire(self, ep: str, token: str) -> tuple[Wire, int]:
        """A connection with a token, and the code of its CONNACK."""
        wire = await Wire.open(int(self.akela.port()))
        wire.send(mqtt.connect(ep, username=self.app, password=token))
        answer = await wire.packet()
        assert answer.first == 0x20
        return wire, answer.body[1]

    async def ready(self) -> None:
        """Return when the server knows the application and its keys: a provisioned device gets in."""
        self.api.post(f"{self.path}/endpoints", {"id": "probe"})
        async with asyncio.timeout(WAIT_S):
            while (await self.wire("probe", self.token("probe")))[1]:
                await asyncio.sleep(0.02)

    async def attached(self, ep: str, token: str) -> Wire:
        """A device that got in."""
        wire, code = await self.wire(ep, token)
        assert code == 0
        return wire


@pytest.fixture
async def fleet(akela: AkelaUp) -> AsyncIterator[Fleet]:
    made = Fleet(akela)
    await made.ready()
    yield made
    made.api.close()


@pytest.fixture
async def watch(fleet: Fleet) -> AsyncIterator[Watch]:
    watching = await Watch.over(fleet.akela, fleet.app)
    yield watching
    watching.leave()


@pytest.mark.parametrize("algorithm", SIGNERS)
async def test_a_token_of_each_algorithm_lets_its_endpoint_in(fleet: Fleet, watch: Watch, algorithm: str) -> None:
    wire = await fleet.attached("meter-1", fleet.token("meter-1", algorithm))
    assert (await watch.next("meter-1", "attached"))["via"] == "jwt"
    await wire.published("a1/me/u/value/t", "1")
    assert fleet.api.get(f"{fleet.path}/endpoints/meter-1")["how"] == "jwt"
    wire.drop()


async def test_a_token_that_opens_nothing_is_refused_and_operators_see_why(fleet: Fleet, watch: Watch) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    for token, reason in (
        (fleet.token("meter-2"), "the JWT's sub is another endpoint"),
        (fleet.token("meter-1", aud="another"), "the JWT's aud is another application"),
        (fleet.token("meter-1", exp=1), "the JWT has expired"),
        (fleet.token("meter-1", signer=other), "the JWT is signed by no key of the application"),
        (fleet.token("meter-1").replace("eyJ", "eyJx", 1), "the JWT cannot be read"),
    ):
        _, code = await fleet.wire("meter-1", token)
        assert code == 5
        assert await watch.refused("meter-1") == reason


async def test_a_session_ends_when_its_token_expires(fleet: Fleet, watch: Watch) -> None:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    wire = await fleet.attached("meter-1", fleet.token("meter-1", exp=expires))
    await wire.closed()
    assert datetime.now(UTC) >= expires
    about = await watch.next("meter-1", "detached")
    assert about.items() >= {"cause": "host", "reason": "the JWT has expired"}.items()


async def test_a_newer_token_keeps_the_session(fleet: Fleet) -> None:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    first = await fleet.attached("meter-1", fleet.token("meter-1", exp=expires))
    second = await fleet.attached("meter-1", fleet.token("meter-1"))
    await first.closed()  # taken over
    probe = await fleet.attached("meter-2", fleet.token("meter-2", exp=expires))
    await probe.closed()  # the first token's time has come, too
    await second.quiet()
    second.drop()


async def test_a_key_that_is_taken_away_ends_its_sessions_and_no_others(
    fleet: Fleet, watch: Watch, tmp_path: Path
) -> None:
    gone = await fleet.attached("meter-1", fleet.token("meter-1", "EdDSA"))
    kept = await fleet.attached("meter-2", fleet.token("meter-2"))
    fleet.akela.akela("app", "key-delete", fleet.name, "EdDSA", "--yes")
    await gone.closed()
    said = await watch.next("meter-1", "detached")
    assert said.items() >= {"cause": "host", "reason": "the key that signed the JWT is withdrawn"}.items()
    _, code = await fleet.wire("meter-1", fleet.token("meter-1", "EdDSA"))
    assert code == 5
    assert await watch.refused("meter-1") == "the JWT's kid is no key of the application"
    await kept.quiet()
    file = tmp_path / "key.pem"
    file.write_text(pem(SIGNERS["EdDSA"]))
    fleet.akela.akela("app", "key-add", fleet.name, "EdDSA", str(file), "--algorithm", "EdDSA")
    shown = fleet.akela.value("app", "keys", fleet.name)["items"]
    assert {row["id"] for row in shown} == set(SIGNERS)


async def test_another_key_under_the_same_id_ends_what_the_old_one_signed(fleet: Fleet) -> None:
    wire = await fleet.attached("meter-1", fleet.token("meter-1"))
    other = ec.generate_private_key(ec.SECP256R1())
    keys = [key | {"public_key": pem(other)} if key["id"] == "ES256" else key for key in fleet.keys]
    fleet.api.patch(fleet.path, {"keys": keys})
    await wire.closed()
    (await fleet.attached("meter-1", fleet.token("meter-1", signer=other))).drop()


@pytest.mark.parametrize("trust", ["listed", "closed"])
async def test_where_trust_is_not_open_a_token_opens_provisioned_endpoints_only(akela: AkelaUp, trust: str) -> None:
    fleet = Fleet(akela, trust)
    await fleet.ready()
    fleet.api.post(f"{fleet.path}/endpoints", {"id": "meter-1"})
    for ep, expected in (("meter-1", 0), ("meter-2", 5)):
        _, code = await fleet.wire(ep, fleet.token(ep))  # an endpoint is read when it connects
        assert code == expected
    fleet.api.close()


async def test_a_revoked_endpoint_stays_out_whatever_token_it_has(fleet: Fleet, watch: Watch) -> None:
    wire = await fleet.attached("meter-1", fleet.token("meter-1"))
    fleet.api.act(f"{fleet.path}/endpoints/meter-1", "revoke")
    await wire.closed()
    _, code = await fleet.wire("meter-1", fleet.token("meter-1"))
    assert code == 5
    assert await watch.refused("meter-1") == "the endpoint is revoked"


async def test_a_token_gets_no_credential_that_would_outlive_it(fleet: Fleet, watch: Watch) -> None:
    wire = await fleet.attached("meter-1", fleet.token("meter-1"))
    await wire.subscribed(("a1/me/d/re/#", 0))
    wire.send(mqtt.publish("a1/me/u/reg/r1"))
    assert (await wire.message()).topic == "a1/me/d/re/r1/409"
    assert "came by certificate or JWT" in await watch.refused("meter-1")
    assert fleet.api.get(f"{fleet.path}/endpoints/meter-1")["credentials"] == []
    wire.drop()


def test_a_key_must_fit_its_algorithm(fleet: Fleet) -> None:
    key = {"id": "k", "algorithm": "RS256", "public_key": pem(SIGNERS["ES256"])}
    with pytest.raises(ApiError) as found:
        fleet.api.patch(fleet.path, {"keys": [key]})
    assert found.value.status == 422
    assert found.value.errors[0]["path"] == "/keys/0/public_key"
    assert "RS256 takes an RSA key of 2048 bits or more" in str(found.value)
