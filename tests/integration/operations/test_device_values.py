"""Values that devices set: each authority on the wire, leases, operators' decisions; attached and away."""

import asyncio
import json
import queue
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from device_lib import Address, Endpoint, EndpointSettings
from tests.akela_up import AkelaUp, Subscriber
from tests.cluster import until
from tests.fleet import Device, Fleet

DEFAULT = {"server": 0, "device": 0, "last": 0, "hold": 0}


def field(name: str, authority: str | None) -> dict[str, Any]:
    said = {} if authority is None else {"akela.authority": authority}
    return {"name": name, "type": "int", "default": 0} | said


CONFIG = {
    "type": "record",
    "name": "C",
    "fields": [field("server", None), field("device", "device"), field("last", "last"), field("hold", "hold")],
}


@pytest.fixture
def fleet(akela: AkelaUp) -> Iterator[Fleet]:
    """A fleet of its own for each test."""
    made = Fleet(akela, CONFIG)
    yield made
    made.api.close()


async def reported(device: Device, values: dict[str, Any], **more: Any) -> Any:
    """The answer to a report."""
    return await device.asked("config/report", json.dumps({"values": values, **more}).encode())


def held(fleet: Fleet, ep: str = "a") -> Any:
    return fleet.api.get(f"{fleet.path}/endpoints/{ep}/values")["held"]


def paths(fleet: Fleet, ep: str = "a") -> list[str]:
    return [item["path"] for item in fleet.api.get(f"{fleet.path}/endpoints/{ep}/values")["values"]]


def decide(fleet: Fleet, number: str, verdict: str) -> None:
    fleet.api.post(f"{fleet.path}/endpoints/a/values/{number}/{verdict}", None)


async def gone(fleet: Fleet, device: Device) -> None:
    """Drop the connection, and return when that is known."""
    device.leave()
    await asyncio.to_thread(until, lambda: fleet.stored(device.ep)["server"] is None, lambda: fleet.stored(device.ep))


async def error(device: Device) -> Any:
    """The refusal that the next message must be."""
    topic, payload = await device.message()
    assert topic == "err/403", (topic, payload)
    return json.loads(payload)


async def test_each_authority(fleet: Fleet, akela: AkelaUp) -> None:
    a, b = await fleet.device("a"), await fleet.device("b")
    with Subscriber(akela.operator(), f"a1/{fleet.app}/a/o/config") as operators:
        answer = await reported(a, {"server": 1, "device": 2, "last": 3, "hold": 4})
        (proposal,) = held(fleet)
        assert answer == {
            "plane": "values", "reason": "the server decides this value", "key": "/server", "rejected": ["/server"],
            "accepted": ["/device", "/last"], "held": {"/hold": proposal["id"]}, "withdrawn": [],
        }  # fmt: skip
        assert await a.config() == DEFAULT | {"device": 2, "last": 3}
        seen = [operators.json(f"a1/{fleet.app}/a/o/config") for _ in range(4)]
    assert [(item["path"], item["verdict"]) for item in seen] == [
        ("/server", "rejected"), ("/device", "accepted"), ("/last", "accepted"), ("/hold", "held"),
    ]  # fmt: skip
    assert {item["state"] for item in seen} == {"device"}
    assert seen[3]["value_id"] == proposal["id"]
    assert paths(fleet) == ["/device", "/last"]
    again = await (await a.back()).asked("config/get")
    assert again["full"] == a.holds  # and nothing was sent before: it holds what it should have
    await b.undisturbed()


async def test_what_the_server_decides_is_sent_again_as_it_should_be(fleet: Fleet) -> None:
    a = await fleet.device("a")
    await a.publish("config/report", {"values": {"server": 1}})
    refusal = await error(a)
    assert refusal == {"plane": "values", "reason": "the server decides this value", "key": "/server"}
    assert await a.config() == DEFAULT
    await a.publish("config/report", {"values": {"server": 1}})  # a device that insists makes no endless exchange
    assert (await error(a))["key"] == "/server"
    await a.undisturbed()
    assert (await reported(a, {"server": 0}))["accepted"] == ["/server"]  # it says what is so


