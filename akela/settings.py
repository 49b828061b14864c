"""Settings: one frozen class per server, from file, environment and flags; later wins. The one file that reads the environment.

Unknown keys and bad values are refused with the key's name. A setting `mqtt_port` is `mqtt_port = 1883` in a TOML file,
`AKELA_MQTT_PORT` in the environment and `--mqtt-port` on the command line.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args
from urllib.parse import quote

import click
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from akela.errors import ServerError, SettingsError
from akela.paths import DataDirectory

PREFIX: Final = "AKELA_"
# Variables that belong to tools, not to a server's settings.
TOOL_VARIABLES: Final = frozenset(
    {
        "AKELA_API",
        "AKELA_TOKEN",
        "AKELA_PROFILE",
        "AKELA_APP",
        "AKELA_ENDPOINT",
        "AKELA_CLAIM_SECRET",
        "AKELA_TRUST_KEY",
        "AKELA_STATE",
    }
)
TEST_PREFIX: Final = "AKELA_TEST_"

S = TypeVar("S", bound="CommonSettings")
F = TypeVar("F", bound=Callable[..., Any])


class CommonSettings(BaseModel):
    """What every server can be told. Sizes in bytes, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(
        default=Path("akela-data"), description="directory that holds everything an embedded start writes"
    )
    cluster: str = Field(default="akela", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="name of the cluster")
    mongodb_url: str | None = Field(default=None, description="MongoDB to use (default: the embedded database)")
    mongodb_database: str = Field(
        default="akela", pattern=r"^[A-Za-z0-9_-]{1,38}$", description="database inside MongoDB"
    )
    zookeeper: str | None = Field(
        default=None, description="ZooKeeper host:port[,host:port] (default: a file in the data directory)"
    )
    port_offset: int = Field(default=0, ge=0, le=50000, description="added to every port")
    bind: str = Field(default="127.0.0.1", description="address to listen on")
    public_host: str | None = Field(
        default=None, description="host announced to endpoints (default: the address listened on)"
    )
    log: Literal["human", "json"] = Field(default="human", description="how log lines look")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )
    cluster_secret: SecretStr | None = Field(
        default=None, description="secret among the servers (default: a file in the data directory)"
    )

    @property
    def directory(self) -> DataDirectory:
        """The data directory."""
        return DataDirectory(self.data)

    @property
    def mongodb_uri(self) -> str:
        """Where the database is: the real one, or the embedded one's socket."""
        return self.mongodb_url or f"mongodb://{quote(str(self.directory.database_socket), safe='')}"

    def require_cluster_secret(self) -> str:
        """The secret among the servers. Raises: ServerError when there is none."""
        if self.cluster_secret is not None:
            return self.cluster_secret.get_secret_value()
        return self.directory.secret("cluster")

    def listen(self, port: int) -> int:
        """`port` with the offset."""
        return port + self.port_offset


def load(cls: type[S], *, file: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> S:
    """Settings of a server. Raises: SettingsError naming key, value and what is allowed."""
    known: set[str] = set(cls.model_fields)
    values: dict[str, Any] = {}
    if file is not None:
        values |= _from_file(file, known)
    values |= _from_environment(os.environ if environ is None else environ, known)
    values |= {key: value for key, value in flags.items() if value is not None}
    try:
        return cls(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        shown = "(hidden)" if "secret" in key or "password" in key else repr(first["input"])
        raise SettingsError(f"{key} = {shown}: {first['msg'].lower()} ({_spellings(key)})") from error


def settings_options(cls: type[CommonSettings]) -> Callable[[F], F]:
    """Decorator that gives a click command the options of a settings class, and `--config FILE`."""

    def decorate(command: F) -> F:
        for name, field in reversed(cls.model_fields.items()):
            default = "" if field.default is None else f"  [default: {field.default}]"
            kind: Any = click.Choice(get_args(field.annotation)) if _is_choice(field.annotation) else str
            option = click.option(
                f"--{name.replace('_', '-')}", name, type=kind, default=None, help=f"{field.description}{default}"
            )
            command = option(command)
        return click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML file with settings",
        )(command)

    return decorate


def _is_choice(annotation: Any) -> bool:
    arguments = get_args(annotation)
    return bool(arguments) and all(isinstance(argument, str) for argument in arguments)


def _from_file(file: Path, known: set[str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error
    for key in values:
        _check_known(key, known, f"{file}: {key}")
    return values


def _from_environment(environ: Mapping[str, str], known: set[str]) -> dict[str, Any]:
    """Settings in the environment. One that is meant for another server is passed over; one that is nobody's is refused."""
    values: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in TOOL_VARIABLES or variable.startswith(TEST_PREFIX):
            continue
        key = variable.removeprefix(PREFIX).lower()
        if key in known:
            values[key] = value
        else:
            _check_known(key, known | ALL_KEYS, variable)
    return values


def _check_known(key: str, known: set[str], shown: str) -> None:
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are: {', '.join(sorted(known))}"
        raise SettingsError(f"{shown} is no setting{hint}")


def _spellings(key: str) -> str:
    return f"--{key.replace('_', '-')} or {PREFIX}{key.upper()}"


# Every key of every server: the environment is shared by all of them on one machine.
ALL_KEYS: Final = frozenset(CommonSettings.model_fields) | {
    "id", "index", "mqtt_port", "ws_port", "tls_port", "tls_cert", "tls_key", "tls_client_ca", "admin_port", "max_payload",
    "api_port", "api_rate", "api_burst", "boot_port", "boot_admin_port", "control_admin_port",
    "admin_user", "admin_password", "boot_ttl", "boot_key", "operations", "audit_days",
    "max_connections", "connects_per_s", "connects_burst", "messages_per_s", "bytes_per_s", "messages_per_s_address",
    "messages_per_s_tenant", "max_queued", "max_subscriptions", "retry_refused_s", "retry_silent_s", "retry_longest_s", "retry_tries",
}  # fmt: skip

__all__ = ["CommonSettings", "ServerError", "SettingsError", "load", "settings_options"]
