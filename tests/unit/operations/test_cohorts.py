"""A change finds the endpoints that it may concern: the index of cohorts against a look at every endpoint."""

from hypothesis import given
from hypothesis import strategies as st

from operations.cohorts import Cohorts
from tests.unit.operations.catalogs import APP, catalog, endpoint, layer

GROUPS = st.lists(st.sampled_from("abc"), unique=True).map(lambda names: tuple(sorted(names)))
FACTS = st.tuples(GROUPS, st.sampled_from([None, "jo", "mo"]), st.sampled_from([None, 1, 2]))


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), FACTS)), max_size=40))
def test_every_endpoint_is_found_by_the_places_of_its_layers_and_by_no_others(
    steps: list[tuple[int, tuple[tuple[str, ...], str | None, int | None] | None]],
) -> None:
    cohorts = Cohorts(catalog(layer("endpoint:e0", n=1)))
    endpoints = [endpoint(f"e{number}") for number in range(6)]
    present = set()
    for number, facts in steps:
        one = endpoints[number]
        if facts is None:
            cohorts.remove(one)
            present.discard(one)
            continue
        one.groups, one.owner, version = facts
        one.versions = {} if version is None else {"config": version}
        cohorts.put(one)
        present.add(one)
    for place in ("all:-", *(f"group:{name}" for name in "abc"), "owner:jo", "owner:mo", "endpoint:e0", "endpoint:e1"):
        scope, _, target = place.partition(":")
        expected = {
            one
            for one in present
            if scope == "all" or target in one.groups or target == one.owner or (target == one.ep and target == "e0")
        }
        found = [one for cohort in cohorts.concerned(APP, place) for one in cohort.members]
        assert (set(found), len(found)) == (expected, len(expected))
    kinds = {(one.groups, one.owner, one.versions.get("config"), one.ep == "e0") for one in present}
    assert len(cohorts) == len(kinds)


def test_an_endpoint_is_put_elsewhere_only_when_that_is_elsewhere() -> None:
    known = catalog()
    cohorts, one = Cohorts(known), endpoint("e", "red")
    assert cohorts.put(one)
    assert not cohorts.put(one)
    known.put_configuration(layer("group:red", n=1))  # a layer of others comes: it stays where it is
    assert not cohorts.put(one)
    known.put_configuration(layer("endpoint:e", n=1))
    assert cohorts.put(one)
    known.delete_configuration(APP, "endpoint:e")
    assert cohorts.put(one)
