"""Endpoints that refuse their configuration, or never say that they applied it: sent again some times, then held until it changes."""

import json
from collections.abc import Iterator

import pytest

from tests.akela_up import AkelaUp, Subscriber, started
from tests.fleet import Device, Fleet

WAITS = {"AKELA_RETRY_REFUSED_S": "0.05", "AKELA_RETRY_SILENT_S": "0.05", "AKELA_RETRY_LONGEST_S": "0.1"}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AkelaUp]:
    """An Akela that waits for moments only, and sends again twice."""
    environment = WAITS | {"AKELA_RETRY_TRIES": "2"}
    yield from started(tmp_path_factory.mktemp("impatient") / "data", environment=environment)


@pytest.fixture
def fleet(impatient: AkelaUp) -> Iterator[Fleet]:
    """A fleet of its own for each test."""
    made = Fleet(impatient)
    yield made
    made.api.close()


def held(states: Subscriber) -> tuple[str, int]:
    """Wait until the server holds the configuration; why, and how often it was sent again."""
    state = states.json("a1/")
    while state["state"] != "held":
        state = states.json("a1/")
    return state["cause"], state["tries"]


async def refuse(device: Device) -> None:
    """Take the next message, which must be a configuration, and refuse it."""
    topic, payload = await device.message()
    assert topic == "config"
    device.id = json.loads(payload)["id"]
    await device.publish("config/applied", {"id": device.id, "code": 422, "key": "/n", "reason": "too small"})


async def test_refusals_end_with_holding_until_the_target_changes_or_an_operator_asks(
    impatient: AkelaUp, fleet: Fleet
) -> None:
    b = await fleet.device("b")
    with Subscriber(impatient.operator(), f"a1/{fleet.app}/a/o/config") as states:
        a = await Device.connected(fleet, "a")
        await a.wire.subscribed(("a1/me/d/#", 1))
        for _ in range(3):
            await refuse(a)
        assert held(states) == ("refused", 2)
        stored = fleet.stored("a")["config"]
        assert (stored["refused"]["code"], stored["refused"]["key"], stored["refused"]["tries"]) == (422, "/n", 2)
        for _ in range(2):  # it comes back, and back: not sent
            again = await a.back()
            await again.undisturbed()
            again.leave()
        fleet.api.act(f"{fleet.path}/endpoints/a", "retry")  # while it is away
        again = await a.back()
        for _ in range(3):
            await refuse(again)
        assert held(states) == ("refused", 2)
        await again.undisturbed()
        fleet.api.act(f"{fleet.path}/endpoints/a", "retry")
        await refuse(again)
        fleet.layer("all/-", n=5)
        _, payload = await again.message()
        while json.loads(payload)["full"]["n"] != 5:
            _, payload = await again.message()
    assert (await b.config())["n"] == 5


async def test_silence_ends_with_holding_and_a_returning_endpoint_is_sent_what_it_lacks(
    impatient: AkelaUp, fleet: Fleet
) -> None:
    with Subscriber(impatient.operator(), f"a1/{fleet.app}/a/o/config") as states:
        a = await Device.connected(fleet, "a")
        await a.wire.subscribed(("a1/me/d/#", 1))
        for _ in range(3):
            assert (await a.message())[0] == "config"
        assert held(states) == ("silent", 2)
        a.id = (await a.asked("config/get"))["id"]
        again = await a.back()
        assert await again.config() == {"n": 0, "other": 0}  # and says so at last
        assert fleet.stored("a")["config"]["state"] == "applied"
        final = await again.back()
        await final.undisturbed()
