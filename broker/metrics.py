"""What the engine tells Prometheus: read off when asked, so that counting costs the messages nothing. docs/broker.md lists the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from broker.broker import Broker

# Counter of BrokerStats -> what it counts.
COUNTERS: Final[Mapping[str, str]] = {
    "accepted": "Connections accepted",
    "rate_refused": "Connections that came too fast from one address",
    "busy_refused": "Connections beyond the most allowed",
    "flapping_refused": "CONNECTs that came too often under one client id",
    "duels": "Client ids that several clients took from each other",
    "duel_refused": "CONNECTs refused because of a duel",
    "connect_timeouts": "Connections that did not become a session in time",
    "received": "PUBLISH packets received",
    "delivered": "Deliveries made",
    "dropped": "Deliveries that found no room",
    "expired": "Deliveries that waited longer than their message said",
    "congested": "Times that a client's write buffer was full",
    "throttled": "Times that a client was made to wait because it sends too fast",
    "held_back": "Times that a client waited because too many of its messages were unsettled",
    "retained_refused": "Messages that found no room among the retained ones",
    "sessions_expired": "Sessions kept without a connection until their time was over",
    "packets_received": "Packets received",
    "packets_sent": "Packets sent",
    "bytes_received": "Bytes received",
    "bytes_sent": "Bytes sent",
    "store_batches": "Transactions written to the file of sessions and retained messages",
    "store_failures": "Transactions that could not be written to it",
    "store_refused": "Messages, subscriptions and sessions refused because they could not be stored",
}

# Counter by label of BrokerStats -> (name, labels, what it counts).
LABELLED: Final[Mapping[str, tuple[str, tuple[str, ...], str]]] = {
    "refusals": ("refused", ("reason",), "CONNECTs refused"),
    "denials": ("denied", ("action", "reason"), "Publishes and subscriptions refused"),
    "errors": ("protocol_errors", ("reason",), "Connections ended by a protocol error"),
    "closed": ("closed", ("cause",), "Connections ended"),
}


class BrokerMetrics(Collector):
    """Collector over one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def collect(self) -> Iterator[Metric]:
        """The present values."""
        stats, delivery = self._broker.stats, self._broker.engine.delivery
        queued = inflight = 0
        for session in self._broker.sessions():
            queued += session.queued
            inflight += session.inflight
        yield GaugeMetricFamily("akela_connections", "Open MQTT connections", value=stats.connections)
        yield GaugeMetricFamily("akela_sessions", "MQTT sessions, connected or not", value=stats.sessions)
        yield GaugeMetricFamily("akela_mqtt_subscriptions", "Subscriptions", value=delivery.router.count)
        yield GaugeMetricFamily("akela_mqtt_retained", "Retained messages", value=delivery.retained.count)
        yield GaugeMetricFamily("akela_mqtt_queued", "Messages that wait for their sessions", value=queued)
        yield GaugeMetricFamily("akela_mqtt_inflight", "Messages sent and not yet acknowledged", value=inflight)
        for counter, meaning in COUNTERS.items():
            yield CounterMetricFamily(f"akela_mqtt_{counter}", meaning, value=getattr(stats, counter))
        for counter, (name, labels, meaning) in LABELLED.items():
            family = CounterMetricFamily(f"akela_mqtt_{name}", meaning, labels=labels)
            counted: Mapping[Any, int] = getattr(stats, counter)
            for values, count in counted.items():
                family.add_metric([values] if isinstance(values, str) else list(values), count)
            yield family
