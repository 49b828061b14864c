"""A configuration that goes back to what it was, while the one between is on its way: the endpoint may have taken that one."""

import json
from collections.abc import Iterator

import pytest

from tests.akela_up import AkelaUp
from tests.cluster import until
from tests.fleet import Device, Fleet


@pytest.fixture
def fleet(akela: AkelaUp) -> Iterator[Fleet]:
    """A fleet of its own for each test."""
    made = Fleet(akela)
    yield made
    made.api.close()


async def test_who_was_sent_the_one_between_is_sent_the_old_one_again(fleet: Fleet) -> None:
    a = await fleet.device("a")
    fleet.layer("all/-", n=1)
    between = json.loads((await a.message())[1])["id"]
    fleet.api.delete(f"{fleet.path}/configurations/all/-")
    topic, payload = await a.message()
    assert (topic, json.loads(payload)["id"]) == ("config", a.id)
    await a.publish("config/applied", {"id": between, "code": 200})  # too late
    assert (await a.message())[0] == "err/409"
    await a.publish("config/applied", {"id": a.id, "code": 200})
    await a.undisturbed()


async def test_nor_is_it_forgotten_over_a_connection(fleet: Fleet) -> None:
    a, b = await fleet.device("a"), await fleet.device("b")
    fleet.layer("all/-", n=1)
    between = json.loads((await a.message())[1])["id"]
    until(lambda: fleet.stored("a")["config"]["sent"]["id"] == between, lambda: "the ledger does not follow")
    a.wire.drop()
    fleet.api.delete(f"{fleet.path}/configurations/all/-")
    assert [(await b.config())["n"] for _ in range(2)] == [1, 0]  # the server has heard of it
    again = await Device.connected(fleet, "a")
    await again.wire.subscribed(("a1/me/d/#", 1))  # it never says hello: nobody knows which of the two it holds
    assert await again.config() == {"n": 0, "other": 0}
    await again.undisturbed()
