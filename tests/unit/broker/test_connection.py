"""The sans-io connection: any split of the bytes gives the same answers, and no bytes whatever make it raise."""

from hypothesis import example, given
from hypothesis import strategies as st

from broker.hooks import DetachCause
from tests.mqtt import DISCONNECT, PINGREQ, connect, puback, publish, pubrel, subscribe, unsubscribe
from tests.socketless import Client

PACKETS = st.one_of(
    st.builds(publish, st.sampled_from(["a", "b/c"]), st.binary(max_size=300), qos=st.integers(0, 2), retain=st.booleans()),
    st.builds(lambda f, q: subscribe((f, q)), st.sampled_from(["a", "#", "+/c"]), st.integers(0, 2)),
    st.builds(unsubscribe, st.sampled_from(["a", "#"])),
    st.builds(puback, st.integers(1, 20)),
    st.builds(pubrel, st.integers(1, 20)),
    st.just(PINGREQ),
)  # fmt: skip


@given(st.lists(PACKETS, max_size=12), st.booleans(), st.data())
def test_any_split_gives_the_same_answers(packets: list[bytes], leaves: bool, data: st.DataObject) -> None:
    stream = connect("c") + b"".join(packets) + (DISCONNECT if leaves else b"")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    whole, split = Client(), Client()
    whole.feed(stream)
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        split.feed(stream[start:stop])
    assert split.written == whole.written
    assert split.ended is whole.ended
    assert whole.written.startswith(b"\x20\x02\x00\x00")


@given(st.booleans(), st.lists(st.one_of(st.binary(max_size=40), PACKETS), max_size=6))
@example(True, [b"\x32\x03\x00\x01a"])
@example(True, [b"\x30\x80\x80\x80\x80\x01"])
def test_no_bytes_make_it_raise(connected: bool, chunks: list[bytes]) -> None:
    client = Client()
    if connected:
        client.feed(connect("c"))
    for chunk in chunks:
        client.feed(chunk)
    assert client.ended in (None, DetachCause.PROTOCOL_ERROR, DetachCause.CLIENT, DetachCause.HOST)
    assert len(client.connection._buffer) <= 256 * 1024 + 5


@given(st.data())
def test_a_damaged_packet_never_raises(data: st.DataObject) -> None:
    packet = bytearray(data.draw(PACKETS))
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    client = Client()
    client.feed(connect("c") + bytes(packet))
    assert client.written.startswith(b"\x20\x02\x00\x00")
