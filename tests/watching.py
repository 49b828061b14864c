"""What an operator sees of an application's endpoints, on a raw connection."""

import asyncio
import json
from typing import Any, Self

from tests import mqtt
from tests.akela_up import AkelaUp
from tests.mqtt import WAIT_S, Wire


class Watch:
    """Decisions of the server about an application's endpoints, from now on, in order."""

    def __init__(self, wire: Wire, app: str) -> None:
        self._wire = wire
        self._app = app

    @classmethod
    async def over(cls, akela: AkelaUp, app: str) -> Self:
        """Watch an application."""
        demo = akela.demo
        who = mqtt.connect("watch", username=demo["operator_user"], password=demo["operator_token"])
        wire = await Wire.connected(int(akela.port()), who)
        assert await wire.subscribed((f"a1/{app}/+/o/#", 0)) == [0]
        return cls(wire, app)

    async def next(self, ep: str, what: str) -> dict[str, Any]:
        """The next that was decided about an endpoint, of one kind."""
        async with asyncio.timeout(WAIT_S):
            while (message := await self._wire.message()).topic != f"a1/{self._app}/{ep}/o/{what}":
                pass
        body: dict[str, Any] = json.loads(message.payload)
        return body

    async def refused(self, ep: str) -> str:
        """Why the endpoint was refused next."""
        return str((await self.next(ep, "refused"))["reason"])

    def leave(self) -> None:
        """Watch no more."""
        self._wire.drop()
