"""Who is there, who leads, and with which fencing epoch: ZooKeeper or a file behind one interface."""

from pathlib import Path

from akela.coordination.interface import (
    Coordination,
    CoordinationError,
    Election,
    Leadership,
    Member,
    Registration,
    Role,
    Standing,
)

__all__ = [
    "Coordination",
    "CoordinationError",
    "Election",
    "Leadership",
    "Member",
    "Registration",
    "Role",
    "Standing",
    "open_coordination",
]

SESSION_S = 4.0  # after this long without a sign of life a member is gone


def open_coordination(
    *, zookeeper: str | None, directory: Path, cluster: str, session_s: float = SESSION_S
) -> Coordination:
    """ZooKeeper at `zookeeper` (host:port[,host:port]), else the file in `directory`. `connect` comes next."""
    if zookeeper is not None:
        from akela.coordination.zookeeper import ZooKeeperCoordination  # noqa: PLC0415  kazoo only where it is used

        return ZooKeeperCoordination(zookeeper, cluster, session_s)
    from akela.coordination.embedded import EmbeddedCoordination  # noqa: PLC0415

    return EmbeddedCoordination(directory / "coordination.sqlite", cluster, session_s)
