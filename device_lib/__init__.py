"""The Python endpoint library: a device that registers, follows its configuration and sends records. Needs paho-mqtt.

with Endpoint(EndpointSettings("demoapp", "meter-7", claim_secret=..., bootstrap=[...], trusted_keys=...)) as endpoint:
    endpoint.log("readings", {"sensor": "t1", "value": 21.5}).wait(10)
"""

from device_lib.endpoint import Endpoint, EndpointSettings, Receipt
from device_lib.errors import EndpointError, FullError, NotConnectedError, RefusedError, TimedOutError
from device_lib.servers import Address
from device_lib.store import EndpointState, FileStore, MemoryStore, StateStore

__all__ = [
    "Address",
    "Endpoint",
    "EndpointError",
    "EndpointSettings",
    "EndpointState",
    "FileStore",
    "FullError",
    "MemoryStore",
    "NotConnectedError",
    "Receipt",
    "RefusedError",
    "StateStore",
    "TimedOutError",
]
