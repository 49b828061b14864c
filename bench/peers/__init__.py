"""The brokers that are compared."""

from collections.abc import Mapping
from typing import Final

from bench.peers.aedes import Aedes
from bench.peers.akela import Akela
from bench.peers.amqtt import Amqtt
from bench.peers.mosquitto import Mosquitto
from bench.peers.nats import Nats
from bench.peers.peer import Command, Peer, Place
from bench.peers.rumqttd import Rumqttd

PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer for peer in (Akela(), Mosquitto(), Rumqttd(), Aedes(), Nats(), Amqtt())
}

__all__ = ["PEERS", "Akela", "Command", "Peer", "Place"]
