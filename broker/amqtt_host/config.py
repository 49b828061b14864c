"""amqtt's configuration, as `amqtt -c` takes it, to the settings of our engine."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from dacite import DaciteError

from broker.errors import BrokerError
from broker.settings import BrokerSettings, Listener
from broker.tls import KeyPair, Tls

log = logging.getLogger(__name__)

DEFAULT_PORT: Final = 1883
PERSISTENCE: Final = "amqtt.contrib.persistence.SessionDBPlugin"
SQLITE: Final = "sqlite+aiosqlite:///"
SUFFIX: Final = ".akela"  # of our file beside the one that amqtt would have written


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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AmqttConfigError(f"{file} is no YAML: {error}") from error
    if values is not None and not isinstance(values, dict):
        raise AmqttConfigError(f"{file}: expected keys such as listeners and plugins")
    try:
        return BrokerConfig.from_dict(values)
    except (DaciteError, ValueError, KeyError, TypeError, OSError) as error:
        raise AmqttConfigError(f"{file}: {error}") from error


@dataclass(frozen=True, slots=True)
class Persistence:
    """Where sessions and retained messages are kept, and whether they go when the broker is stopped."""

    file: Path
    clear_on_shutdown: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The file and its write-ahead log."""
        return self.file, self.file.with_name(f"{self.file.name}-wal")


def take_persistence(config: BrokerConfig) -> Persistence | None:
    """What the session persistence plugin is told, taken out of the configuration: the engine's own takes its place.

    Raises: AmqttConfigError for a database that is no file.
    """
    plugins: Any = config.plugins
    if not plugins or PERSISTENCE not in plugins:
        return None
    told: dict[str, Any] = plugins.pop(PERSISTENCE) or {}
    connection, file = told.get("connection"), told.get("file")
    if connection and not str(connection).startswith(SQLITE):
        raise AmqttConfigError(
            f"{PERSISTENCE}: connection {connection!r} is no file; sessions are kept in one: {SQLITE}FILE"
        )
    named = str(connection).removeprefix(SQLITE) if connection else str(file or "amqtt.db")
    return Persistence(Path(f"{named}{SUFFIX}"), bool(told.get("clear_on_shutdown", True)))


def settings_of(config: BrokerConfig, store: Path | None = None) -> BrokerSettings:
    """Settings of the engine. Raises: AmqttConfigError naming the listener."""
    listeners = tuple(_listener(str(name), listener) for name, listener in config.listeners.items())
    expiry_s = config.session_expiry_interval
    kept: dict[str, Any] = {} if expiry_s is None else {"max_session_expiry_s": int(expiry_s)}
    bounds = [listener.max_connections for listener in config.listeners.values() if listener.max_connections > 0]
    most: dict[str, Any] = {"max_connections": sum(bounds)} if len(bounds) == len(config.listeners) else {}
    return BrokerSettings(listeners=listeners, store=store, **kept, **most)


def _listener(name: str, listener: ListenerConfig) -> Listener:
    if listener.type not in (ListenerType.TCP, ListenerType.WS):
        raise AmqttConfigError(f"listener {name}: type {listener.type!s} is not served; use tcp or ws")
    host, _, port = (listener.bind or "").rpartition(":")
    if port and not port.isdigit():
        raise AmqttConfigError(f"listener {name}: {listener.bind!r} is no address; expected HOST:PORT")
    return Listener(
        name=name,
        host=host.strip("[]") or "0.0.0.0",  # noqa: S104  amqtt's own default
        port=int(port) if port else DEFAULT_PORT,
        tls=_tls(name, listener),
        websocket=listener.type is ListenerType.WS,
    )


def _tls(name: str, listener: ListenerConfig) -> Tls | None:
    if not listener.ssl:
        return None
    if listener.certfile is None or listener.keyfile is None:
        raise AmqttConfigError(f"listener {name}: ssl needs certfile and keyfile")
    ca = None if listener.cafile is None else Path(listener.cafile)
    return Tls(KeyPair(Path(listener.certfile), Path(listener.keyfile)), client_ca=ca)
