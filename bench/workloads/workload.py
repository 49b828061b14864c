"""A workload: a coroutine over a load, and what its numbers mean."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.load import Load


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a workload."""

    name: str  # empty where there is only one
    unit: str
    lower: bool = False  # less is better


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load."""

    key: str
    name: str
    run: "Callable[[Load], Awaitable[list[float]]]"  # one number per measure
    measures: tuple[Measure, ...]
    plain: bool = False  # the payload's size does not matter to it: one size is enough
    single: bool = False  # one load process does it alone
    crowd: int = 0  # connections beside those that every workload has; slow peers are not given many
    needs: str | None = None  # feature of a peer
    growth: int | None = None  # so many others: a row of the growth check
