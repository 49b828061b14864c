"""The `$SYS` tree, under the names that Mosquitto's users know (mosquitto(8), "BROKER STATUS").

Load averages are exponentially weighted over 1, 5 and 15 minutes, per minute, as Mosquitto's are.
"""

import math
from collections.abc import Mapping
from typing import Final

from broker.engine import Engine

ROOT: Final = "$SYS/broker/"
MINUTES: Final = (1, 5, 15)
VERSION: Final = "Akela broker"

# Counter of BrokerStats -> names of its total and of its load averages.
COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "packets_received": ("messages/received", "load/messages/received"),
    "packets_sent": ("messages/sent", "load/messages/sent"),
    "received": ("publish/messages/received", "load/publish/received"),
    "delivered": ("publish/messages/sent", "load/publish/sent"),
    "dropped": ("publish/messages/dropped", "load/publish/dropped"),
    "bytes_received": ("bytes/received", "load/bytes/received"),
    "bytes_sent": ("bytes/sent", "load/bytes/sent"),
    "accepted": ("connections/accepted", "load/connections"),
}


class SysTopics:
    """Turns the counters of an engine into messages."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._started_s = self._at_s = engine.clock()
        self._last = dict.fromkeys(COUNTERS, 0)
        self._loads = {(name, minutes): 0.0 for name in COUNTERS for minutes in MINUTES}
        self._most = 0

    def messages(self) -> dict[str, bytes]:
        """Topic -> payload, as of now; call it at regular intervals."""
        engine, stats = self._engine, self._engine.stats
        connected = sum(1 for session in engine.sessions.values() if session.connected)
        self._most = max(self._most, connected)
        values: dict[str, object] = {
            "version": VERSION,
            "uptime": f"{engine.clock() - self._started_s:.0f} seconds",
            "clients/total": len(engine.sessions),
            "clients/connected": connected,
            "clients/disconnected": len(engine.sessions) - connected,
            "clients/maximum": self._most,
            "retained messages/count": engine.delivery.retained.count,
            "subscriptions/count": engine.delivery.router.count,
        }
        values |= {names[0]: getattr(stats, counter) for counter, names in COUNTERS.items()}
        self._weigh()
        for (counter, minutes), load in self._loads.items():
            values[f"{COUNTERS[counter][1]}/{minutes}min"] = f"{load:.2f}"
        return {ROOT + name: str(value).encode() for name, value in values.items()}

    def _weigh(self) -> None:
        now_s = self._engine.clock()
        passed_s, self._at_s = now_s - self._at_s, now_s
        if passed_s <= 0:
            return
        for counter in COUNTERS:
            value = getattr(self._engine.stats, counter)
            per_minute = (value - self._last[counter]) * 60 / passed_s
            self._last[counter] = value
            for minutes in MINUTES:
                fades = math.exp(-passed_s / (60 * minutes))
                load = self._loads[counter, minutes]
                self._loads[counter, minutes] = per_minute + fades * (load - per_minute)
