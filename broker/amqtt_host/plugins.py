"""The hooks of our engine, answered by amqtt's plugins.

A plugin that fails or hangs has refused where it decides, and is a line in the log where it is told: the engine's gates see to
the first, `_fire` to the second. Decisions on topics are asked once per session and topic, as everywhere in the engine.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from amqtt.adapters import BufferReader
from amqtt.broker import BrokerContext
from amqtt.contexts import Action, BrokerConfig
from amqtt.errors import AMQTTError, PluginError, PluginLoadError
from amqtt.events import BrokerEvents, Events, MQTTEvents
from amqtt.mqtt import packet_class
from amqtt.mqtt.packet import MQTTFixedHeader
from amqtt.plugins.manager import PluginManager

from broker.amqtt_host import blocking
from broker.amqtt_host.config import AmqttConfigError
from broker.amqtt_host.context import HostedBroker
from broker.amqtt_host.sessions import HostedSession, incoming, offline
from broker.connection import Connection
from broker.hooks import (
    Accepted,
    ConnectRequest,
    DetachCause,
    Hooks,
    PublishGrant,
    Refused,
    SubscribeGrant,
)
from broker.packets import LEVEL_5
from broker.reasons import Reason
from broker.session import Session
from broker.tap import PacketSplitter

if TYPE_CHECKING:
    from broker.broker import Broker

log = logging.getLogger(__name__)

NAMESPACE: Final = "amqtt.broker.plugins"
MAX_UNDER_WAY: Final = 10_000  # events that plugins are still busy with; more are not told
CLOSE_WITHIN_S: Final = 5.0


class _Manager(PluginManager[BrokerContext]):  # type: ignore[misc]
    """amqtt's manager, with what it knows of its plugins in the open."""

    @property
    def guards_topics(self) -> bool:
        """Some plugin decides on topics."""
        return bool(self._topic_plugins) and self.is_topic_filtering_enabled()

    @property
    def events(self) -> set[str]:
        """Events that some plugin wants to hear of."""
        return {str(event) for event in self._event_plugin_callbacks}

    def listeners(self, event: Events) -> list[Callable[..., Awaitable[None]]]:
        """Who hears of an event."""
        return list(self._event_plugin_callbacks.get(event, ()))


