"""Endpoints that come with a certificate, over a real TLS listener: who gets in, how long, and what ends it."""

import asyncio
import secrets
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from akela.client import AkelaClient, ApiError
from broker import KeyPair
from tests import mqtt
from tests.akela_up import AkelaUp, started
from tests.certificates import Authority
from tests.mqtt import WAIT_S, Wire
from tests.watching import Watch


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the server's own certificate."""
    return Authority(tmp_path_factory.mktemp("host"), "host")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, host: Authority) -> Iterator[AkelaUp]:
    """An Akela that speaks TLS, too."""
    pair = host.pair("localhost")
    environment = {"AKELA_TLS_CERT": str(pair.certificate), "AKELA_TLS_KEY": str(pair.key)}
    yield from started(tmp_path_factory.mktemp("certificates") / "data", "--operations", "1", environment=environment)


class Fleet:
    """An application, and who signs its devices' certificates."""

    def __init__(self, up: AkelaUp, host: Authority, directory: Path, trust: str = "open") -> None:
        self.up = up
        self.host = host
        self.api = AkelaClient(up.ready["api"], up.demo["admin_token"])
        self.name = f"fleet-{secrets.token_hex(4)}"
        made = self.api.post("/applications", {"name": self.name, "trust": trust})
        self.app, self.claim = str(made["id"]), str(made["claim_secret"])
        self.path = f"/applications/{self.app}"
        self.port = 8883 + up.offset
        self.factory = Authority(directory, f"factory {self.name}")

    def trusted(self, factory: Authority, name: str = "factory", **fields: Any) -> None:
        """Trust an authority; returns when TLS does, too."""
        body = {"name": name, "certificate": factory.file.read_text(), **fields}
        self.api.post(f"{self.path}/authorities", body)
        self.until_tls(factory, fields.get("pattern", "{ep}"))

    def until_tls(self, factory: Authority, pattern: str = "{ep}") -> None:
        """Return when a device gets in by an authority: TLS takes it up a little after the server."""
        probe = f"probe-{secrets.token_hex(4)}"
        self.api.post(f"{self.path}/endpoints", {"id": probe})
        name = pattern.replace("{ep}", probe)
        pair = factory.pair(name, probe, uri=name if ":" in name else None)
        deadline = datetime.now(UTC) + timedelta(seconds=WAIT_S)
        while (said := self.mosquitto(probe, pair)).returncode:
            assert datetime.now(UTC) < deadline, said.stderr

    def mosquitto(self, ep: str, pair: KeyPair | None, *more: str) -> subprocess.CompletedProcess[bytes]:
        """A reading, published by mosquitto_pub."""
        files = [] if pair is None else ["--cert", str(pair.certificate), "--key", str(pair.key)]
        where = ["-h", "localhost", "-p", str(self.port), "--cafile", str(self.host.file), *files]
        return subprocess.run(
            ["mosquitto_pub", *where, "-i", ep, "-u", self.app, *more, "-q", "1", "-t", "a1/me/u/value/t", "-m", "1"],
            capture_output=True,
            timeout=20,
        )

    async def wire(self, ep: str, pair: KeyPair, *, app: str | None = None) -> tuple[Wire, int]:
        """A connection by certificate, and the code of its CONNACK."""
        context = ssl.create_default_context(cafile=str(self.host.file))
        context.load_cert_chain(pair.certificate, pair.key)
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="localhost"))
        wire.send(mqtt.connect(ep, username=app or self.app))
        answer = await wire.packet()
        assert answer.first == 0x20
        return wire, answer.body[1]

    async def attached(self, ep: str, pair: KeyPair) -> Wire:
        """A device that got in."""
        wire, code = await self.wire(ep, pair)
        assert code == 0
        return wire

    def shown(self, ep: str) -> Any:
        """An endpoint as REST shows it."""
        return self.api.get(f"{self.path}/endpoints/{ep}")


