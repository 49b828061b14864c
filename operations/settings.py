"""Settings of an Operations server."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from akela.settings import CommonSettings
from operations.retries import RetryPolicy

PORT_STEP = 10  # the n-th Operations server of a machine listens this much higher


class OperationsSettings(CommonSettings):
    """Everything that an Operations server can be told. Sizes in bytes, times in seconds."""

    index: int = Field(
        default=0, ge=0, le=500, description="number of this server on its machine; each adds 10 to its ports"
    )
    id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="name of this server in the cluster (default: operations-{index})",
    )
    mqtt_port: int = Field(default=1883, ge=1, le=65535, description="MQTT port of the first Operations server")
    ws_port: int = Field(
        default=8083, ge=1, le=65535, description="MQTT over WebSocket port of the first Operations server"
    )
    tls_port: int = Field(default=8883, ge=1, le=65535, description="MQTTS port of the first; used with --tls-cert")
    tls_cert: Path | None = Field(
        default=None, description="certificate chain for MQTTS, PEM; taken up anew when it changes"
    )
    tls_key: Path | None = Field(default=None, description="private key of --tls-cert, PEM")
    tls_client_ca: Path | None = Field(
        default=None, description="who signs clients' certificates, PEM (default: not asked for)"
    )
    admin_port: int = Field(default=9101, ge=1, le=65535, description="admin HTTP port of the first Operations server")
    max_payload: int = Field(
        default=256 * 1024, ge=1024, le=268_435_455, description="largest MQTT packet taken, bytes"
    )
    max_connections: int = Field(default=100_000, ge=1, description="MQTT connections at a time; one more is closed")
    connects_per_s: float = Field(
        default=0, ge=0, description="connections of one address a second, on average; more are closed. 0: no bound"
    )
    connects_burst: int = Field(default=100, ge=1, description="connections of one address at once")
    messages_per_s: float = Field(
        default=0, ge=0, description="messages of one client a second, on average; beyond, it waits. 0: no bound"
    )
    bytes_per_s: float = Field(
        default=0, ge=0, description="bytes of one client a second, on average; beyond, it waits. 0: no bound"
    )
    messages_per_s_address: float = Field(
        default=0,
        ge=0,
        description="messages of one address a second, all its clients together; beyond, they wait. 0: no bound",
    )
    messages_per_s_tenant: float = Field(
        default=0,
        ge=0,
        description="messages of one tenant a second on this server; beyond, its clients wait. 0: no bound",
    )
    max_queued: int = Field(default=1000, ge=1, description="messages waiting for one session")
    max_subscriptions: int = Field(default=100, ge=1, description="subscriptions of one session")

    retry_refused_s: float = Field(
        default=30, gt=0, description="until a refused configuration is sent again the first time; then doubling"
    )
    retry_silent_s: float = Field(
        default=60, gt=0, description="the same for one that was delivered and never reported as applied"
    )
    retry_longest_s: float = Field(default=3600, gt=0, description="longest wait before a configuration is sent again")
    retry_tries: int = Field(
        default=5, ge=0, le=1000, description="how often a configuration is sent again before it is held"
    )

    @property
    def retry_policy(self) -> RetryPolicy:
        """When a configuration that is not applied is sent again."""
        return RetryPolicy(self.retry_refused_s, self.retry_silent_s, self.retry_longest_s, self.retry_tries)

    @property
    def member_id(self) -> str:
        """This server's name in coordination."""
        return self.id or f"operations-{self.index}"

    @model_validator(mode="after")
    def _key_with_certificate(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        return self

    @property
    def listen_mqtt(self) -> int:
        """The MQTT port with index and offset."""
        return self._shifted(self.mqtt_port)

    @property
    def listen_ws(self) -> int:
        """The WebSocket port with index and offset."""
        return self._shifted(self.ws_port)

    @property
    def listen_tls(self) -> int | None:
        """The MQTTS port with index and offset; None without a certificate."""
        return None if self.tls_cert is None else self._shifted(self.tls_port)

    @property
    def listen_admin(self) -> int:
        """The admin port with index and offset."""
        return self._shifted(self.admin_port)

    def _shifted(self, port: int) -> int:
        return port + PORT_STEP * self.index + self.port_offset
