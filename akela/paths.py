"""The data directory: what lies where, and who may read it."""

import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from akela.errors import ServerError

MAX_SOCKET_PATH: Final = 100  # bytes; Unix sockets take 107


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """`DIR` of `--data DIR`. Everything that an embedded start writes is inside."""

    path: Path

    @property
    def run(self) -> Path:
        """Locks and sockets; 0700."""
        return self.path / "run"

    @property
    def secrets(self) -> Path:
        """Keys and passwords; 0700, each file 0600."""
        return self.path / "secrets"

    @property
    def database(self) -> Path:
        """The embedded database's files."""
        return self.path / "database"

    @property
    def demo(self) -> Path:
        """What the demo needs, as JSON; `demo.env` beside it, for the shell."""
        return self.path / "demo.json"

    @property
    def database_socket(self) -> Path:
        """The embedded database's socket: in `run`, or where the path is short enough."""
        inside = self.run.absolute() / "database.sock"
        if len(os.fsencode(inside)) <= MAX_SOCKET_PATH:
            return inside
        name = hashlib.sha256(os.fsencode(self.path.absolute())).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"akela-{os.getuid()}-{name}" / "database.sock"

    def make(self) -> None:
        """Make the directory and its private parts. Raises: ServerError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for private in (self.run, self.secrets, self.database_socket.parent):
                private.mkdir(mode=0o700, exist_ok=True)
                private.chmod(0o700)
            self.database.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServerError(f"{self.path}: {error.strerror}; choose another directory with --data") from error

    def secret(self, name: str) -> str:
        """The secret in `secrets/{name}`. Raises: ServerError when it is not there."""
        file = self.secrets / name
        try:
            return file.read_text().strip()
        except OSError as error:
            raise ServerError(
                f"{file}: {error.strerror}; `akela up` makes it, or set AKELA_{name.upper()}_SECRET"
            ) from error

    def secret_made(self, name: str) -> str:
        """The secret in `secrets/{name}`, made at random if it is not there."""
        file = self.secrets / name
        if not file.exists():
            write_private(file, secrets.token_urlsafe(24) + "\n")
        return self.secret(name)


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
