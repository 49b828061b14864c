"""An MQTT link from one server to another: QoS 1, in order, each message acknowledged before the next counts as sent.

Over paho; the only file of `akela` that knows it. paho's thread does the work, what it tells is carried into the loop.
"""

import asyncio
import logging
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from akela.errors import AkelaError

log = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 10
TIMEOUT_S: Final = 5.0


class LinkError(AkelaError):
    """The other server cannot be reached, refuses, or does not acknowledge in time."""


class ServerLink:
    """A link to one server. `connect` first; a link that has failed is closed and made anew."""

    def __init__(self, host: str, port: int, *, client_id: str, user: str, password: str) -> None:
        self._address = (host, port)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=True)
        self._client.username_pw_set(user, password)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._acknowledged: dict[int, asyncio.Future[None]] = {}

    async def connect(self) -> None:
        """Raises: LinkError."""
        try:
            await self._loop.run_in_executor(None, lambda: self._client.connect(*self._address, KEEP_ALIVE_S))
            self._client.loop_start()
            async with asyncio.timeout(TIMEOUT_S):
                await self._connected
        except (OSError, TimeoutError) as error:
            raise LinkError(
                f"{self._address[0]}:{self._address[1]} cannot be reached: {error or 'no answer'}"
            ) from error

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return when the message is acknowledged. Raises: LinkError."""
        info = self._client.publish(topic, payload, qos=1)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise LinkError(f"not sent: {paho.error_string(info.rc)}")
        done = self._acknowledged.setdefault(info.mid, self._loop.create_future())
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await done
        except TimeoutError as error:
            raise LinkError("not acknowledged in time") from error
        finally:
            self._acknowledged.pop(info.mid, None)

    async def close(self) -> None:
        """Close the link."""
        self._client.disconnect()
        await self._loop.run_in_executor(None, self._client.loop_stop)

    # paho's thread.

    def _on_connect(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._loop.call_soon_threadsafe(self._settle, self._connected, str(reason) if reason.is_failure else None)

    def _on_publish(self, client: paho.Client, data: Any, mid: int, reason: Any, properties: Any) -> None:
        self._loop.call_soon_threadsafe(self._mark, mid)

    def _on_disconnect(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._loop.call_soon_threadsafe(self._fail, str(reason))

    # The loop.

    def _settle(self, future: asyncio.Future[None], failure: str | None) -> None:
        if future.done():
            return
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(LinkError(failure))

    def _mark(self, mid: int) -> None:
        future = self._acknowledged.setdefault(mid, self._loop.create_future())
        self._settle(future, None)

    def _fail(self, reason: str) -> None:
        for future in (self._connected, *self._acknowledged.values()):
            self._settle(future, f"the link was closed: {reason}")
            if future.done() and not future.cancelled():
                future.exception()  # nobody may wait for it
