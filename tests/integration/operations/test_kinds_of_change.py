"""Each kind of change reaches the endpoints that it concerns, at once, and no others. K28, K29, K37, K38, K41, K43, K44, K52."""

import json
from collections.abc import Iterator

import pytest

from tests.akela_up import AkelaUp, Subscriber
from tests.fleet import Fleet


@pytest.fixture
def fleet(akela: AkelaUp) -> Iterator[Fleet]:
    """A fleet of its own for each test."""
    made = Fleet(akela)
    yield made
    made.api.close()


async def test_layer_of_all(fleet: Fleet) -> None:
    fleet.layer("endpoint/b", n=7, other=7)
    a, b = await fleet.device("a"), await fleet.device("b")
    fleet.layer("all/-", n=1)
    assert await a.config() == {"n": 1, "other": 0}
    await b.undisturbed()


async def test_layer_of_a_group__k41(fleet: Fleet) -> None:
    fleet.group("red", 10, 'profile.model == "red"')
    a, b = await fleet.device("a", model="red"), await fleet.device("b", model="blue")
    fleet.layer("group/red", n=1)
    assert await a.config() == {"n": 1, "other": 0}
    fleet.layer("group/red", n=2)
    assert await a.config() == {"n": 2, "other": 0}
    fleet.api.delete(f"{fleet.path}/configurations/group/red")
    assert await a.config() == {"n": 0, "other": 0}
    await b.undisturbed()


async def test_layer_of_an_owner(fleet: Fleet) -> None:
    fleet.owner("jo")
    a, b = await fleet.device("a"), await fleet.device("b")
    fleet.endpoint("a", owner="jo")
    fleet.layer("owner/jo", n=1)
    assert await a.config() == {"n": 1, "other": 0}
    await b.undisturbed()


async def test_layer_of_an_endpoint(fleet: Fleet) -> None:
    a, b = await fleet.device("a"), await fleet.device("b")
    fleet.layer("endpoint/a", n=1)
    assert await a.config() == {"n": 1, "other": 0}
    fleet.layer("endpoint/a", n=2)
    assert await a.config() == {"n": 2, "other": 0}
    fleet.api.delete(f"{fleet.path}/configurations/endpoint/a")
    assert await a.config() == {"n": 0, "other": 0}
    await b.undisturbed()


async def test_activation_roll_back_and_deactivation(fleet: Fleet) -> None:
    fleet.group("red", 10, 'profile.model == "red"')
    a, b = await fleet.device("a", model="red"), await fleet.device("b", model="blue")
    layer = f"{fleet.path}/configurations/group/red"
    fleet.layer("group/red", n=1)
    assert await a.config() == {"n": 1, "other": 0}
    draft = fleet.api.post(f"{layer}/versions", {"data": {"n": 2}})
    await a.undisturbed()  # a draft concerns nobody
    fleet.api.act(f"{layer}/versions/{draft['version']}", "activate")
    assert await a.config() == {"n": 2, "other": 0}
    fleet.api.act(f"{layer}/versions/1", "activate")
    assert await a.config() == {"n": 1, "other": 0}
    fleet.api.act(layer, "deactivate")
    assert await a.config() == {"n": 0, "other": 0}
    await b.undisturbed()


async def test_weights_that_turn_over__k44(fleet: Fleet) -> None:
    fleet.group("red", 10, 'profile.model == "red"')
    fleet.group("large", 20, "has(profile.size) && profile.size > 5")
    fleet.layer("group/red", n=1)
    fleet.layer("group/large", n=2)
    a, b = await fleet.device("a", model="red", size=9), await fleet.device("b", model="red")
    away = await fleet.device("away", model="red", size=9)
    assert (a.holds["n"], b.holds["n"], away.holds["n"]) == (2, 1, 2)
    away.leave()
    fleet.group("red", 30, 'profile.model == "red"')
    assert (await a.config())["n"] == 1
    await b.undisturbed()
    away = await away.back()
    assert (await away.config())["n"] == 1


async def test_a_filter__k43(fleet: Fleet) -> None:
    fleet.group("red", 10, 'profile.model == "red"')
    fleet.layer("group/red", n=1)
    a, b, c = [await fleet.device(name, model=model) for name, model in (("a", "pink"), ("b", "blue"), ("c", "red"))]
    fleet.group("red", 10, 'profile.model in ["red", "pink"]')
    assert (await a.config())["n"] == 1
    await b.undisturbed()
    await c.undisturbed()
    fleet.group("red", 10, 'profile.model == "pink"')
    assert (await c.config())["n"] == 0
    await a.undisturbed()
    await b.undisturbed()


async def test_a_group_that_comes_and_goes(fleet: Fleet) -> None:
    a, b = await fleet.device("a", model="red"), await fleet.device("b", model="blue")
    fleet.group("red", 10, 'profile.model == "red"')
    fleet.layer("group/red", n=1)
    assert (await a.config())["n"] == 1
    fleet.api.delete(f"{fleet.path}/groups/red")
    assert (await a.config())["n"] == 0
    await b.undisturbed()


async def test_an_owner(fleet: Fleet) -> None:
    fleet.owner("jo")
    fleet.layer("owner/jo", n=1)
    fleet.group("owned", 10, "owner != null")
    fleet.layer("group/owned", other=1)
    a, b = await fleet.device("a"), await fleet.device("b")
    fleet.endpoint("a", owner="jo")
    assert await a.config() == {"n": 1, "other": 1}
    fleet.endpoint("a", owner=None)
    assert await a.config() == {"n": 0, "other": 0}
    await b.undisturbed()


