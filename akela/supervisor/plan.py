"""Which processes `akela up` runs, in which order, and when one that died is started again. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from akela.settings import CommonSettings

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 10.0
HEALTHY_S: Final = 30.0  # after so long a run, a death counts as the first again

MQTT, BOOT, API, WEBSOCKET = 1883, 1882, 8080, 8083
OPERATIONS_ADMIN, BOOT_ADMIN, CONTROL_ADMIN = 9101, 9102, 9103
PORT_STEP: Final = 10


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a child listens on, and the setting that changes it."""

    number: int
    flag: str


@dataclass(frozen=True, slots=True)
class Child:
    """One process. Those of a lower `stage` are started first and stopped last."""

    name: str
    arguments: tuple[str, ...]  # of the Python interpreter
    stage: int
    ports: tuple[Port, ...] = ()
    ready_port: int | None = None  # admin port whose /readyz tells; None: its socket tells
    environment: Mapping[str, str] = field(default_factory=dict)


def children(settings: CommonSettings, operations: int) -> tuple[Child, ...]:
    """The processes of this machine."""
    offset = settings.port_offset
    planned: list[Child] = []
    if settings.mongodb_url is None:
        planned.append(Child("database", ("-m", "akela.embedded_database", str(settings.data), "--supervised"), 0))
    planned.append(
        _server("control", 1, (Port(API + offset, "--api-port"), Port(CONTROL_ADMIN + offset, "--control-admin-port")))
    )
    planned.append(
        _server("bootstrap", 1, (Port(BOOT + offset, "--boot-port"), Port(BOOT_ADMIN + offset, "--boot-admin-port")))
    )
    for index in range(operations):
        step = offset + index * PORT_STEP
        ports = (
            Port(MQTT + step, "--mqtt-port"),
            Port(OPERATIONS_ADMIN + step, "--admin-port"),
            Port(WEBSOCKET + step, "--ws-port"),
        )
        planned.append(_server("operations", 1, ports, index))
    return tuple(planned)


def _server(kind: str, stage: int, ports: tuple[Port, ...], index: int | None = None) -> Child:
    name = kind if index is None else f"{kind}-{index}"
    environment = {"AKELA_ID": name} | ({} if index is None else {"AKELA_INDEX": str(index)})
    arguments = ("-m", "akela", "run", kind, "--supervised")
    return Child(name, arguments, stage, ports, ready_port=ports[1].number, environment=environment)


class Backoff:
    """How long to wait before a child is started again. Times in seconds on one clock."""

    def __init__(self) -> None:
        self._deaths = 0

    def after_death(self, ran_s: float) -> float:
        """The wait after a run of `ran_s`: doubled with each quick death."""
        self._deaths = 1 if ran_s >= HEALTHY_S else self._deaths + 1
        return float(min(BACKOFF_FIRST_S * 2 ** (self._deaths - 1), BACKOFF_MAX_S))
