"""amqtt's LDAP plugins against a real directory, its certificate plugin against real certificates; and plugins that block."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from amqtt.plugins.base import BaseAuthPlugin

from broker.amqtt_host import AmqttConfigError
from broker.amqtt_host.blocking import MAX_THREADS
from tests.certificates import Authority
from tests.integration.amqtt_host.conftest import Host
from tests.mqtt import WAIT_S, Wire, connect, publish
from tests.mqtt5 import Wire5
from tests.slapd import ADMIN, BASE, PASSWORD, Slapd

LDAP = "amqtt.contrib.ldap"
HERE = "tests.integration.amqtt_host.test_directory_and_certificates"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd") / "db") as running:
        yield running


def directory(server: str) -> dict[str, Any]:
    return {"server": server, "base_dn": BASE, "user_attribute": "uid", "bind_dn": ADMIN, "bind_password": PASSWORD}


async def code(port: int, client_id: str = "c", **who: Any) -> int:
    """The return code of a CONNECT."""
    wire = await Wire.open(port)
    wire.send(connect(client_id, **who))
    return (await wire.packet()).body[1]


async def test_ldap_users(host: Host, slapd: Slapd) -> None:
    port = await host({f"{LDAP}.UserAuthLdapPlugin": directory(slapd.server)})
    assert await code(port, username="ann", password="ann's") == 0
    assert await code(port, username="ann", password="bob's") == 5
    assert await code(port, username="ann", password="") == 5
    assert await code(port, username="nobody", password="x") == 5


async def test_ldap_topics(host: Host, slapd: Slapd) -> None:
    attributes = {"publish_attribute": "description", "subscribe_attribute": "street", "receive_attribute": "title"}
    plugins = {
        f"{LDAP}.UserAuthLdapPlugin": directory(slapd.server),
        f"{LDAP}.TopicAuthLdapPlugin": directory(slapd.server) | attributes,
    }
    port = await host(plugins)
    ann = await Wire.connected(port, connect("a", username="ann", password="ann's"))
    assert await ann.subscribed(("up/#", 0), ("down/#", 0)) == [0, 0x80]
    for topic in ("up/secret", "up/heard", "down/x"):
        ann.send(publish(topic, topic))
    assert (await ann.message()).topic == "up/heard"
    await ann.quiet()


async def test_a_directory_that_goes_away_is_a_refusal(host: Host, tmp_path: Path) -> None:
    with Slapd(tmp_path / "db") as running:
        port = await host({f"{LDAP}.UserAuthLdapPlugin": directory(running.server)})
        kept = await Wire.connected(port, connect("kept", username="ann", password="ann's"))
    assert await code(port, username="ann", password="ann's") == 3
    await kept.quiet()


async def test_a_directory_that_is_not_there_is_named_at_the_start(host: Host) -> None:
    with pytest.raises(AmqttConfigError, match=r"UserAuthLdapPlugin.*contact LDAP server"):
        await host({f"{LDAP}.UserAuthLdapPlugin": directory("ldap://127.0.0.1:1")})


class Blocking(BaseAuthPlugin):  # type: ignore[misc]
    """Blocks its thread, as a synchronous library does, until it is let go."""

    blocking = True
    go: ClassVar[threading.Event] = threading.Event()

    async def authenticate(self, *, session: Any) -> bool | None:
        if session.username == "slow":
            self.go.wait(WAIT_S)
        if session.username == "awaits":
            await asyncio.Event().wait()
        return True


async def test_a_plugin_that_blocks_holds_up_nobody_else(host: Host) -> None:
    Blocking.go.clear()
    port = await host({f"{HERE}.Blocking": {}}, gate_timeout_s=WAIT_S)
    slow = [await Wire.open(port) for _ in range(MAX_THREADS)]
    for number, wire in enumerate(slow):
        wire.send(connect(f"s{number}", username="slow"))
    async with asyncio.timeout(WAIT_S):  # each has its thread; one more is refused, not queued
        while await code(port, username="quick") == 0:
            pass
    Blocking.go.set()
    for wire in slow:
        assert (await wire.packet()).body[1] == 0
    assert await code(port, username="quick") == 0
    assert await code(port, username="awaits") == 3  # it says that it blocks, and waits for the loop


async def test_certificates(host: Host, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.pair("localhost")
    listener = {
        "ssl": True, "certfile": str(server.certificate), "keyfile": str(server.key), "cafile": str(authority.file)
    }  # fmt: skip
    port = await host({"amqtt.contrib.cert.UserAuthCertPlugin": {"uri-domain": "tests.example"}}, listener)

    async def joined(client_id: str, *, uri: str | None) -> int:
        context = ssl.create_default_context(cafile=str(authority.file))
        if uri is not None:
            pair = authority.pair("device", uri=uri)
            context.load_cert_chain(pair.certificate, pair.key)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        wire = Wire5(reader, writer)
        wire.send(connect(client_id))
        answer = (await wire.packet()).body[1]
        wire.drop()
        return answer

    assert await joined("d1", uri="spiffe://tests.example/device/d1") == 0
    assert await joined("d2", uri="spiffe://tests.example/device/d1") == 5
    assert await joined("d1", uri="spiffe://elsewhere.example/device/d1") == 5
    assert await joined("d1", uri=None) == 5
