"""Counters of one broker: plain numbers, read off by whoever shows them."""

from dataclasses import dataclass


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
    rate_refused: int = 0  # connections that came too fast from one address, or under one client id
    store_batches: int = 0  # transactions written to the file of sessions and retained messages
    store_failures: int = 0  # transactions that could not be written
    store_refused: int = 0  # messages, subscriptions and sessions refused because they could not be stored
