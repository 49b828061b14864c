"""What may happen to a fleet, one act at a time: each is drawn with the randomness passed in, done, and told in words."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from tests.convergence import choose
from tests.convergence.world import ENDPOINTS, Place, World

Act = Callable[[World, Random], str | None]  # None: nothing to do it with at the moment


def make_group(world: World, chance: Random) -> str | None:
    free = [name for name in choose.GROUPS if name not in world.fleet.groups]
    if not free:
        return None
    name, weight, filter_ = chance.choice(free), _free_weight(world, chance), choose.a_filter(chance, ENDPOINTS)
    world.make_group(name, weight, filter_)
    return f"make group {name} of weight {weight}: {filter_}"


def change_group(world: World, chance: Random) -> str | None:
    """Its weight, its filter, or both."""
    if not world.fleet.groups:
        return None
    name, what = _a_group(world, chance), chance.randrange(3)
    weight = _free_weight(world, chance) if what != 0 else None
    filter_ = choose.a_filter(chance, ENDPOINTS) if what != 1 else None
    world.change_group(name, weight, filter_)
    return f"change group {name}: weight {weight}, filter {filter_}"


def delete_group(world: World, chance: Random) -> str | None:
    if not world.fleet.groups:
        return None
    name = _a_group(world, chance)
    world.delete_group(name)
    return f"delete group {name}"


def set_layer(world: World, chance: Random) -> str:
    place, data = _a_place(world, chance), choose.a_layer(chance)
    world.set_layer(place, data)
    return f"set layer {place}: {data}"


def save_draft(world: World, chance: Random) -> str:
    place, data = _a_place(world, chance), choose.a_layer(chance)
    world.save_draft(place, data)
    return f"draft layer {place}: {data}"


def activate(world: World, chance: Random) -> str | None:
    """A draft, or an old version: a roll-back."""
    layers = world.fleet.layers.items()
    found = sorted((place, number) for place, layer in layers for number in layer.versions if number != layer.active)
    if not found:
        return None
    place, number = chance.choice(found)
    world.activate(place, number)
    return f"activate version {number} of {place}"


def deactivate(world: World, chance: Random) -> str | None:
    found = sorted(place for place, layer in world.fleet.layers.items() if layer.active is not None)
    if not found:
        return None
    place = chance.choice(found)
    world.deactivate(place)
    return f"deactivate {place}"


def delete_layer(world: World, chance: Random) -> str | None:
    found = sorted(world.fleet.layers)
    if not found:
        return None
    place = chance.choice(found)
    world.delete_layer(place)
    return f"delete layer {place}"


def set_server_profile(world: World, chance: Random) -> str:
    ep, profile = chance.choice(ENDPOINTS), choose.a_server_profile(chance)
    world.set_server_profile(ep, profile)
    return f"server-side profile of {ep}: {profile}"


def set_owner(world: World, chance: Random) -> str:
    ep, owner = chance.choice(ENDPOINTS), choose.an_owner(chance)
    world.set_owner(ep, owner)
    return f"owner of {ep}: {owner}"


def attach(world: World, chance: Random) -> str:
    """Say hello with what it holds, or nothing, or something else than it holds."""
    ep, server, lost = chance.choice(ENDPOINTS), chance.randrange(2), chance.choice((None, None, "nothing", "wrong"))
    versions = chance.choice((None, *({"config": version} for version in choose.VERSIONS)))
    world.attach(ep, server, lost=lost, versions=versions)
    return f"{ep} attaches to {server}, lost {lost}, runs {versions}"


def set_profile(world: World, chance: Random) -> str:
    ep, profile, server = chance.choice(ENDPOINTS), choose.a_profile(chance), chance.randrange(2)
    world.set_profile(ep, profile, server)
    return f"profile of {ep}: {profile}, if need be by {server}"


def listen(world: World, chance: Random) -> str:
    ep = chance.choice(ENDPOINTS)
    world.listen(ep)
    return f"{ep} listens"


def drop(world: World, chance: Random) -> str:
    ep = chance.choice(ENDPOINTS)
    world.drop(ep)
    return f"{ep} drops"


ACTS: Final[Mapping[str, Act]] = {
    act.__name__: act
    for act in (
        make_group, change_group, delete_group, set_layer, save_draft, activate, deactivate, delete_layer, set_server_profile,
        set_owner, attach, set_profile, listen, drop,
    )
}  # fmt: skip


def _a_group(world: World, chance: Random) -> str:
    return chance.choice(sorted(world.fleet.groups))


def _free_weight(world: World, chance: Random) -> int:
    taken = {weight for weight, _ in world.fleet.groups.values()}
    return chance.choice([weight for weight in range(1, choose.MAX_WEIGHT) if weight not in taken])


def _a_place(world: World, chance: Random) -> Place:
    groups = [("group", name) for name in sorted(world.fleet.groups)]
    others = [("owner", chance.choice(choose.OWNERS)), ("endpoint", chance.choice(ENDPOINTS))]
    return chance.choice([("all", "-"), *groups, *others])
