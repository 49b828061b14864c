"""Endpoints on an older schema version, endpoints that want Avro, endpoints that take little; what cannot be served is said. K53."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from akela.contract import avro
from akela.contract.canonical import config_id
from akela.contract.envelope import AvroPush
from tests import mqtt5
from tests.akela_up import AkelaUp, Subscriber
from tests.fleet import CONFIG, PROFILE, Device, Fleet
from tests.mqtt5 import Wire5

WIDER: dict[str, Any] = {**CONFIG, "fields": [*CONFIG["fields"], {"name": "extra", "type": "int", "default": 5}]}
OTHER: dict[str, Any] = {**CONFIG, "fields": [{"name": "n", "type": "string", "default": "text"}]}


@pytest.fixture
def fleet(akela: AkelaUp) -> Iterator[Fleet]:
    """A fleet of its own for each test."""
    made = Fleet(akela)
    yield made
    made.api.close()


def watching(akela: AkelaUp, fleet: Fleet, ep: str, what: str) -> Subscriber:
    """An operator who sees what the server decides about an endpoint."""
    return Subscriber(akela.operator(), f"a1/{fleet.app}/{ep}/o/{what}")


async def pushed(device: Device, schema: dict[str, Any]) -> Any:
    """The configuration that the next message brings in Avro."""
    topic, payload = await device.message()
    assert topic == "config"
    push = AvroPush.from_bytes(payload)
    parsed = avro.parse_schema(schema)
    value = avro.decode(push.full, {parsed.fingerprint: parsed}.get)
    assert config_id(value) == push.id
    return value


async def test_a_schema_version_reaches_those_who_run_the_newest(fleet: Fleet) -> None:
    old, new = await fleet.device("old", hello={"versions": {"config": 1}}), await fleet.device("new")
    fleet.schema("config", WIDER)
    assert await new.config() == {"n": 0, "other": 0, "extra": 5}
    await old.undisturbed()
    fleet.layer("all/-", n=3, extra=9)
    assert await new.config() == {"n": 3, "other": 0, "extra": 9}
    assert await old.config() == {"n": 3, "other": 0}
    fleet.layer("all/-", n=3, extra=8)
    assert (await new.config())["extra"] == 8
    await old.undisturbed()


async def test_an_endpoint_that_runs_another_version_is_served_anew__k53(fleet: Fleet) -> None:
    fleet.schema("config", WIDER)
    a = await fleet.device("a", hello={"versions": {"config": 1}})
    again = await a.back()
    await again.asked("hello", {"config": a.id, "versions": {"config": 2}})
    assert await again.config() == {"n": 0, "other": 0, "extra": 5}


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (7, "the configuration schema has no version 7"),
        (1, "it cannot be resolved: Schema mismatch: string is not int"),
    ],
)
async def test_a_version_that_cannot_be_served_is_told_and_harms_nobody(
    akela: AkelaUp, fleet: Fleet, version: int, reason: str
) -> None:
    fleet.schema("config", OTHER)
    with watching(akela, fleet, "a", "config") as states, watching(akela, fleet, "a", "refused") as refusals:
        a, b = await Device.connected(fleet, "a"), await fleet.device("b")
        await a.wire.subscribed(("a1/me/d/#", 1))
        assert (await a.message())[0] == "config"
        await a.asked("hello", {"versions": {"config": version}})
        state = states.json("a1/")
        while state["state"] != "unservable":
            state = states.json("a1/")
        assert state["reason"] == reason
        told = refusals.json("a1/")
        assert (told["plane"], told["code"], told["reason"]) == ("configuration", 409, reason)
        assert (await a.asked("config/get"))["reason"] == reason
        fleet.layer("all/-", n="new")
        assert await b.config() == {"n": "new"}
        await a.publish("hello", {"versions": {"config": 2}})
        assert await a.config() == {"n": "new"}


async def test_configurations_in_avro(fleet: Fleet) -> None:
    a = await Device.connected(fleet, "a")
    await a.publish("hello", {"fmt": "avro", "versions": {"config": 1}})
    await a.wire.subscribed(("a1/me/d/#", 1))
    assert await pushed(a, CONFIG) == {"n": 0, "other": 0}
    fleet.schema("config", WIDER)
    fleet.layer("all/-", n=2, extra=1)
    assert await pushed(a, CONFIG) == {"n": 2, "other": 0}
    again = await a.back()  # says nothing: what it said last holds
    assert await pushed(again, CONFIG) == {"n": 2, "other": 0}
    await again.publish("hello", {"fmt": "json", "versions": {"config": 2}})
    assert await again.config() == {"n": 2, "other": 0, "extra": 1}


async def test_a_profile_in_avro(fleet: Fleet) -> None:
    fleet.group("red", 10, 'profile.model == "red"')
    fleet.layer("group/red", n=1)
    a = await fleet.device("a")
    await a.publish("profile", avro.parse_schema(PROFILE).encode({"model": "red", "size": None}))
    assert (await a.config())["n"] == 1


async def test_a_configuration_that_is_larger_than_the_endpoint_takes(akela: AkelaUp, fleet: Fleet) -> None:
    with watching(akela, fleet, "a", "refused") as refusals:
        a = await Device.connected(fleet, "a")
        await a.publish("hello", {"max": 20})
        await a.wire.subscribed(("a1/me/d/#", 1))
        await a.asked("hello", {"max": 20})
        told = refusals.json("a1/")
        assert (told["code"], told["key"]) == (413, "max")
        assert told["reason"].endswith("the endpoint takes 20")
    await a.publish("hello", {"max": 2000})
    assert await a.config() == {"n": 0, "other": 0}


async def test_profiles_are_checked_against_the_version_that_the_endpoint_runs(fleet: Fleet) -> None:
    a = await fleet.device("a", hello={"versions": {"profile": 1}})
    more = {"name": "serial", "type": "string"}
    fleet.schema("profile", {**PROFILE, "fields": [*PROFILE["fields"], more]})
    assert set(await a.asked("profile", {"model": "m"})) == {"profile"}
    b = await fleet.device("b")
    refused = await b.asked("profile", {"model": "m"})
    assert (refused["key"], refused["reason"]) == ("/serial", "missing")
    await a.publish("hello", {"versions": {"profile": 9}, "config": a.id})
    refused = await a.asked("profile", {"model": "m"})
    assert refused["reason"] == "the application has no profile schema version 9"


@pytest.mark.parametrize(
    ("report", "code", "key"),
    [
        ({"id": "0123456789abcdef", "code": 200}, 409, "id"),
        ({"code": 200}, 400, "id"),
        ({"id": "0123456789abcdef", "code": 99}, 400, "code"),
        (b"no JSON", 400, None),
    ],
)
async def test_reports_that_are_none(fleet: Fleet, report: Any, code: int, key: str | None) -> None:
    a = await fleet.device("a")
    await a.publish("config/applied", report)
    topic, payload = await a.message()
    assert (topic, json.loads(payload).get("key")) == (f"err/{code}", key)
    await a.undisturbed()


async def test_nobody_reports_for_somebody_else(fleet: Fleet) -> None:
    a, b = await fleet.device("a"), await fleet.device("b")
    await a.raw(f"a1/{fleet.app}/b/u/config/applied", {"id": b.id, "code": 500})
    topic, payload = await a.message()
    assert (topic, json.loads(payload)["plane"]) == ("err/403", "publish")
    assert fleet.stored("b")["config"]["state"] == "applied"


async def test_an_mqtt_5_client_is_told_what_the_payload_is(fleet: Fleet) -> None:
    wire = await Wire5.joined(fleet.port, "a", username=fleet.app, password=fleet.claim)
    assert await wire.subscribed(("a1/me/d/#", 1)) == [1]
    first = await wire.heard()
    assert (first.said["content_type"], json.loads(first.payload)["full"]["n"]) == ("application/json", 0)
    wire.send(mqtt5.publish("a1/me/u/hello", b'{"fmt": "avro"}', qos=0))
    second = await wire.heard()
    assert second.said["content_type"] == "application/avro"
    assert AvroPush.from_bytes(second.payload).id == json.loads(first.payload)["id"]


async def test_a_configuration_that_is_larger_than_an_mqtt_5_client_takes(akela: AkelaUp, fleet: Fleet) -> None:
    with watching(akela, fleet, "a", "config") as states:
        login = {"username": fleet.app, "password": fleet.claim}
        wire = await Wire5.joined(fleet.port, "a", **login, maximum_packet_size=40)
        assert await wire.subscribed(("a1/me/d/#", 1)) == [1]
        assert states.json("a1/")["state"] == "assigned"
        state = states.json("a1/")
        assert (state["state"], state["reason"]) == ("unservable", "dropped: larger than the client takes")
        wire.drop()
        wire = await Wire5.joined(fleet.port, "a", **login)
        assert await wire.subscribed(("a1/me/d/#", 1)) == [1]
        assert json.loads((await wire.heard()).payload)["full"] == {"n": 0, "other": 0}
        assert next(state for state in iter(lambda: states.json("a1/")["state"], "") if state != "assigned") == "sent"
