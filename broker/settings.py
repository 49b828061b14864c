"""Settings of the engine. Sizes in bytes, times in seconds."""

from dataclasses import dataclass
from pathlib import Path

from broker.tls import Tls


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to listen on. Port 0 takes a free one (`Broker.addresses` tells which)."""

    name: str = "default"
    host: str = "127.0.0.1"
    port: int = 1883
    tls: Tls | None = None
    websocket: bool = False
    max_connections: int = 0  # of this listener; one more is closed at once. 0: only the broker's bound counts
    proxy_protocol: bool = False  # each connection begins with a PROXY header, version 2; TLS then ends at the proxy


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Everything that the engine can be told; every bound has a default that a small server can carry."""

    listeners: tuple[Listener, ...] = (Listener(),)
    allow_anonymous: bool = False  # accept everybody when no authenticator is given
    max_connections: int = 100_000
    connects_per_s: float = 0.0  # from one address, on average; more are closed at once. 0: no bound
    connects_burst: int = 100  # from one address, at once
    flapping_limit: int = 300  # attaches of one client id within `flapping_window_s`; more are refused. 0: no bound
    flapping_window_s: float = 60.0
    duel_limit: int = 10  # take-overs of one client id within `duel_window_s`; then who has it keeps it. 0: no bound
    duel_window_s: float = 30.0
    duel_refusal_s: float = 30.0  # for how long
    messages_per_s: float = 0.0  # of one client, on average; beyond, its bytes wait in TCP. 0: no bound
    messages_per_s_address: float = 0.0  # of all clients of one address together. 0: no bound
    messages_per_s_account: float = (
        0.0  # of all clients that the host counts together (`Accepted.account`). 0: no bound
    )
    bytes_per_s: float = 0.0  # of one client, on average; beyond, its bytes wait in TCP. 0: no bound
    store: Path | None = None  # file of sessions, their queues and retained messages; None: they end with the process
    max_store_bytes: int = 4 * 1024 * 1024 * 1024  # of that file; beyond, what has to be stored is refused
    sys_interval_s: float = 0.0  # how often $SYS is published; 0: never
    max_packet_size_connect: int = 4 * 1024  # until CONNECT is accepted
    max_packet_size: int = 256 * 1024
    connect_timeout_s: float = 10.0  # from the first byte's chance to the CONNACK
    gate_timeout_s: float = 8.0  # a gate that takes longer refuses
    max_keep_alive_s: int = 3600  # a client that wants longer, or none, is held to this
    keep_alive_extra_s: float = 0.0  # how much longer than 1.5 times its keep alive a client may be silent
    max_inflight: int = 100  # QoS 1 and 2 messages sent to a client and not yet acknowledged
    receive_maximum: int = (
        1000  # QoS 1 and 2 messages of an MQTT 5.0 client that are not yet acknowledged; beyond is an error
    )
    topic_alias_maximum: int = 32  # topic aliases of a connection, in each direction
    max_unsettled: int = 256  # messages of a client that wait for a handler or the disk; beyond, its packets wait
    max_queued: int = 1000  # messages waiting for one session
    max_queued_bytes: int = 4 * 1024 * 1024
    max_write_buffer: int = 1024 * 1024  # unsent bytes of a connection; beyond, its messages are queued
    max_subscriptions: int = 100  # of one session
    max_topic_levels: int = 32
    max_retained: int = 100_000
    max_session_expiry_s: int = 7 * 24 * 3600  # a session without a connection is kept this long at most
