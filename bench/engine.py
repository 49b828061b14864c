"""The engine alone, with an authenticator and an authorizer in the way of operations/: `python bench/engine.py --port N`.

Run as a file, so that the `broker` it serves may be another checkout's (`--baseline`). Knows nothing of the bench.
"""

import argparse
import asyncio
import hashlib
import hmac
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from broker import Accepted, Broker, BrokerSettings, ConnectRequest, Hooks, Listener, PublishGrant, Refused, Session
from broker.hooks import SubscribeGrant
from broker.process import prepare
from broker.reasons import Reason
from broker.tls import KeyPair, Tls

MAX_CONNECTIONS = 100_000


@dataclass(frozen=True, slots=True)
class Device:
    """Who is at the other end."""

    user: str


class Gate:
    """Accepts one user, whose password's hash is known."""

    name = "bench"

    def __init__(self, user: str, password: str) -> None:
        self._users = {user: hashlib.sha256(password.encode()).digest()}

    def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        """Decide on one CONNECT."""
        known = self._users.get(request.username or "")
        if known is None or not hmac.compare_digest(hashlib.sha256(request.password or b"").digest(), known):
            return Refused(Reason.BAD_USER_NAME_OR_PASSWORD, "wrong user name or password")
        return Accepted("bench", Device(request.username or ""))


class Access:
    """Allows one tree of topics."""

    name = "bench"

    def __init__(self, tree: str) -> None:
        self._tree = tree

    def authorize_publish(self, session: Session, topic: str) -> PublishGrant | Refused:
        """Within the tree."""
        if isinstance(session.principal, Device) and topic.startswith(self._tree):
            return PublishGrant(topic)
        return Refused(Reason.NOT_AUTHORIZED, "not your topic")

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant | Refused:
        """Within the tree."""
        if isinstance(session.principal, Device) and topic_filter.startswith(self._tree):
            return SubscribeGrant(topic_filter)
        return Refused(Reason.NOT_AUTHORIZED, "not your topic")


async def _serve(options: argparse.Namespace) -> None:
    tls = Tls(KeyPair(options.certificate, options.key)) if options.certificate else None
    settings = BrokerSettings(
        listeners=(Listener(port=options.port, tls=tls),),
        max_connections=prepare(MAX_CONNECTIONS),
        max_inflight=options.inflight,
        max_queued=options.queued,
        max_queued_bytes=options.queued * 1024,
    )
    hooks = Hooks(authenticators=(Gate(options.user, options.password),), authorizers=(Access(options.tree),))
    broker = Broker(settings, hooks)
    await broker.start()
    await asyncio.Event().wait()


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes an event loop: "asyncio", or a package and what to call in it ("uvloop:new_event_loop")."""
    if name == "asyncio":
        return asyncio.new_event_loop
    module, _, call = name.partition(":")
    made: Callable[[], asyncio.AbstractEventLoop] = getattr(importlib.import_module(module), call)
    return made


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    for name in ("user", "password", "tree"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "inflight", "queued"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("certificate", "key"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--loop", default="uvloop:new_event_loop")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
        runner.run(_serve(options))


if __name__ == "__main__":
    main()
