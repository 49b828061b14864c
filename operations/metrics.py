"""What an Operations server tells Prometheus: read off when asked, so that counting costs the messages nothing."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker import Broker
from operations.attached import Attached
from operations.changes import ChangeFeed
from operations.records import RecordWriter

# Counters of the engine, and what each counts.
COUNTERS: Final = {
    "accepted": "Connections accepted",
    "refused": "Connections refused",
    "rate_refused": "Connections that came too fast from one address or under one client id",
    "received": "PUBLISH packets received",
    "delivered": "Deliveries made",
    "dropped": "Deliveries that found no room",
    "expired": "Deliveries that waited longer than their message said",
    "denied": "Publishes and subscriptions refused",
    "throttled": "Times that a client was made to wait",
    "protocol_errors": "Connections ended by a protocol error",
    "packets_received": "Packets received",
    "packets_sent": "Packets sent",
    "bytes_received": "Bytes received",
    "bytes_sent": "Bytes sent",
    "store_batches": "Transactions written to the file of sessions and retained messages",
    "store_failures": "Transactions that could not be written to it",
    "store_refused": "Messages, subscriptions and sessions refused because they could not be stored",
}


class OperationsMetrics(Collector):
    """Collector over the parts of one server; `registry` is what the admin page shows."""

    def __init__(self, broker: Broker, attached: Attached, records: RecordWriter, feed: ChangeFeed) -> None:
        self._broker = broker
        self._attached = attached
        self._records = records
        self._feed = feed
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The present values."""
        stats = self._broker.stats
        yield GaugeMetricFamily("akela_connections", "Open MQTT connections", value=stats.connections)
        yield GaugeMetricFamily("akela_sessions", "MQTT sessions, connected or not", value=stats.sessions)
        for counter, meaning in COUNTERS.items():
            yield CounterMetricFamily(f"akela_mqtt_{counter}", meaning, value=getattr(stats, counter))
        yield GaugeMetricFamily("akela_endpoints_attached", "Attached endpoints", value=len(self._attached))
        yield GaugeMetricFamily(
            "akela_records_waiting", "Messages with records not yet durable", value=self._records.waiting
        )
        yield CounterMetricFamily("akela_records_stored", "Records stored since start", value=self._records.stored)
        yield GaugeMetricFamily("akela_change_position", "Place in the change log", value=self._feed.position)