@pytest.fixture
def fleet(up: AkelaUp, host: Authority, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet that trusts its factory."""
    made = Fleet(up, host, tmp_path)
    made.trusted(made.factory)
    yield made
    made.api.close()


@pytest.fixture
async def watch(fleet: Fleet) -> AsyncIterator[Watch]:
    """What operators see of it."""
    watching = await Watch.over(fleet.up, fleet.app)
    yield watching
    watching.leave()


async def test_a_device_needs_no_password_and_what_it_showed_is_kept(fleet: Fleet, watch: Watch) -> None:
    pair = fleet.factory.pair("meter-1", lasts=timedelta(days=10))
    done = await asyncio.to_thread(fleet.mosquitto, "meter-1", pair)
    assert done.returncode == 0, done.stderr
    assert (await watch.next("meter-1", "attached"))["via"] == "x509"
    await watch.next("meter-1", "detached")
    records = fleet.up.value("logs", "query", "--app", fleet.name, "values")["items"]
    assert "meter-1" in {record["endpoint"] for record in records}

    def report(within: str) -> Any:
        found = fleet.up.value("endpoint", "certificates", "--app", fleet.name, "--within", within)["items"]
        assert found == sorted(found, key=lambda row: row["not_after"])  # among others that of the probe
        return [row for row in found if row["id"] == "meter-1"]

    (row,) = await until_there(lambda: report("11d"))
    assert (row["id"], row["subject"], row["authority"]) == ("meter-1", "CN=meter-1", f"{fleet.app}/factory")
    assert report("9d") == []
    shown = fleet.shown("meter-1")
    assert (shown["how"], shown["certificate"]["serial"]) == ("x509", row["serial"])

    newer = fleet.factory.pair("meter-1", lasts=timedelta(days=20))  # it is renewed
    (await fleet.attached("meter-1", newer)).drop()
    await until_there(lambda: not report("11d"))
    assert report("21d")[0]["serial"] != row["serial"]


async def until_there(asked: Any) -> Any:
    """What is asked for, as soon as it is there: it is written behind."""
    async with asyncio.timeout(WAIT_S):
        while not (found := await asyncio.to_thread(asked)):
            await asyncio.sleep(0.05)
    return found


async def test_a_certificate_opens_no_other_endpoint(fleet: Fleet, watch: Watch) -> None:
    _, code = await fleet.wire("meter-2", fleet.factory.pair("meter-1"))
    assert code == 5
    assert await watch.refused("meter-2") == "the certificate is for another endpoint: its cn is not 'meter-2'"


async def test_an_authority_is_good_for_its_own_application_only(fleet: Fleet, host: Authority, tmp_path: Path) -> None:
    other = Fleet(fleet.up, host, tmp_path)
    await asyncio.to_thread(other.trusted, other.factory)
    watch = await Watch.over(other.up, other.app)
    _, code = await fleet.wire("meter-1", fleet.factory.pair("meter-1"), app=other.app)
    assert code == 5
    assert await watch.refused("meter-1") == "the certificate is signed by no authority of this application"
    watch.leave()
    other.api.close()


def test_what_no_authority_has_signed_fails_in_the_handshake(fleet: Fleet, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    done = fleet.mosquitto("meter-1", stranger.pair("meter-1"))
    assert done.returncode != 0
    same_name = Authority(tmp_path, f"factory {fleet.name}", file="impostor")
    assert fleet.mosquitto("meter-1", same_name.pair("meter-1", "forged")).returncode != 0
    expired = fleet.factory.pair("meter-1", "expired", lasts=timedelta(seconds=-1))
    assert fleet.mosquitto("meter-1", expired).returncode != 0
    assert fleet.mosquitto("meter-1", None).returncode == 5  # neither a certificate nor a password
    assert fleet.mosquitto("meter-1", None, "-P", fleet.claim).returncode == 0  # TLS asks, and does not insist


async def test_a_session_ends_when_its_certificate_expires(fleet: Fleet, watch: Watch) -> None:
    not_after = datetime.now(UTC) + timedelta(seconds=3)
    wire = await fleet.attached("meter-1", fleet.factory.pair("meter-1", lasts=timedelta(seconds=3)))
    await wire.closed()
    assert datetime.now(UTC) >= not_after.replace(microsecond=0)
    about = await watch.next("meter-1", "detached")
    assert about.items() >= {"cause": "host", "reason": "the certificate has expired"}.items()


def test_an_mqtt_5_client_is_told_so_by_paho(fleet: Fleet) -> None:
    pair = fleet.factory.pair("meter-5", lasts=timedelta(seconds=3))
    ended = threading.Event()
    codes: list[int] = []
    client: Any = paho.Client(CallbackAPIVersion.VERSION2, "meter-5", protocol=paho.MQTTv5, reconnect_on_failure=False)
    client.username_pw_set(fleet.app)
    client.tls_set(str(fleet.host.file), str(pair.certificate), str(pair.key))

    def on_disconnect(_client: object, _data: object, _flags: object, code: Any, _properties: object) -> None:
        codes.append(code.value)
        ended.set()

    client.on_disconnect = on_disconnect
    client.connect("localhost", fleet.port)
    client.loop_start()
    assert ended.wait(WAIT_S)
    client.loop_stop()
    assert codes == [0x87]


async def test_a_withdrawn_authority_ends_its_sessions_and_no_others(
    fleet: Fleet, watch: Watch, tmp_path: Path
) -> None:
    second = Authority(tmp_path, f"second {fleet.name}")
    await asyncio.to_thread(fleet.trusted, second, "second")
    gone = await fleet.attached("meter-1", fleet.factory.pair("meter-1"))
    kept = await fleet.attached("meter-2", second.pair("meter-2"))
    await asyncio.to_thread(fleet.up.akela, "authority", "delete", "factory", "--app", fleet.name, "--yes")
    await gone.closed()
    said = await watch.next("meter-1", "detached")
    assert said.items() >= {"cause": "host", "reason": "the authority that signed the certificate is withdrawn"}.items()
    await kept.quiet()
    done = await asyncio.to_thread(fleet.mosquitto, "meter-1", fleet.factory.pair("meter-1"))
    assert done.returncode != 0


async def test_an_authority_is_renewed_without_harm_and_replaced_with_effect(fleet: Fleet, tmp_path: Path) -> None:
    path = f"{fleet.path}/authorities/factory"
    wire = await fleet.attached("meter-1", fleet.factory.pair("meter-1"))
    fleet.factory.renewed(timedelta(days=9))
    fleet.api.patch(path, {"certificate": fleet.factory.file.read_text()})
    again = await fleet.attached("meter-2", fleet.factory.pair("meter-2"))
    await wire.quiet()
    other = Authority(tmp_path, f"other {fleet.name}")
    fleet.api.patch(path, {"certificate": other.file.read_text()})
    await wire.closed()
    await again.closed()
    await asyncio.to_thread(fleet.until_tls, other)
    (await fleet.attached("meter-1", other.pair("meter-1"))).drop()


async def test_a_revoked_endpoint_is_out_at_once_and_stays_out(fleet: Fleet, watch: Watch) -> None:
    pair = fleet.factory.pair("meter-1")
    wire = await fleet.attached("meter-1", pair)
    fleet.api.act(f"{fleet.path}/endpoints/meter-1", "revoke")
    await wire.closed()
    _, code = await fleet.wire("meter-1", pair)
    assert code == 5
    assert await watch.refused("meter-1") == "the endpoint is revoked"
    fleet.api.act(f"{fleet.path}/endpoints/meter-1", "restore")
    (await fleet.attached("meter-1", pair)).drop()


async def test_a_name_among_the_alternatives_by_a_pattern(fleet: Fleet, watch: Watch, tmp_path: Path) -> None:
    vendor = Authority(tmp_path, f"vendor {fleet.name}")
    await asyncio.to_thread(fleet.trusted, vendor, "vendor", names="uri", pattern="urn:dev:acme:{ep}")
    (await fleet.attached("meter-9", vendor.pair("anybody", uri="urn:dev:acme:meter-9"))).drop()
    _, code = await fleet.wire("meter-8", vendor.pair("meter-8", uri="urn:dev:acme:meter-9"))
    assert code == 5
    assert "its uri is not 'urn:dev:acme:meter-8'" in await watch.refused("meter-8")


@pytest.mark.parametrize("trust", ["listed", "closed"])
def test_where_trust_is_not_open_a_certificate_opens_provisioned_endpoints_only(
    up: AkelaUp, host: Authority, tmp_path: Path, trust: str
) -> None:
    fleet = Fleet(up, host, tmp_path, trust)
    fleet.trusted(fleet.factory)
    fleet.api.post(f"{fleet.path}/endpoints", {"id": "meter-1"})
    for ep, code in (("meter-1", 0), ("meter-2", 5)):
        assert fleet.mosquitto(ep, fleet.factory.pair(ep)).returncode == code
    fleet.api.close()


def test_what_is_no_authority_is_refused_by_field(fleet: Fleet, tmp_path: Path) -> None:
    def wrong(name: str = "new", **fields: Any) -> tuple[int, str, str]:
        body = {"name": name, "certificate": fleet.factory.file.read_text(), **fields}
        with pytest.raises(ApiError) as found:
            fleet.api.post(f"{fleet.path}/authorities", body)
        return found.value.status, str(found.value), repr(found.value.errors)

    leaf = fleet.factory.pair("meter-1").certificate.read_text()
    impostor = Authority(tmp_path, f"factory {fleet.name}", file="impostor")
    outdated = Authority(tmp_path, "outdated")
    outdated.renewed(timedelta(seconds=-1))
    for fields, path, reason in (
        ({"certificate": "x"}, "/certificate", "no certificate in PEM"),
        ({"certificate": leaf}, "/certificate", "CA:FALSE"),
        ({"certificate": leaf + fleet.factory.file.read_text()}, "/certificate", "2 certificates"),
        ({"certificate": outdated.file.read_text()}, "/certificate", "has expired"),
        ({"pattern": "meter"}, "/pattern", "{ep}"),
        ({"names": "ip"}, "/names", "cn"),
    ):
        status, _, errors = wrong(**fields)
        assert status == 422
        assert path in errors
        assert reason in errors
    status, text, _ = wrong(certificate=impostor.file.read_text())
    assert status == 409
    assert "has the subject" in text
