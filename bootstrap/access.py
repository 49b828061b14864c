"""The hooks of a Bootstrap server's engine: everybody may ask, nobody may do anything else."""

import itertools
import time

from akela.contract import topics
from akela.contract.errors import TopicError
from bootstrap.answers import Answers
from broker import Accepted, ConnectRequest, PublishGrant, Reason, Refused, Session, SubscribeGrant

NAMESPACE = "boot"


class Asking:
    """Authenticator, authorizer and observer in one: the whole server is the answer to one question."""

    name = "bootstrap"

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._numbers = itertools.count(1)

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        """Everybody may connect; each connection is its own session, so nobody can throw out anybody by client id."""
        if request.will is not None:
            return Refused(Reason.NOT_AUTHORIZED, "a will has no use here")
        return Accepted(f"{NAMESPACE}:{next(self._numbers)}", None, request.client_id or "anonymous")

    def authorize_publish(self, session: Session, topic: str) -> PublishGrant | Refused:
        """Only `a1/boot/{nonce}`: it asks."""
        try:
            nonce = topics.boot_nonce(topic)
        except TopicError as error:
            return Refused(Reason.NOT_AUTHORIZED, error.reason)

        def answer(asking: Session, name: str, payload: bytes, qos: int, ticket: int) -> bool:
            signed = self._answers.signed(now_s=time.time(), nonce=nonce)
            asking.send(topics.boot_answer(nonce), signed, qos=1)
            return True

        return PublishGrant(topic, handler=answer, retain=False, route=False)

    def authorize_subscribe(self, session: Session, topic_filter: str) -> SubscribeGrant | Refused:
        """Only `a1/boot` and `a1/boot/{nonce}/re`."""
        if topic_filter == topics.BOOT:
            return SubscribeGrant(topic_filter)
        try:
            nonce = topics.boot_nonce(topic_filter.removesuffix("/re"))
        except TopicError:
            nonce = None
        if nonce is not None and topic_filter == topics.boot_answer(nonce):
            return SubscribeGrant(topic_filter)
        return Refused(Reason.NOT_AUTHORIZED, "a Bootstrap server answers at a1/boot and a1/boot/{nonce}/re")

    def on_subscribed(self, session: Session, topic_filter: str, qos: int) -> None:
        """Subscribing to `a1/boot` is the request."""
        if topic_filter == topics.BOOT:
            session.send(topics.BOOT, self._answers.signed(now_s=time.time()), qos=qos, retain=True)

    def on_unsubscribed(self, session: Session, topic_filter: str) -> None:
        """Nothing follows."""
