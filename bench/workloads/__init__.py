"""What is measured. The letters are those of the requirements; docs/performance.md tells each in a sentence."""

from collections.abc import Mapping
from typing import Final

from bench.workloads import connections, fan_out, latency, publish
from bench.workloads.workload import Measure, Workload

PER_S: Final = (Measure("", "messages/s"),)
TIMES: Final = (Measure("p50", "ms", lower=True), Measure("p99", "ms", lower=True))
_ALL: Final = (
    Workload("a", "publish QoS 1, 50 clients, window 20", publish.acknowledged, PER_S),
    Workload("b", "the same to one QoS 0 subscriber", publish.delivered, PER_S),
    Workload("c", "the same among 5,000 other subscriptions", publish.delivered_among_5000, PER_S, crowd=500),
    Workload("d", "publish QoS 1, 500 clients, window 1", publish.one_at_a_time, PER_S),
    Workload("e", "fan-out 1 to 200, QoS 0", fan_out.to_200, PER_S),
    Workload("f", "fan-out 1 to 2,000, QoS 1", fan_out.to_2000, PER_S, crowd=2000),
    Workload("g", "connect, subscribe, disconnect", connections.come_and_go, (Measure("", "clients/s"),), plain=True),
    Workload(
        "h", "memory per idle connection", connections.memory, (Measure("", "bytes", lower=True),), plain=True,
        single=True, crowd=10_000,
    ),
    Workload("i", "latency at 10,000 messages/s", latency.paced, TIMES, single=True),
    Workload("j", "publish QoS 2, 50 clients, window 20", publish.exactly_once, PER_S, needs="qos2"),
    Workload("k", "publish QoS 1 over TLS, 50 clients, window 20", publish.acknowledged, PER_S, needs="tls"),
    Workload("n0", "cost per message, nobody else", publish.delivered, PER_S, plain=True, growth=0),
    Workload(
        "n1", "cost per message, 1,000 other clients", publish.delivered_among_1000, PER_S, plain=True, growth=1000,
        crowd=1000,
    ),
    Workload(
        "n10", "cost per message, 10,000 other clients", publish.delivered_among_many, PER_S, plain=True,
        growth=10_000, crowd=10_000,
    ),
)  # fmt: skip
WORKLOADS: Final[Mapping[str, Workload]] = {workload.key: workload for workload in _ALL}

__all__ = ["WORKLOADS", "Measure", "Workload"]
