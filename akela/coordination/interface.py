"""What coordination gives, whichever service stands behind it (DESIGN section 6).

A member is there as long as its process shows signs of life. When its session is lost and it registers again, it does so
under a greater incarnation, so a late removal of the older one takes nothing away.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Protocol

from akela.errors import ServerError

JsonObject = Mapping[str, Any]


class CoordinationError(ServerError):
    """The coordination service cannot be reached or refuses."""


class Role(StrEnum):
    """Kinds of member."""

    OPERATIONS = "operations"
    BOOTSTRAP = "bootstrap"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Member:
    """A server that is there."""

    id: str
    incarnation: int
    payload: JsonObject


class Standing(Enum):
    """How sure a leader may be."""

    HELD = "held"  # act
    SUSPECT = "suspect"  # finish, start nothing
    LOST = "lost"  # another may lead


@dataclass(frozen=True, slots=True)
class Leadership:
    """A won election."""

    epoch: int  # grows with each leader; every write carries it and the database refuses a lower one
    confirmed_s: float  # when the last confirmed request was sent; this machine's monotonic clock
    session_s: float  # time-out granted by the service

    def standing(self, now_s: float) -> Standing:
        """What the leader may assume at `now_s`."""
        left_s = self.confirmed_s + self.session_s - now_s
        if left_s <= 0:
            return Standing.LOST
        return Standing.SUSPECT if left_s <= self.session_s / 2 else Standing.HELD


class Registration(Protocol):
    """This process's own entry."""

    @property
    def incarnation(self) -> int:
        """Grows whenever the entry had to be made anew."""
        ...

    async def update(self, payload: JsonObject) -> None:
        """Replace the payload."""
        ...

    async def withdraw(self) -> None:
        """Take the entry away."""
        ...


class Election(Protocol):
    """A candidacy."""

    @property
    def leadership(self) -> Leadership | None:
        """The leadership, while this candidate has it."""
        ...

    async def wait_elected(self) -> Leadership:
        """Return when this candidate leads."""
        ...

    async def wait_lost(self) -> None:
        """Return when this candidate leads no longer, or never did."""
        ...

    async def resign(self) -> None:
        """Lead no longer and stand no more."""
        ...


class Coordination(Protocol):
    """A coordination service."""

    async def connect(self, timeout_s: float) -> None:
        """Raises: CoordinationError when it cannot be reached in time, naming address and setting."""
        ...

    async def close(self) -> None:
        """Withdraw everything of this process."""
        ...

    async def register(self, role: Role, member_id: str, payload: JsonObject) -> Registration:
        """Enter this process; an older entry under the same id is replaced."""
        ...

    def watch(self, role: Role) -> AsyncIterator[Mapping[str, Member]]:
        """The members of a role by id: at once, then anew after each change."""
        ...

    def elect(self, role: Role, member_id: str) -> Election:
        """Stand for election as the active member of `role`."""
        ...
