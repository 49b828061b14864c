"""`$SYS`, as Mosquitto's users know it."""

from broker import Broker
from tests.brokers import Serve
from tests.mqtt import Wire, connect, subscribe


async def test_sys_topics(serve: Serve, brokers: list[Broker]) -> None:
    port = await serve(sys_interval_s=0.01)
    wire = await Wire.connected(port, connect("c"))
    wire.send(subscribe(("$SYS/broker/#", 0)))
    assert (await wire.packet()).first == 0x90
    seen: dict[str, bytes] = {}
    while seen.get("$SYS/broker/subscriptions/count") != b"1" or "$SYS/broker/load/connections/15min" not in seen:
        message = await wire.message()
        seen[message.topic] = message.payload
    assert seen["$SYS/broker/clients/connected"] == b"1"
    assert int(seen["$SYS/broker/messages/received"]) >= 1
    assert seen["$SYS/broker/uptime"].endswith(b" seconds")
    assert {"$SYS/broker/load/bytes/sent/1min", "$SYS/broker/retained messages/count"} <= seen.keys()
