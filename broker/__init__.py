"""An embeddable MQTT broker: a sans-io engine, thin transports, and hooks that decide and observe.

    from broker import Broker, BrokerSettings, Listener

Knows MQTT, knows nothing of Akela. Without an authenticator it refuses everybody, unless its settings say otherwise.
"""

from broker.broker import Broker
from broker.errors import BrokerStartError
from broker.hooks import (
    Accepted,
    Action,
    Authenticator,
    Authorizer,
    ConnectRequest,
    DetachCause,
    Hooks,
    Peer,
    PublishGrant,
    PublishHandler,
    Refused,
    SubscribeGrant,
    Will,
)
from broker.reasons import Reason
from broker.session import Session
from broker.settings import BrokerSettings, Listener
from broker.tls import KeyPair, Tls

__all__ = [
    "Accepted",
    "Action",
    "Authenticator",
    "Authorizer",
    "Broker",
    "BrokerSettings",
    "BrokerStartError",
    "ConnectRequest",
    "DetachCause",
    "Hooks",
    "KeyPair",
    "Listener",
    "Peer",
    "PublishGrant",
    "PublishHandler",
    "Reason",
    "Refused",
    "Session",
    "SubscribeGrant",
    "Tls",
    "Will",
]