async def test_values_come_with_the_report_that_a_configuration_is_applied(fleet: Fleet) -> None:
    a = await fleet.device("a")
    await a.publish("config/applied", {"id": a.id, "code": 200, "values": {"device": 5}})
    assert await a.config() == DEFAULT | {"device": 5}
    await a.publish("config/applied", {"id": a.id, "code": 200, "values": {"device": "x"}})
    topic, payload = await a.message()
    assert (topic, json.loads(payload)["key"]) == ("err/422", "/device")
    await a.publish("config/applied", {"id": a.id, "code": 200, "values": {"server": 1}})
    assert (await error(a))["key"] == "/server"
    assert await a.config() == DEFAULT | {"device": 5}
    assert fleet.stored("a")["config"]["applied"]["id"] == a.id
    assert paths(fleet) == ["/device"]


async def test_the_last_word(fleet: Fleet) -> None:
    a, b = await fleet.device("a"), await fleet.device("b")
    for each in (a, b):
        await reported(each, {"device": 1, "last": 2})
        await each.config()
    fleet.layer("all/-", device=7, server=7)
    for each in (a, b):
        assert await each.config() == DEFAULT | {"device": 1, "last": 2, "server": 7}
    assert paths(fleet) == ["/device", "/last"]
    fleet.layer("all/-", device=7, server=7, last=2)  # what devices say anyhow: the word is the server's from now on
    for ep in ("a", "b"):
        await asyncio.to_thread(until, lambda ep=ep: paths(fleet, ep) == ["/device"], lambda: paths(fleet))
    fleet.layer("all/-", device=7, server=7)
    for each in (a, b):
        assert await each.config() == DEFAULT | {"device": 1, "server": 7}
    await reported(a, {"last": 3})
    assert await a.config() == DEFAULT | {"device": 1, "server": 7, "last": 3}
    fleet.layer("endpoint/a", last=4)
    assert await a.config() == DEFAULT | {"device": 1, "server": 7, "last": 4}
    await b.undisturbed()


async def test_null_takes_back(fleet: Fleet) -> None:
    a = await fleet.device("a")
    await reported(a, {"device": 1, "last": 2, "hold": 3})
    await a.config()
    answer = await reported(a, {"device": None, "hold": None})
    assert answer == {"accepted": [], "held": {}, "withdrawn": ["/device", "/hold"]}
    assert await a.config() == DEFAULT | {"last": 2}
    assert (held(fleet), paths(fleet)) == ([], ["/last"])


async def test_a_lease_ends(fleet: Fleet) -> None:
    a = await fleet.device("a")
    await reported(a, {"device": 1, "hold": 2}, until=0.5)
    assert await a.config() == DEFAULT | {"device": 1}
    assert await a.config() == DEFAULT
    await reported(a, {"device": 1}, until=0.5)
    assert await a.config() == DEFAULT | {"device": 1}
    await gone(fleet, a)
    await asyncio.to_thread(until, lambda: not paths(fleet), lambda: paths(fleet))
    assert await (await a.back()).config() == DEFAULT


async def test_operators_decide(fleet: Fleet) -> None:
    a = await fleet.device("a")
    (accepted,) = (await reported(a, {"hold": 1}))["held"].values()
    decide(fleet, accepted, "accept")
    assert await a.config() == DEFAULT | {"hold": 1}
    (rejected,) = (await reported(a, {"hold": 2}))["held"].values()
    decide(fleet, rejected, "reject")
    assert (await error(a))["key"] == "/hold"
    assert await a.config() == DEFAULT | {"hold": 1}
    await reported(a, {"device": 3})
    assert await a.config() == DEFAULT | {"hold": 1, "device": 3}
    endpoint = f"{fleet.path}/endpoints/a"
    fleet.api.delete(f"{endpoint}/values", etag=fleet.api.etag(endpoint))
    assert await a.config() == DEFAULT | {"hold": 1}
    assert (held(fleet), paths(fleet)) == ([], [])


