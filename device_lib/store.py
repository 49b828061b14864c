"""What an endpoint keeps over restarts: its credential, the configuration that it runs, its profile's id. One file, 0600."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(slots=True)
class EndpointState:
    """The state; empty on a new device."""

    credential: str | None = None
    config_id: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    profile_id: str | None = None


class StateStore(Protocol):
    """Where the state is kept."""

    def load(self) -> EndpointState:
        """The kept state; a new one when there is none."""
        ...

    def save(self, state: EndpointState) -> None:
        """Keep the state, whole or not at all."""
        ...


class MemoryStore:
    """Keeps the state as long as the process runs."""

    def __init__(self) -> None:
        self._state = EndpointState()

    def load(self) -> EndpointState:
        """The state."""
        return self._state

    def save(self, state: EndpointState) -> None:
        """Keep it."""
        self._state = state


class FileStore:
    """Keeps the state in a file that only its owner reads."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def load(self) -> EndpointState:
        """The state in the file. Raises: ValueError when something else is in it."""
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            return EndpointState()
        try:
            return EndpointState(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self._file} is no endpoint state ({error}); move it away to begin anew") from error

    def save(self, state: EndpointState) -> None:
        """Write the file."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(asdict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self._file)
