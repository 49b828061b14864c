"""What attach and hello send: what differs, once."""

import json

from tests.akela_up import AkelaUp
from tests.mqtt import Message, Wire, connect, publish, subscribe


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
