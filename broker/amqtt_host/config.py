"""amqtt's configuration, as `amqtt -c` takes it, to the settings of our engine.

Keys may be written with hyphens, as amqtt's manual writes them, or with underscores, as its code does. What is not served is
refused by its name.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from dacite import DaciteError

from broker.errors import BrokerError
from broker.settings import BrokerSettings, Listener
from broker.tls import KeyPair, Tls

DEFAULT_PORTS: Final = {ListenerType.TCP: 1883, ListenerType.WS: 8883}  # amqtt's own


class AmqttConfigError(BrokerError):
    """A configuration cannot be used: which file or key, and why."""


def read_config(file: Path | None) -> BrokerConfig:
    """The configuration in a YAML file; amqtt's defaults without one. Raises: AmqttConfigError."""
    if file is None:
        return BrokerConfig()
    try:
        values: Any = yaml.safe_load(file.read_text())
    except OSError as error:
        raise AmqttConfigError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise AmqttConfigError(f"{file} is no YAML: {error}") from error
    if values is None:
        return BrokerConfig()
    try:
        return config_of(values)
    except AmqttConfigError as error:
        raise AmqttConfigError(f"{file}: {error}") from error


def config_of(values: object) -> BrokerConfig:
    """The configuration in a mapping, as YAML gives it. Raises: AmqttConfigError."""
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise AmqttConfigError("expected keys such as listeners and plugins")
    known = {_plain(key): value for key, value in values.items()}
    listeners = known.get("listeners", {})
    _check_listeners(listeners)
    if listeners:
        known["listeners"] = {name: _named(one) for name, one in listeners.items()}
    if "plugins" in known:
        known["plugins"] = _plugins(known["plugins"])
    elif "auth" in known or "topic_check" in known:
        known["plugins"] = None  # those that are installed, as the two older keys choose among them
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # it is the file's author who could act on it: the manual tells
            config = BrokerConfig.from_dict(known)
    except (DaciteError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise AmqttConfigError(str(error) or type(error).__name__) from error
    if len(listeners) > 1 and "bind" not in listeners["default"]:
        config.listeners["default"].bind = None  # only what the others have in common: amqtt's manual, "Example"
    return config


def settings_of(config: BrokerConfig, store: Path | None = None) -> BrokerSettings:
    """Settings of the engine. Raises: AmqttConfigError naming the listener."""
    bound = {str(name): listener for name, listener in config.listeners.items() if listener.bind is not None}
    given: dict[str, Any] = {
        "store": store,
        "listeners": tuple(_listener(name, listener) for name, listener in bound.items()),
    }
    if config.session_expiry_interval is not None:
        given["max_session_expiry_s"] = _at_least_0("session_expiry_interval", config.session_expiry_interval)
    if config.timeout_disconnect_delay is not None:
        given["keep_alive_extra_s"] = _at_least_0("timeout_disconnect_delay", config.timeout_disconnect_delay)
    return BrokerSettings(**given)


def _plain(key: str) -> str:
    return key.replace("-", "_")


def _named(options: object) -> object:
    """Options with their names in amqtt's own spelling."""
    return {_plain(str(key)): value for key, value in options.items()} if isinstance(options, Mapping) else options


def _check_listeners(listeners: object) -> None:
    if not isinstance(listeners, Mapping):
        raise AmqttConfigError("listeners: expected a mapping of name to listener")
    for name, listener in listeners.items():
        if not isinstance(listener, Mapping):
            raise AmqttConfigError(f"listener {name}: expected a mapping such as type and bind")
    if listeners and "default" not in listeners:
        raise AmqttConfigError("listeners: one named default is needed; what it says holds for the others")


def _plugins(plugins: object) -> dict[str, Any]:
    """Plugin -> its options. A list of names, and of mappings, is amqtt's older form."""
    found: dict[str, Any] = {}
    for one in plugins if isinstance(plugins, list) else [plugins] if plugins is not None else []:
        if isinstance(one, str):
            found[one] = {}
        elif isinstance(one, dict):
            found |= {str(name): _named(options) for name, options in one.items()}
        else:
            raise AmqttConfigError(f"plugins: {one!r} is neither a plugin's path nor a mapping of path to options")
    for name, options in found.items():
        if options is not None and not isinstance(options, dict):
            raise AmqttConfigError(f"plugins: {name}: expected a mapping of its options")
    return found


def _at_least_0(name: str, value: float) -> int:
    if value < 0:
        raise AmqttConfigError(f"{name}: {value} is less than 0")
    return int(value)


def _listener(name: str, listener: ListenerConfig) -> Listener:
    if listener.type not in (ListenerType.TCP, ListenerType.WS):
        raise AmqttConfigError(f"listener {name}: type {listener.type!s} is not served; use tcp or ws")
    for key in ("reader", "writer"):
        if getattr(listener, key) is not None:
            raise AmqttConfigError(f"listener {name}: {key} belongs to type external, which is not served")
    host, port = _address(name, listener)
    return Listener(
        name=name,
        host=host or "0.0.0.0",  # noqa: S104  amqtt's own default
        port=port,
        tls=_tls(name, listener),
        websocket=listener.type is ListenerType.WS,
        max_connections=max(0, listener.max_connections),
    )


def _address(name: str, listener: ListenerConfig) -> tuple[str, int]:
    """(host, port) of HOST:PORT, HOST, :PORT or [IPv6]:PORT."""
    bind = str(listener.bind)
    host, colon, port = bind.rpartition(":") if not bind.endswith("]") else (bind, "", "")
    if not colon:
        host, port = bind, ""
    if (port and not (port.isascii() and port.isdigit() and int(port) <= 65535)) or (":" in host and host[0] != "["):
        raise AmqttConfigError(
            f"listener {name}: bind {bind!r} is no address; expected HOST:PORT, the port up to 65535"
        )
    return host.strip("[]"), int(port) if port else DEFAULT_PORTS[listener.type]


def _tls(name: str, listener: ListenerConfig) -> Tls | None:
    if not listener.ssl:
        return None
    if listener.certfile is None or listener.keyfile is None:
        raise AmqttConfigError(f"listener {name}: ssl needs certfile and keyfile")
    return Tls(
        KeyPair(Path(listener.certfile), Path(listener.keyfile)),
        client_ca=None if listener.cafile is None else Path(listener.cafile),
        client_ca_directory=None if listener.capath is None else Path(listener.capath),
        client_ca_data=None if listener.cadata is None else str(listener.cadata),
    )
