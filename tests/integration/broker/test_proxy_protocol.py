"""PROXY protocol, version 2: the gate sees the client behind the proxy, and nobody without a header gets in."""

import struct

import pytest

from broker import Accepted, ConnectRequest, Listener, Refused
from broker.proxy_protocol import SIGNATURE
from tests.brokers import Serve
from tests.mqtt import Wire, connect

V4 = SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 7]), bytes([10, 0, 0, 1]), 40000, 1883)
V6 = SIGNATURE + b"\x21\x21" + struct.pack("!H16s16sHH", 36, bytes(15) + b"\x09", bytes(16), 40001, 1883)
WITH_EXTENSION = (
    SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 15, bytes([192, 0, 2, 8]), bytes(4), 7, 1) + b"\x04\x00\x00"
)
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


class Noting:
    """Accepts everybody and notes from where."""

    name = "noting"

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        self.seen.append((request.peer.address, request.peer.port))
        return Accepted("", None)


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (V4, ("192.0.2.7", 40000)),
        (V6, ("::9", 40001)),
        (WITH_EXTENSION, ("192.0.2.8", 7)),
        (LOCAL, ("127.0.0.1", None)),
    ],
)
@pytest.mark.parametrize("split", [False, True])
async def test_the_client_behind_the_proxy_is_told(
    serve: Serve, header: bytes, source: tuple[str, int | None], split: bool
) -> None:
    gate = Noting()
    port = await serve(authenticators=[gate], listeners=(Listener(port=0, proxy_protocol=True),))
    wire = await Wire.open(port)
    for part in [header[i : i + 1] for i in range(len(header))] if split else [header]:
        wire.send(part)
        await wire.flushed()
    wire.send(connect("c"))
    assert await wire.packet() == (0x20, b"\x00\x00")
    assert gate.seen[0][0] == source[0]
    assert source[1] in (None, gate.seen[0][1])


WRONG = {
    "none": connect("c"),
    "version 1": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    "version 3": SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    "too short for its addresses": SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    "too long": SIGNATURE + b"\x21\x11\xff\xff",
}


@pytest.mark.parametrize("header", WRONG.values(), ids=list(WRONG))
async def test_nobody_gets_in_without_a_good_header(serve: Serve, header: bytes) -> None:
    gate = Noting()
    port = await serve(authenticators=[gate], listeners=(Listener(port=0, proxy_protocol=True),))
    wire = await Wire.open(port)
    wire.send(header, connect("c"))
    await wire.closed()
    assert gate.seen == []
