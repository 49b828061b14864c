"""An endpoint: keeps a connection, follows its configuration, delivers records. One thread of its own, beside paho's; callbacks run in it.

What is published is kept, in its order, until it is acknowledged, and goes first after a reconnect: with Akela an acknowledgement
means stored. When too much is unacknowledged, `log` waits and then raises; nothing is dropped.
"""

import json
import logging
import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from akela.contract import topics
from akela.contract.bootlist import ServerEntry, ServerList
from device_lib.connection import Acknowledged, Closed, Connection, Event, Message
from device_lib.errors import FullError, NotConnectedError, TimedOutError
from device_lib.servers import Address, fetch, in_order
from device_lib.session import Answered, EndpointSession, NewConfiguration, Publish, Registered, Step
from device_lib.store import MemoryStore, StateStore

log = logging.getLogger(__name__)

MAX_UNACKNOWLEDGED: Final = 1000
CONNECT_WITHIN_S: Final = 10.0
BACKOFF_MIN_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0

OnConfiguration = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
OnEvent = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class EndpointSettings:
    """Who the endpoint is and how it finds its server. Give `bootstrap` and `trusted_keys`, or `servers`."""

    app: str
    endpoint: str
    claim_secret: str | None = field(default=None, repr=False)
    bootstrap: Sequence[Address] = ()
    trusted_keys: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    servers: Sequence[Address] = ()
    register: bool = False  # get a credential of its own under the claim secret
    profile: Mapping[str, Any] | None = None


class Receipt:
    """Tells when a published message is acknowledged."""

    def __init__(self, topic: str, payload: bytes) -> None:
        self.topic = topic
        self.payload = payload
        self._done = threading.Event()

    @property
    def acknowledged(self) -> bool:
        """The server has it, durably."""
        return self._done.is_set()

    def wait(self, timeout_s: float) -> None:
        """Raises: TimedOutError when it is not acknowledged in time; it stays queued all the same."""
        if not self._done.wait(timeout_s):
            raise TimedOutError(f"{self.topic} is not acknowledged after {timeout_s} s; it is still being sent")

    def done(self) -> None:
        """The acknowledgement has come."""
        self._done.set()


