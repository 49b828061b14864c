"""amqtt's own plugins, unchanged, and plugins that misbehave: on our engine, with real clients."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from amqtt.contrib.http import RequestMethod
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from broker.amqtt_host import AmqttConfigError
from tests.integration.amqtt_host.conftest import Host
from tests.integration.amqtt_host.faulty import Earplugs, Ears
from tests.mqtt import Wire, connect, publish, subscribe, unsubscribe
from tests.mqtt5 import Wire5

HERE = "tests.integration.amqtt_host.faulty"
ANYBODY: dict[str, Any] = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
SECRET = "a secret of the tests that is long enough"


async def refused(port: int, **who: Any) -> int:
    """The return code of a CONNECT that is refused."""
    wire = await Wire.open(port)
    wire.send(connect("c", **who))
    code = (await wire.packet()).body[1]
    await wire.closed()
    return code


async def until(condition: Callable[[], bool]) -> None:
    """Plugins are told in tasks of their own."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_anonymous(host: Host) -> None:
    port = await host(ANYBODY)
    await Wire.connected(port, connect("c"))
    assert (await Wire5.joined(port, "d")).welcome.reason == 0


async def test_named_users_only(host: Host) -> None:
    port = await host({"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": False}})
    assert await refused(port) == 5
    await Wire.connected(port, connect("c", username="u"))


