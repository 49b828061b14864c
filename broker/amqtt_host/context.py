"""What amqtt's BrokerContext reaches through: the broker, as plugins know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqtt.broker import RetainedApplicationMessage

from broker.amqtt_host.sessions import HostedSession, offline

if TYPE_CHECKING:
    from broker.broker import Broker


class HostedBroker:
    """amqtt's Broker to its plugins. `retained`: is told of each message that a plugin retains."""

    def __init__(self, broker: Broker, retained: Callable[[RetainedApplicationMessage], None]) -> None:
        self._broker = broker
        self._retained = retained
        self._sessions = _Sessions(broker)

    async def internal_message_broadcast(self, topic: str, data: bytes, qos: int | None = None) -> None:
        """Publish as the broker."""
        self._broker.publish(topic, bytes(data), qos=qos or 0)

    async def retain_message(self, source: object, topic: str, data: bytes | bytearray, qos: int | None = None) -> None:
        """Keep a message; amqtt sends it to nobody who has subscribed already."""
        self._broker.retain(topic, bytes(data), qos=qos or 0)
        self._retained(RetainedApplicationMessage(None, topic, bytes(data), qos))

    @property
    def sessions(self) -> _Sessions:
        """client id -> (session, handler)."""
        return self._sessions

    @property
    def retained_messages(self) -> dict[str, RetainedApplicationMessage]:
        """What is retained, by topic."""
        kept = self._broker.engine.delivery.retained.matching(("#",), self._broker.engine.clock())
        return {topic: RetainedApplicationMessage(None, topic, m.payload, m.qos) for topic, m in kept}

    @property
    def subscriptions(self) -> dict[str, list[tuple[HostedSession, int]]]:
        """Topic filter -> who subscribed, with which QoS."""
        found: dict[str, list[tuple[HostedSession, int]]] = {}
        for session in self._broker.sessions():
            for subscription in session.subscriptions.values():
                found.setdefault(subscription.topic_filter, []).append((session.principal, subscription.qos))  # type: ignore[arg-type]
        return found

    def create_offline_session(self, client_id: str) -> tuple[None, HostedSession]:
        """A session of a client that has not connected yet."""
        hosted = offline(client_id)
        hosted.hosted = self._broker.engine.offline_session("", client_id, hosted)
        return None, hosted

    async def add_subscription(self, subscription: tuple[str, int], session: HostedSession) -> int:
        """Subscribe for a client; gives the granted QoS, or 0x80."""
        if session.hosted is None:
            return 0x80
        return self._broker.engine.subscribing.add(session.hosted, *subscription)


class _Sessions(dict[str, Any]):
    """amqtt's table of sessions, looked up in ours."""

    def __init__(self, broker: Broker) -> None:
        super().__init__()
        self._broker = broker

    def _pair(self, client_id: object) -> tuple[Any, Any] | None:
        session = self._broker.session("", str(client_id))
        return None if session is None else (session.principal, None)

    def __contains__(self, client_id: object) -> bool:
        return self._pair(client_id) is not None

    def __missing__(self, client_id: str) -> tuple[Any, Any]:
        pair = self._pair(client_id)
        if pair is None:
            raise KeyError(client_id)
        return pair

    def get(self, client_id: str, default: Any = None) -> Any:
        return self._pair(client_id) or default

    def values(self) -> Any:
        return [(session.principal, None) for session in self._broker.sessions()]

    def __setitem__(self, client_id: str, pair: Any) -> None:
        """`add_subscription` of amqtt's context enters what `create_offline_session` has made: it is there already."""
