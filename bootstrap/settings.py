"""Settings of a Bootstrap server."""

import socket
from pathlib import Path

from pydantic import Field

from akela.settings import CommonSettings


class BootstrapSettings(CommonSettings):
    """Everything that a Bootstrap server can be told. Times in seconds."""

    id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="name of this server in the cluster (default: host and port)",
    )
    boot_port: int = Field(default=1882, ge=1, le=65535, description="MQTT port")
    boot_admin_port: int = Field(default=9102, ge=1, le=65535, description="admin HTTP port")
    boot_key: Path | None = Field(
        default=None, description="Ed25519 private key, PEM (default: made in the data directory)"
    )
    boot_ttl: int = Field(
        default=3600, ge=10, le=7 * 24 * 3600, description="how long endpoints may believe a list, seconds"
    )

    @property
    def member_id(self) -> str:
        """This server's name in coordination."""
        return self.id or f"bootstrap-{socket.gethostname()}-{self.listen(self.boot_port)}"

    @property
    def key_file(self) -> Path:
        """Where the private key is."""
        return self.boot_key or self.directory.secrets / "bootstrap.pem"