async def test_password_file(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text(f"# users\nann:{PasswordHash((Argon2Hasher(),)).hash('right')}\n")
    port = await host({"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(file)}})
    assert await refused(port, username="ann", password="wrong") == 5
    assert await refused(port, username="bob", password="right") == 5
    await Wire.connected(port, connect("c", username="ann", password="right"))


async def test_every_plugin_that_answers_must_accept(host: Host, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("")
    both = ANYBODY | {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(tmp_path / "none")}}
    assert await refused(await host(both), username="ann", password="x") == 5


async def test_topic_access_control_lists(host: Host) -> None:
    acl = {"publish_acl": {"ann": ["a/+"]}, "acl": {"ann": ["a/#"], "anonymous": ["b"]}}
    port = await host(ANYBODY | {"amqtt.plugins.topic_checking.TopicAccessControlListPlugin": acl})
    ann, nobody = await Wire.connected(port, connect("ann", username="ann")), await Wire.connected(port, connect("x"))
    assert await ann.subscribed(("a/b", 1), ("b", 0), ("#", 0)) == [1, 0x80, 0x80]
    assert await nobody.subscribed(("b", 0), ("a/b", 0)) == [0, 0x80]
    ann.send(publish("a/b", "mine"))
    assert (await ann.message()).payload == b"mine"
    nobody.send(publish("a/b", "forged", qos=1))
    assert (await nobody.packet()).first == 0x40
    await ann.quiet()


def token(**claims: Any) -> str:
    return str(jwt.encode(claims, SECRET, algorithm="HS256"))


async def test_jwt(host: Host) -> None:
    users = {"secret_key": SECRET, "user_claim": "user"}
    topics = {
        "secret_key": SECRET,
        "publish_claim": "may_pub",
        "subscribe_claim": "may_sub",
        "receive_claim": "may_hear",
    }
    port = await host({"amqtt.contrib.jwt.UserAuthJwtPlugin": users, "amqtt.contrib.jwt.TopicAuthJwtPlugin": topics})
    assert await refused(port, username="ann", password=token(user="bob")) == 5
    assert await refused(port, username="ann", password="no token") == 5
    assert await refused(port, username="ann", password=token(user="ann", exp=1)) == 5
    may = token(user="ann", may_pub=["up/#"], may_sub=["#"], may_hear=["up/heard"])
    ann = await Wire.connected(port, connect("c", username="ann", password=may))
    assert await ann.subscribed(("up/+", 0)) == [0]
    for topic in ("up/secret", "up/heard", "down/x"):
        ann.send(publish(topic, topic))
    assert (await ann.message()).topic == "up/heard"
    await ann.quiet()


async def test_http(host: Host) -> None:
    asked: list[tuple[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((request.path, body))
        if request.path == "/user":
            return web.json_response({"ok": body["password"] == "right"})
        return web.json_response({"ok": body["topic"] == "open"})

    runner = web.AppRunner(web.Application())
    runner.app.router.add_post("/{tail:.*}", answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = {"host": "127.0.0.1", "port": runner.addresses[0][1], "request_method": RequestMethod.POST}
    port = await host(
        {"amqtt.contrib.http.UserAuthHttpPlugin": server, "amqtt.contrib.http.TopicAuthHttpPlugin": server}
    )
    assert await refused(port, username="ann", password="wrong") == 5
    ann = await Wire.connected(port, connect("c", username="ann", password="right"))
    assert await ann.subscribed(("open", 0), ("closed", 0)) == [0, 0x80]
    ann.send(publish("open", "x"), publish("open", "y"))
    assert [(await ann.message()).payload for _ in range(2)] == [b"x", b"y"]
    assert [(path, body.get("acc")) for path, body in asked[2:]] == [("/acl", 4), ("/acl", 4), ("/acl", 2), ("/acl", 1)]
    await runner.cleanup()
    gone = await Wire.open(port)  # the server that decides is gone: nobody gets in
    gone.send(connect("d", username="ann", password="right"))
    assert (await gone.packet()).body[1] == 3
    await ann.quiet()


async def test_a_plugin_hears_of_a_session_s_life(host: Host) -> None:
    port = await host(ANYBODY | {f"{HERE}.Ears": {}})
    wire = await Wire.connected(port, connect("c", username="u"))
    await wire.subscribed(("echo", 1), ("plugin/#", 0))
    assert (await wire.message())[:4] == ("plugin/version", b"1", 0, True)
    wire.send(publish("shout", "hey", qos=1))
    assert {(await wire.packet()).kind for _ in range(2)} == {3, 4}
    wire.send(unsubscribe("echo"))
    assert (await wire.packet()).first == 0xB0
    await wire.leave()
    await until(lambda: ("disconnected", "c", "disconnected") in Ears.heard)
    told = [what for what in Ears.heard if not what[0].startswith("packet")]
    assert told == [
        ("pre_start",),
        ("post_start",),
        ("connected", "c", "u", "connected"),
        ("subscribed", "c", "echo", 1, ["echo", "plugin/#"]),
        ("subscribed", "c", "plugin/#", 0, ["echo", "plugin/#"]),
        ("received", "c", "shout", b"hey", 1),
        ("unsubscribed", "c", "echo"),
        ("disconnected", "c", "disconnected"),
    ]
    await until(lambda: ("packet in", "DisconnectPacket") in Ears.heard)
    packets = [what for what in Ears.heard if what[0].startswith("packet")]
    for name in ("ConnectPacket", "SubscribePacket", "PublishPacket", "UnsubscribePacket"):
        assert ("packet in", name) in packets
    for name in ("ConnackPacket", "SubackPacket", "PublishPacket", "PubackPacket", "UnsubackPacket"):
        assert ("packet out", name) in packets


async def test_amqtt_s_packet_logger(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="amqtt.broker.plugins")
    port = await host(
        ANYBODY
        | {"amqtt.plugins.logging_amqtt.PacketLoggerPlugin": {}, "amqtt.plugins.logging_amqtt.EventLoggerPlugin": {}}
    )
    wire = await Wire.connected(port, connect("c"))
    await wire.quiet()
    await until(lambda: "PingReqPacket" in caplog.text and "PingRespPacket" in caplog.text)
    assert "c <-in-- " in caplog.text
    assert "'on_broker_client_connected' EVENT FIRED" in caplog.text


@pytest.mark.filterwarnings("ignore:.*psutil.*:DeprecationWarning")
async def test_amqtt_s_sys_topics(host: Host) -> None:
    port = await host(ANYBODY | {"amqtt.plugins.sys.broker.BrokerSysPlugin": {"sys_interval": 1}})
    wire = await Wire.connected(port, connect("c"))
    wire.send(subscribe(("$SYS/#", 0)))
    assert (await wire.packet()).first == 0x90
    seen: dict[str, bytes] = {}
    while not {"$SYS/broker/clients/connected", "$SYS/broker/messages/subscriptions/count"} <= seen.keys():
        message = await wire.message()
        seen[message.topic] = message.payload
    assert seen["$SYS/broker/version"].startswith(b"aMQTT version")
    assert seen["$SYS/broker/clients/connected"] == b"1"
    assert seen["$SYS/broker/messages/subscriptions/count"] == b"1"


@pytest.mark.parametrize(("user", "code"), [("bad", 5), ("ignored", 5), ("fails", 3), ("hangs", 3)])
async def test_a_plugin_that_fails_or_hangs_has_refused(host: Host, user: str, code: int) -> None:
    port = await host({f"{HERE}.Moody": {}}, gate_timeout_s=0.1)
    other = await Wire.connected(port, connect("other", username="good"))
    assert await refused(port, username=user) == code
    await other.quiet()


@pytest.mark.parametrize("topic", ["fails", "hangs", "no/publish"])
async def test_a_topic_plugin_that_fails_or_hangs_has_refused(host: Host, topic: str) -> None:
    port = await host(ANYBODY | {f"{HERE}.Earplugs": {}}, gate_timeout_s=0.1)
    wire, listener = await Wire5.joined(port, "a"), await Wire5.joined(port, "trusted")
    await listener.subscribed(("#", 0))
    assert (await wire.told(topic, "x")).reason >= 0x80
    assert (await wire.subscribed((topic if topic != "no/publish" else "no/subscribe", 0)))[0] >= 0x80
    await listener.quiet()


async def test_who_may_not_receive_is_sent_nothing_and_the_order_is_kept(host: Host) -> None:
    port = await host(ANYBODY | {f"{HERE}.Earplugs": {}})
    trusted, curious = await Wire.connected(port, connect("trusted")), await Wire.connected(port, connect("curious"))
    sender = await Wire.connected(port, connect("s"))
    await sender.published("secret/kept", "kept", retain=True)
    for wire in (trusted, curious):
        await wire.subscribed(("#", 1))
    assert (await trusted.message()).payload == b"kept"
    sender.send(*(publish("secret/x", str(n), qos=n % 2, packet_id=n + 1) for n in range(20)))
    sender.send(publish("public", "end"))
    heard = [(await trusted.message()).payload for _ in range(20)]
    assert heard == [str(n).encode() for n in range(20)]
    assert (await curious.message()).payload == b"end"
    await curious.quiet()
    asked = [one for one in Earplugs.asked if one[1] == "secret/x"]
    assert len(asked) == len(set(asked))  # once for each session and action


async def test_an_observer_that_breaks_hurts_nobody(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    port = await host(ANYBODY | {f"{HERE}.Ears": {"breaks": True}})
    wire = await Wire.connected(port, connect("c"))
    await wire.subscribed(("t", 0))
    wire.send(publish("t", "x"))
    assert (await wire.message()).payload == b"x"
    await until(lambda: "a plugin failed" in caplog.text)


async def test_a_misspelt_hook_is_warned_of(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    await host(ANYBODY | {f"{HERE}.Ears": {}})
    assert (
        "Ears.on_broker_client_conected is no event and will never be called; did you mean on_broker_client_connected?"
        in caplog.text
    )


@pytest.mark.parametrize(
    "plugins",
    [
        {"no.such.Plugin": {}},
        {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"unknown": 1}},
        {f"{HERE}.asyncio": {}},
    ],
)
async def test_a_plugin_that_cannot_be_loaded_is_named(host: Host, plugins: dict[str, Any]) -> None:
    with pytest.raises(AmqttConfigError, match="plugins: "):
        await host(plugins)
