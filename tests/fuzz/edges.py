"""What stands before the decoder, or beside it: WebSocket frames, a PROXY header, the decoder of a trace."""

import random
import struct

from broker import proxy_protocol, trace
from broker.errors import RemoteProtocolError
from broker.tap import PacketSplitter
from broker.websocket import MAX_WAITING, WebSocketFraming
from tests.fuzz.session import damaged, packets

HANDSHAKE = (
    b"GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)
READ = 4096  # bytes that come at a time, at most
MAX_PACKET = 64 * 1024


def frame(payload: bytes, chance: random.Random) -> bytes:
    """A client's frame: mostly binary, sometimes of another kind, in pieces, or with a length that is not its own."""
    opcode = chance.choice([2, 2, 2, 2, 0, 1, 8, 9, 10, 3])
    first = opcode | (0x80 if chance.random() < 0.9 else 0) | (0x40 if chance.random() < 0.02 else 0)
    size = len(payload) if chance.random() < 0.9 else chance.choice([0, 200, 70_000, 2**31, 2**63])
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65_536:
        head = bytes([first, 0x80 | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, 0x80 | 127]) + struct.pack("!Q", size)
    mask = chance.randbytes(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def run_websocket(inputs: int, seed: int) -> int:
    """Frames on framings, in reads that begin and end anywhere; gives how many bytes of MQTT came out."""
    chance = random.Random(seed)
    framing, out, waiting = WebSocketFraming(MAX_PACKET), 0, 0
    for _ in range(inputs):
        if framing.ended:
            framing, waiting = WebSocketFraming(MAX_PACKET), 0
            framing.received(damaged(HANDSHAKE, chance) if chance.random() < 0.1 else HANDSHAKE, accepted=False)
            framing.pending()
        data = damaged(frame(chance.choice(packets(chance)), chance), chance)
        accepted = chance.random() < 0.5
        cut = chance.randrange(len(data) + 1)
        for part in (data[:cut], data[cut:]):
            found = framing.received(part, accepted=accepted)
            out += len(found)
            waiting = 0 if found else waiting + len(part)
            assert framing.ended or accepted or waiting <= MAX_WAITING + READ, "more waits than a stranger may send"
        framing.framed(b"\xd0\x00")
        framing.pending()
    framing.closing()
    return out


def run_proxy(inputs: int, seed: int) -> int:
    """PROXY headers, damaged and cut; gives how many were whole."""
    chance, whole = random.Random(seed), 0
    for _ in range(inputs):
        addresses = chance.randbytes(chance.choice([0, 4, 12, 36, 50]))
        head = bytes([chance.choice([0x20, 0x21, 0x11, 0x2F]), chance.choice([0x11, 0x21, 0x31, 0x00, 0xFF])])
        size = len(addresses) if chance.random() < 0.9 else chance.randrange(65_536)
        data = damaged(proxy_protocol.SIGNATURE + head + size.to_bytes(2, "big") + addresses + b"\x10\x00", chance)
        try:
            found = proxy_protocol.read(data)
        except RemoteProtocolError:
            continue
        if found is None:
            assert len(data) < proxy_protocol.HEADER + proxy_protocol.MAX_LENGTH, "it waits for what will never end"
        else:
            assert found[1] <= len(data)
            whole += 1
    return whole


def run_trace(inputs: int, seed: int) -> int:
    """Damaged packets as a trace shows them, cut out of a stream; gives how many were well-formed."""
    chance, whole = random.Random(seed), 0
    for _ in range(inputs):
        stream = b"".join(damaged(packet, chance) for packet in chance.sample(packets(chance), 2))
        for packet in PacketSplitter().packets(stream):
            whole += "malformed" not in trace.decode(packet, chance.choice([3, 4, 5]))
    return whole
