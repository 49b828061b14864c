"""Merge, delta, ids and membership against the slow model that was written from DESIGN alone (tests/convergence/expected.py)."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from akela.contract.avro import parse_schema
from akela.contract.canonical import config_id
from akela.contract.delta import apply, choose
from akela.contract.merge import Layer, merge
from akela.membership import Group, Groups, subject
from tests.convergence import choose as chosen
from tests.convergence import expected
from tests.convergence.device import patched

SCHEMA = parse_schema(expected.CONFIG_SCHEMA_2)
chances = st.randoms(use_true_random=False)


def a_fleet(chance: Random, layers: int) -> expected.Fleet:
    """One endpoint in as many groups as there are layers, each of one weight more than the one before."""
    fleet = expected.Fleet({"e": expected.Endpoint("e")})
    for weight in range(1, layers + 1):
        fleet.groups[f"g{weight}"] = (weight, chosen.EVERYBODY)
        fleet.layers["group", f"g{weight}"] = expected.Layer({1: chosen.a_layer(chance)}, active=1)
    return fleet


def merged(fleet: expected.Fleet, chance: Random) -> dict[str, object]:
    layers = [
        Layer(name, weight, fleet.layers["group", name].versions[1]) for name, (weight, _) in fleet.groups.items()
    ]
    chance.shuffle(layers)
    return merge(SCHEMA, layers).value


@given(chances, st.integers(0, 5))
def test_merge_gives_what_the_model_gives(chance: Random, layers: int) -> None:
    fleet = a_fleet(chance, layers)
    value = merged(fleet, chance)
    assert value == fleet.effective("e")
    assert config_id(value) == expected.id_of(value)


@given(chances, st.integers(0, 3), st.integers(0, 3))
def test_a_delta_makes_the_target_of_the_base_for_anybody_s_merge_patch(
    chance: Random, first: int, second: int
) -> None:
    base, target = merged(a_fleet(chance, first), chance), merged(a_fleet(chance, second), chance)
    kind, body = choose(base, target)
    if kind == "delta":
        assert patched(base, body) == apply(base, body) == target
    else:
        assert body == target


@given(chances)
def test_membership_is_what_the_model_says(chance: Random) -> None:
    names = ("e0", "e1", "e2")
    fleet = expected.Fleet(
        groups={name: (weight, chosen.a_filter(chance, names)) for weight, name in enumerate(chosen.GROUPS, 1)}
    )
    groups = Groups(
        [Group.of({"name": name, "weight": weight, "filter": f.text}) for name, (weight, f) in fleet.groups.items()]
    )
    for ep in names:
        versions = chance.choice(({}, {"config": 1}, {"config": 2}))
        known = expected.Endpoint(ep, None, chosen.a_server_profile(chance), chosen.an_owner(chance), versions)
        known.profile = chance.choice((None, chosen.a_profile(chance)))
        fleet.endpoints[ep] = known
        document = {
            "ep": ep,
            "profile": known.profile,
            "server_profile": known.server,
            "owner": known.owner,
            "versions": versions,
        }
        found = groups.of(subject(document))
        assert list(found.groups) == sorted(fleet.groups_of(ep))
        assert sorted(found.errors) == fleet.failing(ep)
