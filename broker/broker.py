"""The embeddable broker: listeners, the clock, and the tasks that gates need. What is MQTT is in `broker.engine` and below."""

import asyncio
import errno
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from broker import gates
from broker.connection import Connection
from broker.durability import Durability
from broker.engine import Engine
from broker.errors import BrokerStartError
from broker.hooks import Accepted, ConnectRequest, DetachCause, Hooks, Refused
from broker.properties import Properties
from broker.rates import ClientRates, ConnectRates, SendRates, SharedRates
from broker.reasons import Reason
from broker.restoring import restore
from broker.retained import Retained
from broker.session import Session
from broker.settings import BrokerSettings, Listener
from broker.stats import BrokerStats
from broker.sys_topics import SysTopics
from broker.tap import Tap, Taps
from broker.tls import TlsContexts, TlsError
from broker.tls_link import TlsLink
from broker.transport import Transport, WrappedTransport
from broker.waiting import Waiting

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
ANONYMOUS: Final = Accepted("", None)


class Broker:
    """An MQTT broker in this process. Start and stop it in one event loop.

    `hooks` decide and observe; without an authenticator everybody is refused, unless `settings.allow_anonymous`.
    """

    def __init__(self, settings: BrokerSettings | None = None, hooks: Hooks | None = None) -> None:
        self.settings = settings or BrokerSettings()
        self._hooks = hooks or Hooks()
        stats = BrokerStats()
        self._durability: Durability | None = None
        if self.settings.store is not None:
            file, bound = self.settings.store, self.settings.max_store_bytes
            self._durability = Durability(file, bound, stats, time.monotonic)
        journal = None if self._durability is None else self._durability.journal
        self.engine = Engine(self.settings, self._hooks, self._flush_soon, self._later, time.monotonic, stats, journal)
        self._rates = ConnectRates(self.settings.connects_per_s, self.settings.connects_burst)
        self._shared = SharedRates(_send_rates(self.settings))
        self._sys = SysTopics(self.engine)
        self._sys_s = 0.0  # when $SYS was published last
        self.tap: Tap | None = None  # hears every packet's bytes: `listen_in`
        self.addresses: dict[str, tuple[str, int]] = {}  # listener -> where it listens
        self._servers: list[asyncio.Server] = []
        self._contexts: list[TlsContexts] = []
        self._transports: dict[Transport, None] = {}
        self._by_listener: Counter[str] = Counter()  # connections
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = Waiting(self.settings.gate_timeout_s)
        self._ticker: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def stats(self) -> BrokerStats:
        """Counters."""
        return self.engine.stats

    async def start(self) -> None:
        """Read what is on disk, then listen. Raises: BrokerStartError naming the listener that cannot, SessionStoreError."""
        self.loop = asyncio.get_running_loop()
        self._stopping = False
        self._waiting = Waiting(self.settings.gate_timeout_s)
        if self._durability is not None:
            rows = await self._durability.open()
            restore(self.engine, self._durability.journal, rows, time.time())
            await self._revive()
        try:
            for listener in self.settings.listeners:
                await self._listen(listener)
        except BrokerStartError:
            await self.stop(drain_s=0)
            raise
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self, drain_s: float = 5.0) -> None:
        """Take no new clients, settle what handlers hold for at most `drain_s` seconds, then close every connection."""
        self._stopping = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._contexts.clear()
        await self._drain(drain_s)
        await self.stored()  # its acknowledgements still go out
        for transport in list(self._transports):
            transport.connection.close(DetachCause.STOPPING, Reason.SERVER_SHUTTING_DOWN, "the server stops")
        self._waiting.close()
        tasks = [task for task in (*self._tasks, self._ticker) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._transports:  # `connection_lost` is called in the loop's next turn
            await asyncio.sleep(0)
        if self._durability is not None:
            await self._durability.close()

    async def stored(self) -> bool:
        """Write to disk what was published up to now for sessions that are kept there; False when it cannot be."""
        return True if self._durability is None else await self._durability.flush()

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, properties: Properties | None = None,
        exclude: Session | None = None,
    ) -> int:  # fmt: skip
        """Publish as the host: past the gates, to every matching subscription but those of `exclude`; returns how many."""
        return self.engine.publish(topic, payload, qos=qos, retain=retain, properties=properties, exclude=exclude)

    def heard(self, *levels: str) -> bool:
        """False when nobody subscribes to any topic that begins with these levels: what is for observers only need not be made."""
        return self.engine.delivery.router.may_match(*levels)

    def retain(self, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Keep a message for who subscribes later, and send it to nobody now; False when there is no room for it."""
        return self.engine.delivery.retained.keep(topic, Retained(payload, qos, b"", None))

    def session(self, namespace: str, client_id: str) -> Session | None:
        """The session of a client, connected or not."""
        return self.engine.sessions.get((namespace, client_id))

    def sessions(self) -> Iterator[Session]:
        """All sessions, connected or not."""
        return self.engine.iterate()

    def end_session(self, namespace: str, client_id: str) -> bool:
        """End a client's connection and forget its session; False when there is none."""
        return self.engine.end_session(namespace, client_id)

    def connections(self) -> Iterator[Connection]:
        """All connections, standing still while they change."""
        return iter([transport.connection for transport in self._transports])

    def listen_in(self, tap: Tap) -> None:
        """Let `tap` hear what every connection reads and writes, until it leaves."""
        self._tapped((*self._taps(), tap))

    def leave(self, tap: Tap) -> None:
        """`tap` hears no more."""
        self._tapped(tuple(one for one in self._taps() if one is not tap))

    def _taps(self) -> tuple[Tap, ...]:
        return self.tap.taps if isinstance(self.tap, Taps) else () if self.tap is None else (self.tap,)

    def _tapped(self, taps: tuple[Tap, ...]) -> None:
        self.tap = Taps(taps) if len(taps) > 1 else taps[0] if taps else None

    # What the transports use.

    def opened(self, transport: Transport) -> None:
        """A connection is there; one too many is closed at once."""
        self._transports[transport] = None
        self.stats.connections = len(self._transports)
        listener = transport.listener
        self._by_listener[listener.name] += 1
        beyond = 0 < listener.max_connections < self._by_listener[listener.name]
        if len(self._transports) > self.settings.max_connections or beyond or self._stopping:
            self.stats.busy_refused += 1
            transport.connection.close(DetachCause.HOST, Reason.SERVER_BUSY, "too many connections")

    def client_rates(self) -> ClientRates | None:
        """What bounds how fast a new client may send, if anything does."""
        return ClientRates(self._shared, self.engine.clock()) if self._shared.rates.bounded else None

    def connects(self, transport: Transport) -> None:
        """The client's address is known: one that connects too often is closed at once."""
        if not self._rates.allows(transport.connection.peer.address, self.engine.clock()):
            self.stats.rate_refused += 1
            transport.connection.close(DetachCause.HOST, Reason.CONNECTION_RATE_EXCEEDED, "connects too often")

    def closed(self, transport: Transport) -> None:
        """A connection is gone."""
        self.stats.closed[transport.connection.cause.value] += 1
        self._transports.pop(transport, None)
        self._by_listener[transport.listener.name] -= 1
        self.stats.connections = len(self._transports)

    def authenticate(self, connection: Connection, request: ConnectRequest) -> None:
        """Have the gates decide on a CONNECT."""
        if not self._hooks.authenticators and self.settings.allow_anonymous:
            self.engine.admit(connection, request, ANONYMOUS)
            return

        def decided(verdict: Accepted | Refused) -> None:
            if isinstance(verdict, Refused):
                self.engine.turn_away(connection, request, verdict)
            else:
                self.engine.admit(connection, request, verdict)

        authenticators = self._hooks.authenticators
        asked = gates.authenticated(authenticators, request, timeout_s=self.settings.gate_timeout_s)
        if isinstance(asked, Accepted | Refused):
            decided(asked)
        elif isinstance(asked, asyncio.Future):
            self._waiting.tell(asked, authenticators[0].name, decided)
        else:
            self._later(connection, asked, decided)

    def exchange(self, connection: Connection, request: ConnectRequest, data: bytes | None, state: object) -> None:
        """Have the gate of the request's authentication method decide on one step."""
        method = request.properties.authentication_method
        gate = next((gate for gate in self._hooks.enhanced if gate.method == method), None)
        if gate is None:
            self.engine.turn_away(connection, request, Refused(Reason.BAD_AUTHENTICATION_METHOD, f"no method {method}"))
            return
        asked = gates.exchanged(gate, request, data, state, timeout_s=self.settings.gate_timeout_s)
        self._later(connection, asked, connection.exchanged)

    def _later(self, connection: Connection | None, asked: Awaitable[Any], then: Callable[[Any], None]) -> None:
        async def run() -> None:
            then(await asked)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a verdict could not be carried out", exc_info=task.exception())

    def _flush_soon(self) -> None:
        self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        dirty = self.engine.dirty
        self.engine.dirty = []
        for connection in dirty:
            connection.dirty = False
            connection.shell.flush()

    async def _revive(self) -> None:
        """Have the host know its sessions again; then what fell due while the broker was away happens."""
        sessions, reviver = list(self.sessions()), self._hooks.reviver
        if reviver is not None:
            principals = await asyncio.gather(*(reviver.revive(session) for session in sessions))
            for session, principal in zip(sessions, principals, strict=True):
                session.principal = principal
        self.engine.tick(())

    async def _listen(self, listener: Listener) -> None:
        try:
            contexts = None if listener.tls is None else TlsContexts(listener.tls)
            server = await self.loop.create_server(
                lambda: self._protocol(listener, contexts), listener.host, listener.port, backlog=1024
            )
        except TlsError as error:
            raise BrokerStartError(listener.name, listener.host, listener.port, str(error)) from error
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "the port is in use" if taken else (error.strerror or str(error))
            raise BrokerStartError(listener.name, listener.host, listener.port, why, in_use=taken) from error
        self._servers.append(server)
        if contexts is not None:
            self._contexts.append(contexts)
        self.addresses[listener.name] = server.sockets[0].getsockname()[:2]

    def _protocol(self, listener: Listener, contexts: TlsContexts | None) -> asyncio.Protocol:
        kind = WrappedTransport if listener.websocket or listener.proxy_protocol else Transport
        transport = kind(self, listener)
        if contexts is None:
            return transport
        return TlsLink(contexts.server, transport, self.settings.connect_timeout_s)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for contexts in self._contexts:
                contexts.reload_changed()
            self._publish_sys()
            self.engine.tick([transport.connection for transport in self._transports])
            now_s = self.engine.clock()
            for transport in list(self._transports):
                transport.cut_off(now_s)

    def _publish_sys(self) -> None:
        interval_s, now_s = self.settings.sys_interval_s, self.engine.clock()
        if not interval_s or now_s - self._sys_s < interval_s:
            return
        self._sys_s = now_s
        for topic, payload in self._sys.messages().items():
            self.publish(topic, payload, retain=True)

    async def _drain(self, drain_s: float) -> None:
        now = asyncio.get_running_loop().time  # a broker that never started can be stopped, too
        deadline_s = now() + drain_s if drain_s else 0.0
        while drain_s and any(session.pending for session in self.engine.sessions.values()):
            if now() > deadline_s:
                log.warning("stopping with unsettled messages; their senders will repeat them")
                return
            await asyncio.sleep(0.01)


def _send_rates(settings: BrokerSettings) -> SendRates:
    return SendRates(
        settings.messages_per_s, settings.bytes_per_s, settings.messages_per_s_address, settings.messages_per_s_account
    )
