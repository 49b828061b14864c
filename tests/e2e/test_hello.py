"""What attach and hello send: what differs, once."""

import asyncio
import json

import httpx

from tests.akela_up import AkelaUp
from tests.mqtt import Message, Wire, connect, publish, subscribe
from tests.rest import made, match


async def attached(akela: AkelaUp, endpoint: str) -> Wire:
    """An endpoint that has subscribed; what the server sends follows."""
    login = {"username": akela.app, "password": akela.demo["claim_secret"]}
    wire = await Wire.connected(int(akela.port()), connect(endpoint, **login))
    wire.send(subscribe(("a1/me/d/#", 0)))
    assert (await wire.packet()).first == 0x90
    return wire


async def hello(wire: Wire, rid: str, config: str | None) -> list[Message]:
    """What follows a hello, up to the answer of another request."""
    wire.send(publish(f"a1/me/u/hello/{rid}", json.dumps({"config": config})), publish("a1/me/u/config/get/end"))
    heard = [await wire.message()]
    while heard[-1].topic != "a1/me/d/re/end/200":
        heard.append(await wire.message())
    return heard


def pushes(heard: list[Message]) -> int:
    return [message.topic for message in heard].count("a1/me/d/config")


async def test_a_first_hello_does_not_repeat_what_attach_sent(akela: AkelaUp) -> None:
    wire = await attached(akela, "hello-1")
    assert pushes(await hello(wire, "h1", None)) == 1
    assert pushes(await hello(wire, "h2", None)) == 1  # it says again that it holds nothing: it was lost on the way


async def test_k28_who_holds_it_is_sent_nothing_and_who_holds_something_else_the_whole(akela: AkelaUp) -> None:
    wire = await attached(akela, "hello-3")
    first = json.loads((await wire.message()).payload)
    wire.send(publish("a1/me/u/config/applied", json.dumps({"id": first["id"], "code": 200}), qos=1))
    assert (await wire.packet()).first == 0x40
    await wire.leave()
    wire = await attached(akela, "hello-3")
    assert pushes(await hello(wire, "h1", first["id"])) == 0
    heard = await hello(wire, "h2", "0123456789abcdef")
    assert json.loads(heard[1].payload)["full"] == first["full"]


async def test_a_draft_reaches_nobody_and_its_activation_does(akela: AkelaUp) -> None:
    admin = {"Authorization": f"Bearer {akela.demo['admin_token']}"}
    layer = f"/applications/{akela.app}/configurations/endpoint/hello-4"

    def draft_twice_and_activate() -> None:
        made(client.post(f"{layer}/versions", json={"data": {"interval": 12}}))
        made(client.post(f"{layer}/versions", json={"data": {"interval": 13}}), 200)
        made(client.post(f"{layer}/versions/2/activate", headers=match(client, layer)), 200)

    with httpx.Client(base_url=f"{akela.ready['api']}/api/v1", headers=admin, timeout=60) as client:
        await asyncio.to_thread(lambda: made(client.put(layer, json={"data": {"interval": 11}})))
        wire = await attached(akela, "hello-4")
        await hello(wire, "h1", None)
        await asyncio.to_thread(draft_twice_and_activate)
        seen: list[int] = []
        while 13 not in seen:
            message = await wire.message()
            assert message.topic == "a1/me/d/config"
            pushed = json.loads(message.payload)
            seen.append((pushed.get("full") or pushed["delta"])["interval"])
        assert 12 not in seen
        assert pushes(await hello(wire, "h2", pushed["id"])) == 0
