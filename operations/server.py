"""Puts an Operations server together, starts it in order and stops it in the reverse.

Order of the start: the database, then the catalog at a known place of the log, then the engine, and only then the entry
in coordination that lets Bootstrap send endpoints and Control send events here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from akela import __version__
from akela.admin import AdminServer
from akela.contract import topics
from akela.coordination import Registration, Role, open_coordination
from akela.documents.store import OperationsStore, StoreError
from akela.errors import PortInUseError, ServerError
from akela.lifecycle import Stopper
from broker import Broker, BrokerSettings, Hooks, KeyPair, Listener, Session, Tls
from broker.admin import TracePage
from broker.errors import BrokerStartError, SessionStoreError
from broker.hooks import PublishHandler
from broker.process import prepare
from operations.access import Access
from operations.applied_changes import AppliedChanges
from operations.attached import Attached
from operations.catalog import Catalog
from operations.changes import ChangeFeed
from operations.continuity import Continuity
from operations.convergence import Convergence
from operations.downlink import Downlink
from operations.effective import Configurations
from operations.endpoint_writer import EndpointWriter
from operations.expiries import Expiries
from operations.gate import Gate
from operations.generations import TICK_MS
from operations.metrics import OperationsMetrics
from operations.peers import Peers
from operations.plugins.configuration import ConfigurationPlane
from operations.plugins.data import DataPlane
from operations.plugins.hello import HelloPlane
from operations.plugins.profile import ProfilePlane
from operations.plugins.registration import RegistrationPlane
from operations.plugins.values import ValuesPlane
from operations.principals import CONTROL_USER, PEER_USER
from operations.records import RecordWriter
from operations.reloading import Reloading
from operations.settings import OperationsSettings
from operations.takeovers import Takeovers
from operations.trust import Trust

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 30.0  # how long database and coordination may take to appear
RETRY_S: Final = 0.2
SESSIONS: Final = ".sessions"  # ending of the engine's file in the data directory
AUTHORITIES: Final = ".authorities.pem"  # ending of the file from which TLS reads who may sign endpoints' certificates
SYS_EVERY_S: Final = 10.0  # how often $SYS is published
LOAD_EVERY_S: Final = 5.0  # how often the announced load is refreshed
DRAIN_S: Final = 5.0


class OperationsServer:
    """One Operations server: an engine, the planes as its plugins, and what they stand on."""

    def __init__(self, settings: OperationsSettings) -> None:
        self._settings = settings
        self._store = OperationsStore()
        self._coordination = open_coordination(
            zookeeper=settings.zookeeper, directory=settings.data, cluster=settings.cluster
        )
        self._catalog = Catalog()
        self._downlink = Downlink()
        self._configurations = Configurations(self._catalog)
        self._writer = EndpointWriter(self._store, settings.member_id)
        self._records = RecordWriter(self._store, settings.member_id)
        self._attached = Attached(settings.member_id, self._downlink, self._writer, self._catalog)
        self._trust = self._trusted()
        self._expiries = Expiries()
        self._peers = Peers(settings.member_id, settings.require_cluster_secret(), settings.max_payload)
        self._takeovers = Takeovers(self._attached, self._peers, self._store)
        self._values = ValuesPlane(self._downlink, self._writer, self._catalog, self._configurations, self._attached)
        self._plane = ConfigurationPlane(
            self._downlink, self._writer, self._configurations, settings.retry_policy, self._values
        )
        self._convergence = Convergence(
            self._catalog, self._configurations, self._attached, self._writer, self._downlink, self._plane
        )
        self._values.cohorts, self._values.bring = self._convergence.cohorts, self._plane.bring
        changes = AppliedChanges(
            self._catalog, self._configurations, self._convergence, self._attached, self._sessions, self._trust
        )
        self._profiles = ProfilePlane(self._downlink, self._writer, self._catalog, self._convergence)
        self._continuity = Continuity()
        self._attached.attend(self._continuity)
        self._attached.attend(self._takeovers)
        self._attached.attend(self._profiles)  # what is known of an endpoint first, then what follows from it
        self._attached.attend(changes)
        self._attached.attend(self._convergence)
        self._reloading = Reloading(
            self._store, self._catalog, self._configurations, changes, self._convergence, self._attached, self._sessions
        )
        self._feed = ChangeFeed(self._store, changes.apply, self._reloading.start_over)
        self._broker = self._engine()
        self._downlink.broker = self._broker
        metrics = OperationsMetrics(self._broker, self._attached, self._records, self._feed, self._writer, self._peers)
        self._traces = TracePage(self._broker)
        self._admin = AdminServer(
            settings.bind, settings.listen_admin, self._ready, metrics.registry, [self._traces.route]
        )
        self._started = datetime.now(UTC) - timedelta(milliseconds=TICK_MS)
        self._registration: Registration | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, stopper: Stopper) -> None:
        """Serve until `stopper` is set."""
        try:
            await self._start()
            log.info("ready", extra={"server": self._settings.member_id, "mqtt": self._settings.listen_mqtt})
            await stopper.wait()
        finally:
            await self._stop()

    def _engine(self) -> Broker:
        settings = self._settings
        names = ("hello", "registration", "profile", "configuration", "values", "data")
        planes = (
            HelloPlane(self._downlink, self._writer, self._attached, self._convergence, names, settings.max_payload),
            RegistrationPlane(self._downlink, self._writer),
            self._profiles,
            self._plane,
            self._values,
            DataPlane(self._downlink, self._records, self._catalog),
        )
        gate = Gate(self._store, self._catalog, self._trust, self._writer, settings.require_cluster_secret())
        internal: dict[tuple[str, str], PublishHandler] = {
            (CONTROL_USER, topics.CONTROL): self._feed.ring,
            (PEER_USER, topics.PEER): self._peers.receive,
        }
        access = Access(planes, self._downlink, self._catalog, internal)
        observers = (self._attached, self._plane, self._expiries)
        hooks = Hooks(authenticators=(gate,), authorizers=(access,), observers=observers, reviver=gate)
        return Broker(self._limits(), hooks)

    def _limits(self) -> BrokerSettings:
        settings = self._settings
        return BrokerSettings(
            listeners=self._listeners(),
            max_packet_size=settings.max_payload,
            sys_interval_s=SYS_EVERY_S,
            store=settings.data / f"{settings.member_id}{SESSIONS}",
            max_connections=prepare(settings.max_connections),
            connects_per_s=settings.connects_per_s,
            connects_burst=settings.connects_burst,
            messages_per_s=settings.messages_per_s,
            bytes_per_s=settings.bytes_per_s,
            messages_per_s_address=settings.messages_per_s_address,
            messages_per_s_account=settings.messages_per_s_tenant,
            max_queued=settings.max_queued,
            max_subscriptions=settings.max_subscriptions,
        )

    def _trusted(self) -> Trust:
        """Who may sign endpoints' certificates; TLS reads it from a file, where this server speaks TLS."""
        settings = self._settings
        file = None if settings.tls_cert is None else settings.data / f"{settings.member_id}{AUTHORITIES}"
        return Trust(file, settings.tls_client_ca)

    def _listeners(self) -> tuple[Listener, ...]:
        settings = self._settings
        plain = Listener("mqtt", settings.bind, settings.listen_mqtt)
        websocket = Listener("ws", settings.bind, settings.listen_ws, websocket=True)
        if settings.tls_cert is None or settings.tls_key is None or settings.listen_tls is None:
            return plain, websocket
        tls = Tls(KeyPair(settings.tls_cert, settings.tls_key), client_ca=self._trust.file)
        return plain, websocket, Listener("tls", settings.bind, settings.listen_tls, tls=tls)

    async def _start(self) -> None:
        await self._admin.start()
        self._store.connect(self._settings.mongodb_uri, self._settings.mongodb_database)
        await self._patiently(self._load, "the database does not answer", "AKELA_MONGODB_URL")
        await self._listen()
        await self._coordination.connect(START_TIMEOUT_S)
        self._registration = await self._coordination.register(
            Role.OPERATIONS, self._settings.member_id, self._announcement()
        )
        self._tasks += [
            asyncio.create_task(self._announce()),
            asyncio.create_task(self._peers.follow(self._coordination.watch(Role.OPERATIONS))),
            asyncio.create_task(self._takeovers.look_again()),
        ]

    async def _listen(self) -> None:
        authorities = self._settings.tls_client_ca
        try:
            if authorities is not None:
                authorities.read_bytes()
        except OSError as error:
            raise ServerError(f"client CA {authorities}: {error.strerror}; see --tls-client-ca") from error
        try:
            await self._broker.start()
        except BrokerStartError as error:
            if error.in_use:
                raise PortInUseError(error.host, error.port, f"--{error.listener}-port") from error
            raise ServerError(str(error)) from error
        except SessionStoreError as error:
            raise ServerError(f"the file of MQTT sessions cannot be used: {error}; see --data and --id") from error

    async def _load(self) -> None:
        self._feed.start(await self._reloading.load())

    async def _patiently(self, step: Callable[[], Awaitable[None]], what: str, setting: str) -> None:
        deadline_s = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while True:
            try:
                return await step()
            except StoreError as error:
                if asyncio.get_running_loop().time() > deadline_s:
                    raise ServerError(f"{what} within {START_TIMEOUT_S:.0f} s ({error}); see {setting}") from error
                await asyncio.sleep(RETRY_S)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._registration is not None:
            await self._registration.withdraw()
        await self._peers.stop()
        self._expiries.stop()
        await self._broker.stop(drain_s=DRAIN_S)
        await self._feed.stop()
        self._plane.close()
        self._values.close()
        self._profiles.close()
        self._continuity.close()
        await self._records.close(DRAIN_S / 2)
        await self._writer.close(DRAIN_S / 2)
        await self._coordination.close()
        self._traces.close()
        await self._admin.stop()
        await self._store.close()

    def _sessions(self) -> Iterable[Session]:
        return self._broker.sessions()

    def _ready(self) -> Mapping[str, bool]:
        return {
            "listed": self._registration is not None,
            "database": not (self._writer.failing or self._records.failing),
        }

    def _announcement(self) -> dict[str, Any]:
        settings = self._settings
        host = settings.public_host or settings.bind
        return {
            "mqtt": {"host": host, "port": settings.listen_mqtt},
            "ws": settings.listen_ws,
            "tls": settings.listen_tls,
            "admin": {"host": settings.bind, "port": settings.listen_admin},
            "load": {"connections": self._broker.stats.connections},
            "version": __version__,
            "draining": False,
            "started": self._started.isoformat(),  # what stored presence says of the time before is no longer so
            "position": self._feed.position,  # what the change log must keep
        }

    async def _announce(self) -> None:
        announced = self._announcement()
        while True:
            await asyncio.sleep(LOAD_EVERY_S)
            now = self._announcement()
            if now != announced and self._registration is not None:
                await self._registration.update(now)
                announced = now
