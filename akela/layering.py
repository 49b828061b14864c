"""Which layers make what an endpoint should have, and in which order (DESIGN section 5, "Configuration"). Pure.

Lowest first: the layer of all, those of the endpoint's groups by ascending weight, its owner's, its own, and what the device set with
authority. Operations and Control both ask here, so that they mean the same. Not here: who is in which group (`akela.membership`), the
rules of the merge (`akela.contract.merge`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from akela.contract.authority import DEVICE_WEIGHT as DEVICE_WEIGHT  # noqa: PLC0414  one of the weights
from akela.contract.avro import ParsedSchema
from akela.contract.merge import Layer, Merged, merge, pruned

ALL: Final = "all:-"
ALL_WEIGHT: Final = 0
OWNER_WEIGHT: Final = 2**31  # above every group's
ENDPOINT_WEIGHT: Final = 2**31 + 1

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands. `key` is `{scope}:{target}`, as it is stored."""

    key: str
    weight: int

    @property
    def shown(self) -> str:
        """How the layer is called where it is shown: its key, and `all`."""
        return "all" if self.key == ALL else self.key


def places(weights: Mapping[str, int], groups: Iterable[str], owner: str | None, ep: str) -> tuple[Place, ...]:
    """Where layers for an endpoint may stand, lowest first. `weights`: of the application's groups; one that is not there has no layer."""
    of_groups = sorted((Place(f"group:{name}", weights[name]) for name in groups if name in weights), key=_weight)
    of_owner = () if owner is None else (Place(f"owner:{owner}", OWNER_WEIGHT),)
    return (Place(ALL, ALL_WEIGHT), *of_groups, *of_owner, Place(f"endpoint:{ep}", ENDPOINT_WEIGHT))


def ordered_layers(
    bodies: Mapping[str, Body], weights: Mapping[str, int], groups: Iterable[str], owner: str | None, ep: str
) -> tuple[Layer, ...]:
    """The layers of an endpoint, lowest first. `bodies`: what is active in the application, by `{scope}:{target}`."""
    found = places(weights, groups, owner, ep)
    return tuple(Layer(place.shown, place.weight, bodies[place.key]) for place in found if place.key in bodies)


def served(newest: ParsedSchema, runs: ParsedSchema, layers: Sequence[Layer]) -> Merged:
    """The effective configuration of `layers` for those who run `runs`: merged in the newest version, resolved to theirs.

    Raises: ContractError, whose `key` is the path, when the layers do not fit, or the result has no place in `runs`.
    """
    merged = merge(newest, layers)
    if runs is newest:
        return merged
    value = pruned(runs.root, newest.resolve(merged.value, runs))
    return Merged(value, {path: layer for path, layer in merged.origin.items() if _is_there(value, path)})


def _is_there(value: Any, path: str) -> bool:
    for name in path.split("/")[1:]:
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


def _weight(place: Place) -> int:
    return place.weight
