"""amqtt's configuration, key by key: honoured, or refused by name. The texts follow the forms of amqtt's manual and samples."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from broker import Broker, BrokerSettings
from broker.amqtt_host import AmqttConfigError, AmqttPlugins, settings_of
from broker.amqtt_host.config import config_of, read_config
from tests.certificates import Authority
from tests.mqtt import Wire, connect, publish

COMPLETE = """
listeners:
    default:
        max-connections: 500
        type: tcp
    plain:
        bind: 127.0.0.1:1883
    more:
        bind: 1.2.3.4:1884
        max-connections: 1000
    secure:
        bind: 127.0.0.1:8885
        ssl: on
        cafile: {ca}
        capath: {directory}
        cadata: |
{data}
        certfile: {certificate}
        keyfile: {key}
    web:
        bind: 0.0.0.0:8080
        type: ws
    six:
        bind: '[::1]:1885'
    portless:
        bind: 127.0.0.1
    webportless:
        bind: 127.0.0.1
        type: ws
timeout-disconnect-delay: 2
session_expiry_interval: 60
plugins:
  - amqtt.plugins.authentication.AnonymousAuthPlugin:
      allow-anonymous: true
  - amqtt.plugins.authentication.FileAuthPlugin:
      password-file: {ca}
  - amqtt.plugins.logging_amqtt.EventLoggerPlugin
  - amqtt.plugins.topic_checking.TopicAccessControlListPlugin:
      subscribe-acl:
        username1: ['repositories/+/master', 'calendar/#']
        user-name2: ['calendar/2025/#']
      publish-acl:
        anonymous: ['calendar/2025/#']
"""
OLDER = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:0
sys_interval: 20
auth:
  plugins:
    - auth_anonymous
  allow-anonymous: {anonymous}
topic-check:
  enabled: {checked}
  plugins: [topic_acl]
  publish-acl:
    anonymous: ['open/#']
"""


def loaded(text: str, tmp_path: Path) -> Any:
    file = tmp_path / "broker.yaml"
    file.write_text(text)
    return read_config(file)


def test_every_key_of_the_manual_is_honoured(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("localhost")
    data = "\n".join(" " * 12 + line for line in authority.file.read_text().splitlines())
    text = COMPLETE.format(
        ca=authority.file, directory=tmp_path, data=data, certificate=pair.certificate, key=pair.key
    )  # fmt: skip
    config = loaded(text, tmp_path)
    settings = settings_of(config)
    listeners = {one.name: one for one in settings.listeners}
    assert {name: (one.host, one.port, one.websocket, one.max_connections) for name, one in listeners.items()} == {
        "plain": ("127.0.0.1", 1883, False, 500),
        "more": ("1.2.3.4", 1884, False, 1000),
        "secure": ("127.0.0.1", 8885, False, 500),
        "web": ("0.0.0.0", 8080, True, 500),
        "six": ("::1", 1885, False, 500),
        "portless": ("127.0.0.1", 1883, False, 500),
        "webportless": ("127.0.0.1", 8883, True, 500),
    }
    tls = listeners["secure"].tls
    assert tls is not None
    assert (tls.pair, tls.client_ca, tls.client_ca_directory) == (pair, authority.file, tmp_path)
    assert tls.client_ca_data == authority.file.read_text()
    assert (settings.keep_alive_extra_s, settings.max_session_expiry_s) == (2, 60)
    assert config.plugins["amqtt.plugins.topic_checking.TopicAccessControlListPlugin"] == {
        "subscribe_acl": {"username1": ["repositories/+/master", "calendar/#"], "user-name2": ["calendar/2025/#"]},
        "publish_acl": {"anonymous": ["calendar/2025/#"]},
    }
    assert config.plugins["amqtt.plugins.authentication.FileAuthPlugin"] == {"password_file": str(authority.file)}
    assert "amqtt.plugins.logging_amqtt.EventLoggerPlugin" in config.plugins


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("anonymous", "checked"), [(True, False), (True, True), (False, False)])
async def test_the_older_keys_choose_among_the_installed_plugins(
    tmp_path: Path, anonymous: bool, checked: bool
) -> None:
    config = loaded(OLDER.format(anonymous=str(anonymous).lower(), checked=str(checked).lower()), tmp_path)
    hosting = AmqttPlugins(config)
    broker = Broker(settings_of(config), hosting.hooks)
    hosting.attach(broker)
    await hosting.starting()
    await broker.start()
    try:
        wire = await Wire.open(broker.addresses["default"][1])
        wire.send(connect("c"))
        assert (await wire.packet()).body[1] == (0 if anonymous else 5)
        if anonymous:
            await wire.subscribed(("#", 0))
            wire.send(publish("closed/x"), publish("open/x"))
            assert (await wire.message()).topic == ("open/x" if checked else "closed/x")
    finally:
        await hosting.stopping()
        await broker.stop(drain_s=0)
        await hosting.stopped()