async def test_operators_decide_while_the_device_is_away(fleet: Fleet) -> None:
    a, b = await fleet.device("a"), await fleet.device("b")
    (number,) = (await reported(a, {"hold": 2, "device": 3}))["held"].values()
    await a.config()
    await gone(fleet, a)
    decide(fleet, number, "reject")
    endpoint = f"{fleet.path}/endpoints/a"
    fleet.api.delete(f"{endpoint}/values", etag=fleet.api.etag(endpoint))
    fleet.layer("all/-", last=9)
    assert await b.config() == DEFAULT | {"last": 9}  # so the server knows all of it
    back = await a.back()
    assert (await error(back))["key"] == "/hold"
    assert await back.config() == DEFAULT | {"last": 9}
    assert (held(fleet), paths(fleet)) == ([], [])


@pytest.mark.parametrize(
    ("payload", "code", "key"),
    [
        (b"{", "400", None),
        (b"5", "400", None),
        (b"{}", "400", "values"),
        (b'{"values": {"x": 1}}', "422", "/x"),
        (b'{"values": {"device": 1, "hold": "x"}}', "422", "/hold"),
        (b'{"values": {"device": 1}, "until": "soon"}', "422", "until"),
    ],
)
async def test_a_bad_report_is_refused_as_a_whole(fleet: Fleet, payload: bytes, code: str, key: str | None) -> None:
    a = await fleet.device("a")
    await a.publish("config/report/r1", payload)
    topic, body = await a.message()
    assert (topic, json.loads(body).get("key")) == (f"re/r1/{code}", key)
    await a.publish("config/report", payload)
    topic, body = await a.message()
    assert (topic, json.loads(body).get("key")) == (f"err/{code}", key)
    assert (held(fleet), paths(fleet)) == ([], [])
    await a.undisturbed()


async def connected(fleet: Fleet) -> Device:
    """A device of an application that the server may not have heard of yet."""
    async with asyncio.timeout(10):
        while True:
            with suppress(AssertionError):
                return await Device.connected(fleet, "a")


async def test_without_a_configuration_schema(fleet: Fleet) -> None:
    bare = fleet.api.post("/applications", {"name": f"bare {fleet.app}", "trust": "open"})
    fleet.app, fleet.claim = bare["id"], bare["claim_secret"]
    a = await connected(fleet)
    await a.wire.subscribed(("a1/me/d/#", 1))
    answer = await reported(a, {"device": 1})
    assert answer == {"plane": "values", "reason": "the application has no configuration schema"}


def test_the_endpoint_library_reports(fleet: Fleet) -> None:
    configurations: queue.SimpleQueue[Any] = queue.SimpleQueue()
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def configured(value: Any) -> Any:
        configurations.put(value)
        return {"last": 4} if value["last"] == 0 else None

    settings = EndpointSettings(fleet.app, "lib", fleet.claim, servers=[Address("127.0.0.1", fleet.port)])
    with Endpoint(
        settings, on_configuration=configured, on_event=lambda what, values: events.put((what, values))
    ) as lib:
        assert configurations.get(timeout=10) == DEFAULT
        while (value := configurations.get(timeout=10)) == DEFAULT:
            continue  # it was acknowledged before the hello, which says that there is none: sent once more
        assert value == DEFAULT | {"last": 4}
        lib.report({"device": 5, "server": 6}).wait(10)
        while "rejected" not in (event := events.get(timeout=10))[1]:
            continue
        assert (event[1]["code"], event[1]["rejected"], event[1]["accepted"]) == (403, ["/server"], ["/device"])
        while configurations.get(timeout=10) != DEFAULT | {"last": 4, "device": 5}:
            continue