async def test_a_server_side_profile__k52(fleet: Fleet) -> None:
    fleet.group("north", 10, 'has(server.site) && server.site == "north"')
    fleet.layer("group/north", n=1)
    a, b = await fleet.device("a"), await fleet.device("b")
    fleet.endpoint("a", server_profile={"site": "north"})
    assert (await a.config())["n"] == 1
    fleet.endpoint("a", server_profile={"site": "south"})
    assert (await a.config())["n"] == 0
    await b.undisturbed()


async def test_a_profile_moves_its_endpoint__k29_k37(fleet: Fleet) -> None:
    fleet.group("red", 10, 'profile.model == "red"')
    fleet.group("small", 20, "has(profile.size) && profile.size < 5")
    fleet.layer("group/red", n=1)
    fleet.layer("all/-", other=2)
    a, b = await fleet.device("a", model="red"), await fleet.device("b", model="blue")
    assert (a.holds, b.holds) == ({"n": 1, "other": 2}, {"n": 0, "other": 2})
    await a.asked("profile", {"model": "red", "size": 3})  # in one group more, which changes nothing: no configuration
    await a.undisturbed()
    await a.publish("profile/patch", {"model": "blue"})
    assert await a.config() == {"n": 0, "other": 2}
    await b.undisturbed()


async def test_a_returning_endpoint_is_told_what_differs_and_nothing_else__k28_k38(fleet: Fleet) -> None:
    fleet.layer("all/-", n=1)
    a = await fleet.device("a")
    a.leave()
    again = await a.back()  # without a word: what it has applied is in the ledger
    await again.undisturbed()
    again.leave()
    again = await a.back()
    await again.asked("hello", {"config": a.id})
    await again.undisturbed()
    again.leave()
    for nothing in ({}, {"config": "010203"}):  # it holds nothing, or what nobody knows
        again = await a.back()
        await again.asked("hello", nothing)
        topic, payload = await again.message()
        assert (topic, json.loads(payload)["full"]) == ("config", {"n": 1, "other": 0})
        again.leave()
    fleet.layer("all/-", n=2)
    again = await a.back()
    assert await again.config() == {"n": 2, "other": 0}
    assert again.id != a.id


async def test_a_change_that_is_taken_back_before_the_endpoint_reported_it(fleet: Fleet) -> None:
    a = await fleet.device("a")
    fleet.layer("endpoint/a", n=1)
    assert (await a.message())[0] == "config"  # applied, and not said
    fleet.api.delete(f"{fleet.path}/configurations/endpoint/a")
    assert await a.config() == {"n": 0, "other": 0}
    fleet.layer("endpoint/a", n=1)
    topic, payload = await a.message()
    refused = {"id": json.loads(payload)["id"], "code": 422}
    await a.publish("config/applied", refused)
    fleet.api.delete(f"{fleet.path}/configurations/endpoint/a")
    while (await a.asked("config/get"))["id"] != a.id:  # it still holds what it held before: nothing is sent
        assert topic == "config"


async def test_an_endpoint_that_was_lost_between_two_configurations_is_sent_what_it_should_have(fleet: Fleet) -> None:
    a = await fleet.device("a")
    fleet.layer("endpoint/a", n=1)
    assert (await a.message())[0] == "config"  # applied, and not said
    fleet.api.delete(f"{fleet.path}/configurations/endpoint/a")
    assert (await a.message())[0] == "config"  # lost
    again = await a.back()
    assert await again.config() == {"n": 0, "other": 0}
    await (await again.back()).undisturbed()


async def test_a_delta_is_against_what_the_endpoint_surely_holds(fleet: Fleet) -> None:
    a = await fleet.device("a")
    fleet.layer("all/-", n=0, other=1)
    _, first = await a.message()  # and does not say that it applied it
    fleet.layer("all/-", n=0, other=2)
    _, second = await a.message()
    assert json.loads(second)["full"] == {"n": 0, "other": 2}
    again = await a.back()  # by the ledger it holds the oldest of three
    _, third = await again.message()
    assert json.loads(third)["full"] == {"n": 0, "other": 2}
    await again.publish("hello", {"config": json.loads(first)["id"]})
    _, fourth = await again.message()
    assert json.loads(fourth)["base"] == json.loads(first)["id"]


async def test_groups_are_stored_with_the_profile_and_told_with_the_filters_that_failed(
    akela: AkelaUp, fleet: Fleet
) -> None:
    fleet.group("red", 10, 'profile.model == "red"')
    fleet.group("small", 20, "profile.size < 5")
    with Subscriber(akela.operator(), f"a1/{fleet.app}/a/o/groups") as told:
        a = await fleet.device("a")
        assert set(told.json("a1/")["errors"]) == {"red", "small"}
        await a.publish("profile", {"model": "red"})  # its acknowledgement follows the write of both
        stored = fleet.stored("a")
        assert (stored["profile"], stored["groups"]) == ({"model": "red"}, ["red"])
        assert list(stored["group_errors"]) == ["small"]
        assert told.json("a1/") == {"groups": ["red"], "errors": stored["group_errors"]}
        await a.publish("profile", {"model": "red", "size": 3})
        assert told.json("a1/") == {"groups": ["red", "small"], "errors": {}}
        assert fleet.stored("a")["group_errors"] == {}
