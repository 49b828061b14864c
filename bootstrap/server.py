"""Puts a Bootstrap server together: an engine that answers one topic, and a watch on the Operations servers."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from akela import __version__
from akela.admin import AdminServer
from akela.contract import topics
from akela.contract.bootlist import public_text
from akela.coordination import Role, open_coordination
from akela.errors import PortInUseError
from akela.lifecycle import Stopper
from bootstrap.access import Asking
from bootstrap.answers import Answers
from bootstrap.keys import load_or_make
from bootstrap.settings import BootstrapSettings
from broker import Broker, BrokerSettings, Hooks, Listener
from broker.errors import BrokerStartError
from broker.process import prepare

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 30.0
MAX_PACKET: Final = 4096  # nobody has much to say here


MAX_CONNECTIONS: Final = 100_000  # at a time: each stays for one answer


class BootstrapServer:
    """One Bootstrap server."""

    def __init__(self, settings: BootstrapSettings) -> None:
        self._settings = settings
        self._key = load_or_make(settings.key_file)
        self._answers = Answers(self._key, settings.boot_ttl)
        self._coordination = open_coordination(
            zookeeper=settings.zookeeper, directory=settings.data, cluster=settings.cluster
        )
        asking = Asking(self._answers)
        listener = Listener("mqtt", settings.bind, settings.listen(settings.boot_port))
        limits = BrokerSettings(
            listeners=(listener,),
            max_packet_size=MAX_PACKET,
            max_subscriptions=4,
            max_topic_levels=4,
            max_session_expiry_s=0,
            max_connections=prepare(MAX_CONNECTIONS),
        )
        self._broker = Broker(limits, Hooks((asking,), (asking,), (asking,)))
        registry = CollectorRegistry()
        servers = Gauge("akela_bootstrap_servers", "Operations servers in the list", registry=registry)
        servers.set_function(lambda: float(len(self._answers.members)))
        self._admin = AdminServer(settings.bind, settings.listen(settings.boot_admin_port), self._ready, registry)
        self._seen = False

    async def run(self, stopper: Stopper) -> None:
        """Serve until `stopper` is set."""
        watching: asyncio.Task[None] | None = None
        await self._admin.start()
        try:
            await self._coordination.connect(START_TIMEOUT_S)
            watching = asyncio.create_task(self._watch())
            await self._listen()
            await self._coordination.register(Role.BOOTSTRAP, self._settings.member_id, self._announcement())
            await stopper.wait()
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await self._broker.stop(drain_s=1.0)
            await self._coordination.close()
            await self._admin.stop()

    async def _listen(self) -> None:
        try:
            await self._broker.start()
        except BrokerStartError as error:
            raise PortInUseError(error.host, error.port, "--boot-port") from error

    async def _watch(self) -> None:
        async for members in self._coordination.watch(Role.OPERATIONS):
            self._answers.members = members
            self._seen = True
            for session in self._broker.sessions():
                if topics.BOOT in session.subscriptions:
                    session.send(topics.BOOT, self._answers.signed(now_s=time.time()), qos=1, retain=True)

    def _announcement(self) -> dict[str, object]:
        settings = self._settings
        return {
            "mqtt": {"host": settings.public_host or settings.bind, "port": settings.listen(settings.boot_port)},
            "key": public_text(self._key.public_key()),
            "version": __version__,
        }

    def _ready(self) -> Mapping[str, bool]:
        return {"list": self._seen}
