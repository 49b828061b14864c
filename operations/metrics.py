"""What an Operations server tells Prometheus beside what its engine does: read off when asked."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker import Broker
from broker.metrics import BrokerMetrics
from operations.attached import Attached
from operations.changes import ChangeFeed
from operations.peers import Peers
from operations.records import RecordWriter


class OperationsMetrics(Collector):
    """Collector over the parts of one server; `registry` is what the admin page shows."""

    def __init__(
        self, broker: Broker, attached: Attached, records: RecordWriter, feed: ChangeFeed, peers: Peers
    ) -> None:
        self._attached = attached
        self._records = records
        self._feed = feed
        self._peers = peers
        self.registry = CollectorRegistry()
        self.registry.register(BrokerMetrics(broker))
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The present values."""
        yield GaugeMetricFamily("akela_endpoints_attached", "Attached endpoints", value=len(self._attached))
        yield GaugeMetricFamily(
            "akela_records_waiting", "Messages with records not yet durable", value=self._records.waiting
        )
        yield CounterMetricFamily("akela_records_stored", "Records stored since start", value=self._records.stored)
        yield GaugeMetricFamily("akela_change_position", "Place in the change log", value=self._feed.position)
        peers = CounterMetricFamily(
            "akela_peer_messages", "Messages between Operations servers since start", labels=["what"]
        )
        for what in ("sent", "received", "dropped"):
            peers.add_metric([what], getattr(self._peers, what))
        yield peers
