"""Counters of one broker: plain numbers, read off by whoever shows them."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class BrokerStats:
    """Counts since start, unless a line says "now"."""

    connections: int = 0  # now
    sessions: int = 0  # now, connected or not
    accepted: int = 0
    refused: int = 0  # CONNECTs
    received: int = 0  # PUBLISH packets from clients
    delivered: int = 0  # deliveries made out of them and of the host's own messages
    dropped: int = 0  # deliveries that found no room
    expired: int = 0  # messages that waited longer than they said
    denied: int = 0  # publishes and subscriptions that a gate refused
    protocol_errors: int = 0
    packets_received: int = 0  # of every kind
    packets_sent: int = 0
    bytes_received: int = 0  # of MQTT
    bytes_sent: int = 0
    throttled: int = 0  # times that a client was made to wait because it sends too fast
    store_batches: int = 0  # transactions written to the file of sessions and retained messages
    store_failures: int = 0  # transactions that could not be written
    store_refused: int = 0  # messages, subscriptions and sessions refused because they could not be stored
    rate_refused: int = 0  # connections that came too fast from one address
    flapping_refused: int = 0  # CONNECTs that came too often under one client id
    duels: int = 0  # client ids that several clients took from each other
    duel_refused: int = 0  # CONNECTs that would have gone on with a duel
    busy_refused: int = 0  # connections beyond the most allowed
    connect_timeouts: int = 0  # connections that did not become a session in time
    congested: int = 0  # times that a client's write buffer was full
    held_back: int = 0  # times that a client's packets waited because handlers had too many of its messages
    retained_refused: int = 0  # messages that found no room among the retained ones
    sessions_expired: int = 0  # kept without a connection until their time was over
    errors: Counter[str] = field(default_factory=Counter)  # protocol errors by reason
    refusals: Counter[str] = field(default_factory=Counter)  # CONNECTs refused by reason
    denials: Counter[tuple[str, str]] = field(default_factory=Counter)  # what a gate refused by action and reason
    closed: Counter[str] = field(default_factory=Counter)  # connections ended by cause
