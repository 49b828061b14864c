"""Gates that answer with futures: each is told its verdict once, whatever becomes of the future."""

import asyncio

import pytest

from broker import Accepted, Refused
from broker.gates import CONNECT_FAILED
from broker.waiting import Waiting

Verdict = Accepted | Refused
WELCOME = Accepted("app", None)


def asked(waiting: Waiting, told: list[Verdict]) -> "asyncio.Future[Verdict]":
    """A future that somebody waits for."""
    answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    waiting.tell(answer, "gate", told.append)
    return answer


async def test_a_future_that_takes_too_long_is_refused_also_when_another_was_due_before_it() -> None:
    loop, told = asyncio.get_running_loop(), list[Verdict]()
    waiting = Waiting(0.05)
    first, asked_s = asked(waiting, told), loop.time()
    while loop.time() - asked_s < 0.01:
        await asyncio.sleep(0)
    second = asked(waiting, told)
    async with asyncio.timeout(10):
        await asyncio.wait([first])
        assert (first.cancelled(), second.done()) == (True, False)
        await asyncio.wait([second])
    await asyncio.sleep(0)
    assert told == [CONNECT_FAILED, CONNECT_FAILED]


async def test_a_verdict_that_cannot_be_carried_out_is_logged_and_the_next_one_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Verdict] = []
    waiting, loop = Waiting(10), asyncio.get_running_loop()
    broken: asyncio.Future[Verdict] = loop.create_future()

    def breaks(verdict: Verdict) -> None:
        raise RuntimeError("the engine broke")

    waiting.tell(broken, "gate", breaks)
    fine = asked(waiting, told)
    broken.set_result(WELCOME)
    fine.set_result(WELCOME)
    await asyncio.sleep(0)
    assert told == [WELCOME]
    assert "a verdict could not be carried out" in caplog.text
    waiting.close()


async def test_after_the_end_nobody_is_told_anything() -> None:
    told: list[Verdict] = []
    waiting = Waiting(10)
    decided, pending = asked(waiting, told), asked(waiting, told)
    decided.set_result(WELCOME)
    waiting.close()
    await asyncio.sleep(0)
    assert (told, pending.cancelled()) == ([], True)
