"""What this server says: to one endpoint, and to the operators who watch it.

Everything down to an endpoint is seen by its operators at the canonical topic, except what is secret.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from akela.contract import topics
from akela.contract.codes import Code
from akela.contract.errors import ContractError
from akela.contract.payloads import ErrorPayload
from akela.contract.topics import AppToken, EndpointId
from broker import Broker
from broker.properties import Properties
from operations.principals import Endpoint

encode = msgspec.json.encode
MQTT_5: Final = 5


class Downlink:
    """Sends through `broker`, which the server sets once it exists: plugins are built before their broker."""

    def __init__(self) -> None:
        self.broker: Broker | None = None

    def push(
        self,
        endpoint: Endpoint,
        topic: str,
        payload: bytes,
        *,
        tag: object | None = None,
        private: bool = False,
        content: Properties | None = None,
    ) -> bool:
        """Send `payload` to the endpoint at QoS 1; False when it has no subscription that takes it.

        `tag` comes back in `on_delivered` when the endpoint has acknowledged. Operators see a copy unless it is private. `content` tells
        those who speak MQTT 5.0 what the payload is.
        """
        session = endpoint.session
        if session is None:
            return False
        properties = content if session.protocol_level == MQTT_5 else None
        sent = session.send(topic, payload, qos=1, tag=tag, properties=properties)
        if self.broker is not None and not private:
            self.broker.publish(topic, payload, qos=1, exclude=session)
        return sent

    def answer(
        self,
        endpoint: Endpoint,
        rid: str | None,
        code: Code,
        body: Mapping[str, Any] | None = None,
        *,
        private: bool = False,
    ) -> None:
        """Answer the request `rid`; a request without one gets no answer to a success."""
        if rid is not None:
            topic = topics.answer(endpoint.app, endpoint.ep, rid, code)
            self.push(endpoint, topic, encode(body or {}), private=private)

    def refuse(
        self, endpoint: Endpoint, plane: str, rid: str | None, error: ContractError, *, retry_s: float | None = None
    ) -> None:
        """Say why a request was refused: at `d/re/{rid}/{code}` if it had an rid, else at `d/err/{code}`."""
        payload = ErrorPayload(plane=plane, reason=error.reason, key=error.key, retry=retry_s).to_bytes()
        if rid is None:
            topic = topics.error(endpoint.app, endpoint.ep, error.code)
        else:
            topic = topics.answer(endpoint.app, endpoint.ep, rid, error.code)
        self.push(endpoint, topic, payload)
        self.observe(
            endpoint.app,
            endpoint.ep,
            "refused",
            {"plane": plane, "code": int(error.code), "reason": error.reason, "key": error.key},
        )

    def observe(self, app: AppToken, ep: EndpointId, what: str, body: Mapping[str, Any]) -> None:
        """Tell the operators who watch this endpoint; costs nothing where nobody does."""
        if self.broker is not None and self.broker.heard(*topics.operator_levels(app, ep)):
            self.broker.publish(topics.operator(app, ep, what), encode(body), qos=0)
