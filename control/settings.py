"""Settings of a Control server."""

import socket

from pydantic import Field, SecretStr

from akela.settings import CommonSettings

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  addresses that one listens on and nobody connects to


class ControlSettings(CommonSettings):
    """Everything that a Control server can be told."""

    id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="name of this server in the cluster (default: host and port)",
    )
    api_port: int = Field(default=8080, ge=1, le=65535, description="REST port")
    control_admin_port: int = Field(default=9103, ge=1, le=65535, description="admin HTTP port")
    api_rate: float = Field(
        default=1000, ge=0, le=1_000_000, description="requests per second of one API token, on average (0: no bound)"
    )
    api_burst: int = Field(default=2000, ge=1, le=1_000_000, description="requests of one API token at once")
    admin_user: str = Field(
        default="admin", pattern=r"^[A-Za-z0-9._@-]{1,64}$", description="first user, made when there is none"
    )
    admin_password: SecretStr | None = Field(
        default=None, description="password of the first user (default: random, printed once)"
    )

    audit_days: int = Field(
        default=365, ge=1, le=36500, description="days that changes are kept; what a server still needs is never cut"
    )

    @property
    def member_id(self) -> str:
        """This server's name in coordination."""
        return self.id or f"control-{socket.gethostname()}-{self.listen(self.api_port)}"

    @property
    def api_url(self) -> str:
        """Where the REST API is, as others reach it; of a server that listens everywhere, under its machine's name."""
        host = self.public_host or (socket.getfqdn() if self.bind in EVERYWHERE else self.bind)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.listen(self.api_port)}"