class Endpoint:
    """A running endpoint; use it as a context manager.

    `on_configuration` gets each new configuration: when it returns, the configuration is reported as applied; when it raises, as
    refused with the exception's text. It may return leaves that the device set otherwise, as for `report`. `on_event` hears what happens:
    connected, disconnected, registered, answered, applied, refused.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        store: StateStore | None = None,
        on_configuration: OnConfiguration = lambda value: None,
        on_event: OnEvent = lambda what, values: None,
    ) -> None:
        self._settings = settings
        self._store = store or MemoryStore()
        self._session = EndpointSession(self._store.load(), profile=settings.profile, register=settings.register)
        self._on_configuration = on_configuration
        self._on_event = on_event
        self._room = threading.Condition()  # guards what is unacknowledged; never taken in paho's thread
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._unacknowledged: dict[Receipt, None] = {}  # in the order of sending
        self._numbers: dict[int, Receipt] = {}
        self._connection: Connection | None = None
        self._configured = threading.Event()
        self._first = threading.Event()
        self._stop = threading.Event()
        self._failure = "not connected yet"
        self._thread = threading.Thread(target=self._run, name=f"endpoint {settings.endpoint}", daemon=True)

    def __enter__(self) -> "Endpoint":
        """Start; the connection is made and kept in the background."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._stop.set()
        self._inbox.put(Closed())
        self._thread.join(CONNECT_WITHIN_S)

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The configuration that this endpoint runs; empty before the first."""
        return self._session.state.config

    def wait_connected(self, timeout_s: float) -> None:
        """Raises: NotConnectedError with the reason of the last attempt."""
        if not self._first.wait(timeout_s):
            raise NotConnectedError(self._failure)

    def wait_configured(self, timeout_s: float) -> Mapping[str, Any]:
        """The next configuration that is applied from now on. Raises: TimedOutError."""
        self._configured.clear()
        if not self._configured.wait(timeout_s):
            raise TimedOutError(f"no configuration after {timeout_s} s")
        return self.configuration

    def log(self, stream: str, record: Mapping[str, Any], timeout_s: float = 60.0) -> Receipt:
        """Send a record of a stream. Raises: FullError when too much is unacknowledged for `timeout_s`."""
        return self._publish(f"{topics.ME_PREFIX}u/log/{stream}", _json(record), timeout_s)

    def value(self, name: str, value: float | bool | str | None, timeout_s: float = 60.0) -> Receipt:
        """Send one bare value. Raises: FullError."""
        payload = value.encode() if isinstance(value, str) else _json(value)
        return self._publish(f"{topics.ME_PREFIX}u/value/{name}", payload, timeout_s)

    def report(
        self, values: Mapping[str, Any], until: float | datetime | None = None, timeout_s: float = 60.0
    ) -> Receipt:
        """Report leaves of the configuration that the device set by itself: only these, nested as in the configuration.

        The schema says whose word counts. What is accepted comes back in a new configuration; `on_event` hears what was accepted, held
        and (refused, 403) rejected. None as a value takes the device's own value back. `until` (seconds, or a time with its zone): until
        then. Raises: FullError.
        """
        said = self._session.report(values, until)
        return self._publish(said.topic, said.payload, timeout_s)

    def profile(self, profile: Mapping[str, Any]) -> None:
        """Send a new profile."""
        self._take(self._session.profile(profile))

    def _publish(self, topic: str, payload: bytes, timeout_s: float) -> Receipt:
        receipt = Receipt(topic, payload)
        with self._room:
            if not self._room.wait_for(lambda: len(self._unacknowledged) < MAX_UNACKNOWLEDGED, timeout_s):
                raise FullError(f"{MAX_UNACKNOWLEDGED} messages are unacknowledged ({self._failure})")
            self._unacknowledged[receipt] = None
            self._send(receipt)
        return receipt

    def _send(self, receipt: Receipt) -> None:
        if self._connection is None:
            return
        try:
            self._numbers[self._connection.publish(receipt.topic, receipt.payload)] = receipt
        except NotConnectedError:
            return  # it goes first after the reconnect

    # The endpoint's thread: connect, stay, connect again.

    def _run(self) -> None:
        chance = random.Random()
        delay_s, known = BACKOFF_MIN_S, None
        while not self._stop.is_set():
            try:
                known = self._server_list()
                delay_s = known.backoff_min_s
                for server in in_order(known.servers, chance):
                    self._serve(server)
                    if self._stop.is_set():
                        return
                    delay_s = known.backoff_min_s if self._first.is_set() else delay_s
            except NotConnectedError as error:
                self._failed(str(error))
            longest_s = BACKOFF_MAX_S if known is None else known.backoff_max_s
            self._stop.wait(chance.uniform(0, delay_s))  # full jitter: a fleet does not come back all at once
            delay_s = min(delay_s * 2, longest_s)

    def _server_list(self) -> ServerList:
        settings = self._settings
        if settings.servers:
            entries = tuple(ServerEntry(address.host, address.port) for address in settings.servers)
            return ServerList(entries, 3600, BACKOFF_MIN_S, BACKOFF_MAX_S, 0, "")
        listed = fetch(settings.bootstrap, settings.trusted_keys)
        if not listed.servers:
            raise NotConnectedError("the Bootstrap server knows no Operations server at the moment")
        return listed

    def _serve(self, server: ServerEntry) -> None:
        """One connection, from open to end."""
        self._inbox = queue.SimpleQueue()
        connection = Connection(self._settings.endpoint, self._inbox.put)
        password = self._session.state.credential or self._settings.claim_secret
        try:
            connection.open(
                server.host, server.port, self._settings.app, password, f"{topics.ME_PREFIX}d/#", CONNECT_WITHIN_S
            )
        except NotConnectedError as error:
            self._failed(str(error))
            return
        self._on_event("connected", {"server": f"{server.host}:{server.port}"})
        with self._room:
            self._connection = connection
            self._numbers.clear()
            for receipt in self._unacknowledged:
                self._send(receipt)
        self._take(self._session.connected())
        self._first.set()
        self._follow()
        with self._room:
            self._connection = None
        connection.close()
        if not self._stop.is_set():
            self._on_event("disconnected", {"server": f"{server.host}:{server.port}"})

    def _failed(self, reason: str) -> None:
        self._failure = reason
        self._on_event("not connected", {"reason": reason})

    def _follow(self) -> None:
        """Take what comes until the connection ends, or the endpoint is stopped."""
        while not self._stop.is_set():
            match self._inbox.get():
                case Message(topic, payload):
                    self._take(self._session.received(topic, payload))
                case Acknowledged(number):
                    self._acknowledged(number)
                case Closed():
                    return

    def _acknowledged(self, number: int) -> None:
        with self._room:
            receipt = self._numbers.pop(number, None)
            if receipt is not None:
                self._unacknowledged.pop(receipt, None)
                receipt.done()
                self._room.notify()

    def _take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Publish(topic, payload):
                    self._say(topic, payload)
                case NewConfiguration(number, value):
                    self._configure(number, value)
                case Registered():
                    self._store.save(self._session.state)
                    self._on_event("registered", {})
                case Answered(rid, code, body):
                    self._on_event(
                        "refused" if code >= 400 else "answered", {"rid": rid, "code": code, **_public(body)}
                    )
                    self._store.save(self._session.state)

    def _say(self, topic: str, payload: bytes) -> None:
        """Send what is said anew on every connection anyway: it is not kept."""
        with self._room:
            if self._connection is not None:
                try:
                    self._connection.publish(topic, payload)
                except NotConnectedError:
                    return

    def _configure(self, number: str, value: Mapping[str, Any]) -> None:
        try:
            changed = self._on_configuration(value)
        except Exception as error:  # noqa: BLE001  the application's word on this configuration
            self._on_event("configuration refused", {"id": number, "reason": str(error)})
            self._take(self._session.refused(number, str(error) or type(error).__name__))
            return
        steps = self._session.applied(number, value, changed if isinstance(changed, Mapping) else None)
        self._store.save(self._session.state)
        self._on_event("configuration applied", {"id": number, "value": value})
        self._take(steps)
        self._configured.set()


def _public(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "credential"}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