class AmqttPlugins:
    """All plugins of one configuration. Give `hooks` to a Broker, then `attach` it before it starts."""

    name = "amqtt plugins"

    def __init__(self, config: BrokerConfig) -> None:
        self._config = config
        self._manager: Any = None
        self._broker: Broker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._dropped = 0

    @property
    def hooks(self) -> Hooks:
        """For `Broker(settings, hooks)`."""
        return Hooks((self,), (self,), (self,), reviver=self)

    def attach(self, broker: Broker) -> None:
        """Load the plugins for this broker. Raises: AmqttConfigError naming the plugin."""
        self._broker = broker
        context = BrokerContext(HostedBroker(broker, self._on_retained))
        context.config = self._config
        try:
            self._manager = _Manager(NAMESPACE, context)
        except (PluginError, PluginLoadError) as error:
            cause = f": {error.__cause__}" if error.__cause__ else ""
            raise AmqttConfigError(f"plugins: {str(error) or type(error).__name__}{cause}") from error
        for plugin in self._manager.plugins:
            blocking.set_aside(plugin)
        self._warn_of_misspelt()
        self._listens = self._manager.events
        if self._listens & {MQTTEvents.PACKET_RECEIVED, MQTTEvents.PACKET_SENT}:
            broker.listen_in(_Packets(self._fire))
        if self._manager.guards_topics:
            broker.engine.delivery.receiver = self

    async def starting(self) -> None:
        """Before the broker listens."""
        await self._manager.fire_event(BrokerEvents.PRE_START, wait=True)

    async def started(self) -> None:
        """The broker listens."""
        await self._manager.fire_event(BrokerEvents.POST_START, wait=True)

    async def stopping(self) -> None:
        """Before the broker closes its connections."""
        await self._bounded(self._manager.fire_event(BrokerEvents.PRE_SHUTDOWN, wait=True))

    async def stopped(self) -> None:
        """The broker has stopped: plugins let go of what they hold."""
        await self._bounded(self._manager.fire_event(BrokerEvents.POST_SHUTDOWN, wait=True))
        await self._bounded(self._manager.close())

    async def revive(self, session: Session) -> HostedSession:
        """A session that was read from disk: who its client is, amqtt's plugins hear when it is back."""
        hosted = offline(session.client_id)
        hosted.hosted = session
        return hosted

    # Decisions.

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        """Every plugin that gives an answer must accept, and at least one must give one."""
        session = HostedSession(request)
        verdicts = await self._manager.map_plugin_auth(session=session)
        given = [verdict for verdict in verdicts.values() if verdict is not None]
        if not given or not all(given):
            return Refused(Reason.NOT_AUTHORIZED, "not authorized")
        return Accepted("", session)

    def authorize_publish(self, session: Session, topic: str) -> Any:
        """PUBLISH of a topic."""
        grant = PublishGrant(topic, self._heard if self._wants_messages else None)
        return grant if not self._manager.guards_topics else self._decide(session, topic, Action.PUBLISH, grant)

    def authorize_subscribe(self, session: Session, topic_filter: str) -> Any:
        """SUBSCRIBE to a filter."""
        grant = SubscribeGrant(topic_filter)
        if not self._manager.guards_topics:
            return grant
        return self._decide(session, topic_filter, Action.SUBSCRIBE, grant)

    def may_receive(self, session: Session, topic: str) -> bool | None:
        """Whether a message of `topic` may go to a session; None: `when_decided` will tell."""
        verdict = session.principal.receives.get(topic) if isinstance(session.principal, HostedSession) else True
        return verdict if isinstance(verdict, bool) else None

    def when_decided(self, session: Session, topic: str, deliver: Callable[[], object]) -> None:
        """Ask the plugins; deliver, in order, what came meanwhile if they allow it."""
        hosted = session.principal
        assert isinstance(hosted, HostedSession)
        waiting = hosted.receives.get(topic)
        if isinstance(waiting, list):
            waiting.append(deliver)
            return
        hosted.receives[topic] = waiting = [deliver]
        task = asyncio.ensure_future(self._received(session, hosted, topic, waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _received(
        self, session: Session, hosted: HostedSession, topic: str, waiting: list[Callable[[], object]]
    ) -> None:
        assert self._broker is not None
        try:
            async with asyncio.timeout(self._broker.settings.gate_timeout_s):
                allowed = await self._allowed(hosted, topic, Action.RECEIVE)
        except Exception:
            log.exception("a plugin failed, not delivering", extra={"topic": topic, "client": session.client_id})
            allowed = False
        hosted.receives[topic] = allowed
        for deliver in waiting if allowed else ():
            deliver()

    async def _decide(self, session: Session, topic: str, action: Action, grant: Any) -> Any:
        if await self._allowed(session.principal, topic, action):
            return grant
        return Refused(Reason.NOT_AUTHORIZED, f"{action} is not allowed")

    async def _allowed(self, session: object, topic: str, action: Action) -> bool:
        verdicts = await self._manager.map_plugin_topic(session=session, topic=topic, action=action)
        return all(verdicts.values())

    # What plugins are told.

    def on_attached(self, session: Session, session_present: bool) -> None:
        """A client is connected."""
        hosted = session.principal
        if isinstance(hosted, HostedSession):
            hosted.hosted = session
            hosted.client_id = session.client_id
            hosted.transitions.connect()
            self._fire(BrokerEvents.CLIENT_CONNECTED, client_id=session.client_id, client_session=hosted)

    def on_detached(self, session: Session, cause: DetachCause) -> None:
        """A connection has ended."""
        hosted = session.principal
        if isinstance(hosted, HostedSession):
            hosted.transitions.disconnect()
            self._fire(BrokerEvents.CLIENT_DISCONNECTED, client_id=session.client_id, client_session=hosted)

    def on_subscribed(self, session: Session, topic_filter: str, qos: int) -> None:
        """A subscription was granted."""
        self._fire(BrokerEvents.CLIENT_SUBSCRIBED, client_id=session.client_id, topic=topic_filter, qos=qos)

    def on_unsubscribed(self, session: Session, topic_filter: str) -> None:
        """A subscription has ended."""
        self._fire(BrokerEvents.CLIENT_UNSUBSCRIBED, client_id=session.client_id, topic=topic_filter)

    def _on_retained(self, message: Any) -> None:
        self._fire(BrokerEvents.RETAINED_MESSAGE, client_id=None, retained_message=message)

    @property
    def _wants_messages(self) -> bool:
        wanted = {BrokerEvents.MESSAGE_RECEIVED, BrokerEvents.MESSAGE_BROADCAST, BrokerEvents.RETAINED_MESSAGE}
        return bool(self._listens & wanted)

    def _heard(self, session: Session, topic: str, payload: bytes, qos: int, ticket: int) -> bool:
        message = incoming(topic, payload, qos)
        self._fire(BrokerEvents.MESSAGE_RECEIVED, client_id=session.client_id, message=message)
        self._fire(BrokerEvents.MESSAGE_BROADCAST, client_id=session.client_id, message=message)
        return True

    def _fire(self, event: Events, **values: Any) -> None:
        """Tell whoever listens, in tasks of their own."""
        for told in self._manager.listeners(event):
            if len(self._tasks) >= MAX_UNDER_WAY:
                self._dropped += 1
                if self._dropped & (self._dropped - 1) == 0:  # told less and less often
                    log.error("plugins do not keep up, events are not told", extra={"events": self._dropped})
                return
            task = asyncio.ensure_future(_told(told(**values), str(event)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _bounded(self, asked: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await asked
        except TimeoutError:
            log.warning("a plugin does not end in time", extra={"seconds": CLOSE_WITHIN_S})

    def _warn_of_misspelt(self) -> None:
        known = [f"on_{event}" for event in (*BrokerEvents, *MQTTEvents)]
        for plugin in self._manager.plugins:
            for name in dir(type(plugin)):
                if name.startswith("on_") and name not in known:
                    near = difflib.get_close_matches(name, known, 1)
                    meant = f"; did you mean {near[0]}?" if near else f"; known are: {', '.join(known)}"
                    log.warning("%s.%s is no event and will never be called%s", type(plugin).__name__, name, meant)


async def _told(telling: Awaitable[None], event: str) -> None:
    try:
        await telling
    except Exception:
        log.exception("a plugin failed", extra={"event": event})


class _Packets:
    """Tells plugins of each packet of MQTT 3.1.1; amqtt's classes know no other version."""

    def __init__(self, fire: Callable[..., None]) -> None:
        self._fire = fire
        self._streams: dict[tuple[Connection, Events], PacketSplitter] = {}
        self._queue: asyncio.Queue[tuple[Connection, Events, bytes]] = asyncio.Queue(MAX_UNDER_WAY)
        self._worker: asyncio.Task[None] | None = None

    def read(self, connection: Connection, data: bytes) -> None:
        """A client has sent `data`."""
        self._take(connection, MQTTEvents.PACKET_RECEIVED, data)

    def written(self, connection: Connection, data: bytes) -> None:
        """A client was sent `data`."""
        self._take(connection, MQTTEvents.PACKET_SENT, data)

    def ended(self, connection: Connection) -> None:
        """The connection is gone."""
        for event in (MQTTEvents.PACKET_RECEIVED, MQTTEvents.PACKET_SENT):
            self._streams.pop((connection, event), None)

    def _take(self, connection: Connection, event: Events, data: bytes) -> None:
        splitter = self._streams.setdefault((connection, event), PacketSplitter())
        for packet in splitter.packets(data):
            if not self._queue.full():
                self._queue.put_nowait((connection, event, packet))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._decode())

    async def _decode(self) -> None:
        while not self._queue.empty():
            connection, event, raw = self._queue.get_nowait()
            if connection.level == LEVEL_5:
                continue
            try:
                packet = await _packet(raw)
            except (AMQTTError, ValueError, TypeError, EOFError):
                continue
            hosted = connection.session.principal if connection.session is not None else None
            self._fire(event, packet=packet, session=hosted)


async def _packet(raw: bytes) -> Any:
    reader = BufferReader(raw)
    header = await MQTTFixedHeader.from_stream(reader)
    if header is None:
        raise EOFError
    kind: Any = packet_class(header)
    return await kind.from_stream(reader, fixed_header=header)
