"""Plugins whose decisions block: they are asked in threads of their own, so that a slow directory holds up nobody else.

amqtt's LDAP plugins talk to the directory with a library that blocks; in amqtt itself, and on the loop here, everybody would wait. A
plugin of one's own that blocks says so with `blocking = True` in its class. Such a plugin must not await anything.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

MODULES: Final = ("amqtt.contrib.ldap",)
MAX_THREADS: Final = 16  # of one plugin; what would need one more is refused
QUESTIONS: Final = ("authenticate", "topic_filtering")

Ask = Callable[..., Coroutine[Any, Any, Any]]


def set_aside(plugin: object) -> None:
    """Have a plugin's decisions made in threads, if it blocks."""
    blocks = getattr(type(plugin), "blocking", False) or any(
        kind.__module__ in MODULES for kind in type(plugin).__mro__
    )
    if not blocks:
        return
    threads = threading.BoundedSemaphore(MAX_THREADS)
    for question in QUESTIONS:
        ask = getattr(plugin, question, None)
        if ask is not None:
            setattr(plugin, question, _aside(ask, threads))


def _aside(ask: Ask, threads: threading.BoundedSemaphore) -> Ask:
    async def asked(**values: Any) -> Any:
        if not threads.acquire(blocking=False):
            raise RuntimeError(f"the plugin is busy with {MAX_THREADS} decisions")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        # A daemon, because one that hangs must not keep the server from ending.
        threading.Thread(target=_decide, args=(ask, values, loop, answer, threads), daemon=True).start()
        return await answer

    return asked


def _decide(
    ask: Ask,
    values: dict[str, Any],
    loop: asyncio.AbstractEventLoop,
    answer: asyncio.Future[Any],
    threads: threading.BoundedSemaphore,
) -> None:
    result, failure = None, None
    try:
        result = _driven(ask(**values))
    except Exception as error:  # noqa: BLE001  it is raised where the plugin was asked
        failure = error
    finally:
        threads.release()
    try:
        loop.call_soon_threadsafe(_answer, answer, result, failure)
    except RuntimeError:  # the server has ended meanwhile
        return


def _driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine that waits for nothing returns."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("a plugin with `blocking` awaits something")


def _answer(answer: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if answer.done():
        return  # nobody waits any more
    if failure is None:
        answer.set_result(result)
    else:
        answer.set_exception(failure)