async def test_each_listener_has_its_own_most_connections() -> None:
    listeners = {
        "default": {"bind": "127.0.0.1:0", "max_connections": 1},
        "other": {"bind": "127.0.0.1:0", "max_connections": 2},
    }
    settings = settings_of(config_of({"listeners": listeners}))
    broker = Broker(BrokerSettings(listeners=settings.listeners, allow_anonymous=True))
    await broker.start()
    try:
        first, second = broker.addresses["default"][1], broker.addresses["other"][1]
        kept = [await Wire.connected(port, connect(f"c{n}")) for n, port in enumerate((first, second, second))]
        for port in (first, second):
            extra = await Wire.open(port)
            await extra.closed()
        await kept[0].leave()
        await Wire.connected(first, connect("again"))
    finally:
        await broker.stop(drain_s=0)


async def test_a_disconnect_delay_adds_to_the_keep_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    broker = Broker(BrokerSettings(keep_alive_extra_s=5.0, allow_anonymous=True, listeners=settings_of(config_of(
        {"listeners": {"default": {"bind": "127.0.0.1:0"}}})).listeners))  # fmt: skip
    monkeypatch.setattr(broker.engine, "clock", lambda: now_s)
    await broker.start()
    try:
        wire = await Wire.connected(broker.addresses["default"][1], connect("c", keep_alive=2))
        now_s = 7.9
        broker.engine.tick(list(broker.connections()))
        await asyncio.sleep(0)
        session = broker.session("", "c")
        assert session is not None
        assert session.connected
        now_s = 8.1
        broker.engine.tick(list(broker.connections()))
        await wire.closed()
    finally:
        await broker.stop(drain_s=0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "listeners and plugins"),
        ({1: 2}, "listeners and plugins"),
        ({"colour": 1}, "colour"),
        ({"listeners": []}, "listeners: expected a mapping"),
        ({"listeners": {"a": {}}}, "one named default"),
        ({"listeners": {"default": None}}, "listener default: expected a mapping"),
        ({"listeners": {"default": {"colour": 1}}}, "colour"),
        ({"listeners": {"default": {"max-connections": "many"}}}, "max_connections"),
        ({"listeners": {"default": {"type": "pigeon"}}}, "pigeon"),
        ({"listeners": {"default": {"type": "external"}}}, "type external is not served"),
        ({"listeners": {"default": {"reader": "a.b"}}}, "reader belongs to type external"),
        ({"listeners": {"default": {"bind": "127.0.0.1:http"}}}, "HOST:PORT"),
        ({"listeners": {"default": {"bind": "127.0.0.1:70000"}}}, "up to 65535"),
        ({"listeners": {"default": {"bind": "::1"}}}, "HOST:PORT"),
        ({"listeners": {"default": {"certfile": "x"}}}, "both are required"),
        ({"listeners": {"default": {"cafile": "/no/such"}}}, "cafile"),
        ({"listeners": {"default": {"ssl": True}}}, "certfile"),
        ({"timeout-disconnect-delay": -1}, "timeout_disconnect_delay: -1"),
        ({"session_expiry_interval": "long"}, "session_expiry_interval"),
        ({"plugins": 3}, "plugins: 3 is neither"),
        ({"plugins": {"a.b": 3}}, "a.b: expected a mapping"),
        ({"auth": []}, "auth"),
    ],
)
def test_what_is_wrong_is_named(values: object, said: str) -> None:
    with pytest.raises(AmqttConfigError, match=said.replace("[", r"\[")):
        settings_of(config_of(values))


async def test_no_plugins_let_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    config = config_of({"listeners": {"default": {"bind": "127.0.0.1:0"}}, "plugins": None})
    assert config.plugins == {}
    hosting = AmqttPlugins(config)
    broker = Broker(settings_of(config), hosting.hooks)
    hosting.attach(broker)
    await broker.start()
    wire = await Wire.open(broker.addresses["default"][1])
    wire.send(connect("c"))
    assert (await wire.packet()).body[1] == 5
    await broker.stop(drain_s=0)


KEYS = (
    "listeners",
    "default",
    "plugins",
    "bind",
    "ssl",
    "max-connections",
    "auth",
    "topic-check",
    "type",
    "sys_interval",
)
NAMES = st.sampled_from(KEYS)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["tcp", "127.0.0.1:0"])
)
ANY_KEY = st.one_of(NAMES, st.text(max_size=5), st.integers())
VALUES: st.SearchStrategy[Any] = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ANY_KEY, inner, max_size=4)),
    max_leaves=12,
)


@given(st.one_of(VALUES, st.dictionaries(NAMES, VALUES)))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_any_configuration_is_taken_or_refused(values: object) -> None:
    with contextlib.suppress(AmqttConfigError):
        settings_of(config_of(values))


@given(st.one_of(st.binary(max_size=80), VALUES.map(lambda value: yaml.safe_dump(value).encode())))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_any_file_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    file.write_bytes(data)
    with contextlib.suppress(AmqttConfigError):
        settings_of(read_config(file))
