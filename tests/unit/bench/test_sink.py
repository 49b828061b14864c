"""The ceiling's server answers what the generator's clients wait for, however the bytes are cut."""

import asyncio
import itertools
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from bench import wire
from bench.sink import _Sink, frames


class _Written:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def _connected(everybody: dict[_Sink, int]) -> tuple[_Sink, _Written]:
    written = _Written()
    sink = _Sink(everybody)
    sink.connection_made(cast(asyncio.Transport, cast(Any, written)))
    return sink, written


@given(st.lists(st.integers(0, 2000), max_size=8), st.sampled_from([0, 1, 2]))
def test_any_cut_gives_the_same_answers(cuts: list[int], qos: int) -> None:
    everybody: dict[_Sink, int] = {}
    subscriber, heard = _connected(everybody)
    subscriber.data_received(wire.connect("s") + wire.subscribe(["f/+/up"], min(qos, 1)))
    publisher, answers = _connected(everybody)
    stream = wire.connect("p") + b"".join(wire.publish("f/p0/up", b"x" * 200, qos, i) for i in range(1, 8))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, stop in itertools.pairwise(places):
        publisher.data_received(stream[start:stop])
    assert answers.data.startswith(b"\x20\x02\x00\x00")
    assert len(answers.data) == wire.CONNACK + (7 * wire.ACKNOWLEDGEMENT if qos else 0)
    messages, rest = frames(heard.data[wire.CONNACK + wire.suback_size(1) :])
    assert (len(messages), rest) == (7 if qos < 2 else 0, b"")


def test_a_whole_exchange_of_qos_2_is_answered() -> None:
    sink, written = _connected({})
    sink.data_received(wire.connect("p") + wire.publish("f/p0/up", b"x", 2, 300) + b"\x62\x02\x01\x2c")
    assert written.data[wire.CONNACK :] == b"\x50\x02\x01\x2c\x70\x02\x01\x2c"
