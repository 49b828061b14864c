"""Plugins as people write them for amqtt, some of them wrong."""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from amqtt.broker import BrokerContext
from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BasePlugin, BaseTopicPlugin


class Moody(BaseAuthPlugin):  # type: ignore[misc]
    """Answers as the user name says."""

    async def authenticate(self, *, session: Any) -> bool | None:
        match session.username:
            case "fails":
                raise RuntimeError("the plugin broke")
            case "hangs":
                await asyncio.Event().wait()
            case "ignored":
                return None
        return bool(session.username == "good")


class Ears(BasePlugin[BrokerContext]):  # type: ignore[misc]
    """Hears of everything; breaks after each word if it is told to."""

    heard: ClassVar[list[tuple[Any, ...]]] = []

    async def on_broker_pre_start(self) -> None:
        self._hear("pre_start")

    async def on_broker_post_start(self) -> None:
        self._hear("post_start")
        await self.context.retain_message("plugin/version", b"1")

    async def on_broker_pre_shutdown(self) -> None:
        self._hear("pre_shutdown")

    async def on_broker_post_shutdown(self) -> None:
        self._hear("post_shutdown")

    async def on_broker_client_connected(self, client_id: str, client_session: Any) -> None:
        assert self.context.get_session(client_id) is client_session
        self._hear("connected", client_id, client_session.username, client_session.transitions.state)

    async def on_broker_client_disconnected(self, client_id: str, client_session: Any) -> None:
        self._hear("disconnected", client_id, client_session.transitions.state)

    async def on_broker_client_subscribed(self, client_id: str, topic: str, qos: int) -> None:
        self._hear("subscribed", client_id, topic, qos, sorted(self.context.subscriptions))

    async def on_broker_client_unsubscribed(self, client_id: str, topic: str) -> None:
        self._hear("unsubscribed", client_id, topic)

    async def on_broker_message_received(self, client_id: str, message: Any) -> None:
        self._hear("received", client_id, message.topic, bytes(message.data), message.qos)
        if message.topic == "shout":
            await self.context.broadcast_message("echo", b"heard", 1)

    async def on_mqtt_packet_received(self, *, packet: Any, session: Any = None) -> None:
        self._hear("packet in", type(packet).__name__)

    async def on_mqtt_packet_sent(self, *, packet: Any, session: Any = None) -> None:
        self._hear("packet out", type(packet).__name__)

    async def on_broker_client_conected(self) -> None:
        """Misspelt: amqtt would never have called it."""

    def _hear(self, *what: Any) -> None:
        self.heard.append(what)
        if self.config.breaks:
            raise RuntimeError("the plugin broke")

    @dataclass
    class Config:
        breaks: bool = False


class Earplugs(BaseTopicPlugin):  # type: ignore[misc]
    """Decides on each action by the topic's name."""

    asked: ClassVar[list[tuple[str, str, str]]] = []

    async def topic_filtering(self, *, session: Any = None, topic: str | None = None, action: Any = None) -> bool:
        assert topic is not None
        self.asked.append((session.client_id, topic, str(action)))
        if topic == "fails":
            raise RuntimeError("the plugin broke")
        if topic == "hangs":
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        secret = topic.startswith("secret") and action == Action.RECEIVE and session.client_id != "trusted"
        return not (secret or topic == f"no/{action}")
