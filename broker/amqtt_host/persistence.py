"""amqtt's session persistence plugin, whose place the engine's own takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from amqtt.contexts import BrokerConfig

from broker.amqtt_host.config import AmqttConfigError

PERSISTENCE: Final = "amqtt.contrib.persistence.SessionDBPlugin"
SQLITE: Final = "sqlite+aiosqlite:///"
SUFFIX: Final = ".akela"  # of our file beside the one that amqtt would have written


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
