"""Settings of an Operations server."""

from pydantic import Field

from akela.settings import CommonSettings

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
    admin_port: int = Field(default=9101, ge=1, le=65535, description="admin HTTP port of the first Operations server")
    max_payload: int = Field(
        default=256 * 1024, ge=1024, le=268_435_455, description="largest MQTT packet taken, bytes"
    )

    @property
    def member_id(self) -> str:
        """This server's name in coordination."""
        return self.id or f"operations-{self.index}"

    @property
    def listen_mqtt(self) -> int:
        """The MQTT port with index and offset."""
        return self.mqtt_port + PORT_STEP * self.index + self.port_offset

    @property
    def listen_admin(self) -> int:
        """The admin port with index and offset."""
        return self.admin_port + PORT_STEP * self.index + self.port_offset
