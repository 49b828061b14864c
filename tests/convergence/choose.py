"""Random parts of a fleet: filters with their meaning in Python, layers, profiles. Whoever chooses passes its randomness in.

A filter's verdict is CEL's: `and` is false if either side is false, `or` true if either is true, whether or not the other side fails.
"""

from random import Random
from typing import Any, Final

from tests.convergence.expected import Endpoint, Filter, Json, Verdict

MODELS: Final = ("m1", "m2")
SITES: Final = ("s1", "s2")
OWNERS: Final = ("o1", "o2")
TAGS: Final = ("a", "b")
VERSIONS: Final = (1, 2)
FIELDS: Final = ("n", "on", "s", "list", "tags", "m", "r", "o", "w")
ZONES: Final = (0, 1, 2, 3)
GROUPS: Final = ("g1", "g2", "g3", "g4")
MAX_WEIGHT: Final = 12
TEXTS: Final = ("x", "", "grün", 'quo"te', "日本")


def a_filter(chance: Random, endpoints: tuple[str, ...], depth: int = 2) -> Filter:
    """Any filter of the vocabulary."""
    kind = chance.randrange(12) if depth else 0
    if kind == 9:
        return inverse(a_filter(chance, endpoints, depth - 1))
    if kind in (10, 11):
        combined = both if kind == 10 else either
        return combined(a_filter(chance, endpoints, depth - 1), a_filter(chance, endpoints, depth - 1))
    simple = (
        model_is(chance.choice(MODELS)),
        zone_above(chance.choice(ZONES)),
        tagged(chance.choice(TAGS)),
        site_is(chance.choice(SITES)),
        owner_is(chance.choice(OWNERS)),
        ep_in(*chance.sample(endpoints, 2)),
        runs(chance.choice(VERSIONS)),
        chance.choice((EVERYBODY, UNOWNED, BROKEN)),
    )
    return chance.choice(simple)


def a_layer(chance: Random) -> dict[str, Any]:
    """A layer that sets one to three fields, each to something that its kind of field allows."""
    return {name: _value(chance, name) for name in chance.sample(FIELDS, chance.randint(1, 3))}


def a_profile(chance: Random) -> Json:
    """A client-side profile."""
    tags = chance.sample(TAGS, chance.randrange(len(TAGS) + 1))
    return {"model": chance.choice(MODELS), "zone": chance.choice(ZONES), "tags": tags}


def a_server_profile(chance: Random) -> Json | None:
    """A server-side profile, or none."""
    return None if chance.randrange(4) == 0 else {"site": chance.choice(SITES), "level": chance.choice(ZONES)}


def an_owner(chance: Random) -> str | None:
    """An owner, or none."""
    return chance.choice((None, *OWNERS))


def model_is(model: str) -> Filter:
    """Fails for an endpoint without a profile."""
    return Filter(f'profile.model == "{model}"', lambda e: None if e.profile is None else e.profile["model"] == model)


def zone_above(zone: int) -> Filter:
    """Fails for an endpoint without a profile."""
    return Filter(f"profile.zone > {zone}", lambda e: None if e.profile is None else e.profile["zone"] > zone)


def tagged(tag: str) -> Filter:
    """Fails for an endpoint without a profile."""
    return Filter(f'"{tag}" in profile.tags', lambda e: None if e.profile is None else tag in e.profile["tags"])


def site_is(site: str) -> Filter:
    """Fails for an endpoint without a server-side profile."""
    return Filter(f'server.site == "{site}"', lambda e: None if e.server is None else e.server["site"] == site)


def owner_is(owner: str) -> Filter:
    """An endpoint without an owner does not match; nothing fails."""
    return Filter(f'owner == "{owner}"', lambda e: e.owner == owner)


def ep_in(*names: str) -> Filter:
    """Some endpoints by name."""
    listed = ", ".join(f'"{name}"' for name in sorted(names))
    return Filter(f"ep in [{listed}]", lambda e: e.name in names)


def runs(version: int) -> Filter:
    """Fails for an endpoint that has not said what version of the configuration schema it runs."""
    return Filter(
        f"versions.config == {version}", lambda e: e.versions["config"] == version if "config" in e.versions else None
    )


EVERYBODY: Final = Filter("true", lambda e: True)
UNOWNED: Final = Filter("owner == null", lambda e: e.owner is None)
BROKEN: Final = Filter("profile.absent == 1", lambda e: None)


def both(left: Filter, right: Filter) -> Filter:
    """CEL's `and`."""

    def holds(endpoint: Endpoint) -> Verdict:
        sides = (left.holds(endpoint), right.holds(endpoint))
        return False if False in sides else None if None in sides else True

    return Filter(f"({left.text}) && ({right.text})", holds)


def either(left: Filter, right: Filter) -> Filter:
    """CEL's `or`."""

    def holds(endpoint: Endpoint) -> Verdict:
        sides = (left.holds(endpoint), right.holds(endpoint))
        return True if True in sides else None if None in sides else False

    return Filter(f"({left.text}) || ({right.text})", holds)


def inverse(one: Filter) -> Filter:
    """CEL's `not`: what fails still fails."""

    def holds(endpoint: Endpoint) -> Verdict:
        said = one.holds(endpoint)
        return None if said is None else not said

    return Filter(f"!({one.text})", holds)


def _value(chance: Random, name: str) -> Any:
    texts = [chance.choice(TEXTS) for _ in range(chance.randrange(3))]
    made: dict[str, Any] = {
        "n": chance.randint(-3, 3),
        "w": chance.randrange(3),
        "on": chance.choice((True, False)),
        "s": chance.choice((None, *TEXTS)),
        "list": [chance.randrange(4) for _ in texts],
        "tags": texts,
        "m": {key: chance.choice((None, 1, 2)) for key in chance.sample(("base", "k", "ключ"), chance.randint(1, 2))},
        "r": _some(chance, {"a": chance.randrange(3), "b": chance.choice(TEXTS)}),
        "o": chance.choice((None, _some(chance, {"p": chance.randrange(3), "q": chance.choice((None, *TEXTS))}))),
    }
    return made[name]


def _some(chance: Random, whole: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if chance.randrange(2)}
