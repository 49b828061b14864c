"""What an Operations server tells Prometheus beside what its engine does: read off when asked."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker import Broker
from broker.metrics import BrokerMetrics
from operations.attached import Attached
from operations.changes import ChangeFeed
from operations.endpoint_writer import EndpointWriter
from operations.peers import Peers
from operations.records import RecordWriter


class OperationsMetrics(Collector):
    """Collector over the parts of one server; `registry` is what the admin page shows."""

    def __init__(
        self,
        broker: Broker,
        attached: Attached,
        records: RecordWriter,
        feed: ChangeFeed,
        writer: EndpointWriter,
        peers: Peers,
    ) -> None:
        self._attached = attached
        self._writer = writer
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
        yield GaugeMetricFamily(
            "akela_endpoint_updates_waiting",
            "Changes of stored endpoints (ledger, presence) not yet durable",
            value=self._writer.waiting,
        )
        yield CounterMetricFamily(
            "akela_endpoint_writes", "Stored endpoints written since start", value=self._writer.written
        )
        yield CounterMetricFamily(
            "akela_endpoint_write_calls", "Calls of the database that wrote them", value=self._writer.calls
        )
        yield CounterMetricFamily(
            "akela_endpoint_write_statements", "Statements in those calls", value=self._writer.statements
        )
        yield GaugeMetricFamily("akela_change_position", "Place in the change log", value=self._feed.position)
        peers = CounterMetricFamily(
            "akela_peer_messages", "Messages between Operations servers since start", labels=["what"]
        )
        for what in ("sent", "received", "unknown", "dropped"):
            peers.add_metric([what], getattr(self._peers.counts, what))
        yield peers
        yield GaugeMetricFamily("akela_peer_links", "Links to other Operations servers", value=self._peers.links)
        yield GaugeMetricFamily(
            "akela_peer_messages_waiting",
            "Messages to other Operations servers not yet acknowledged",
            value=self._peers.waiting,
        )
