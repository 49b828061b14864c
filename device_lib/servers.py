"""Where to connect: the signed list of a Bootstrap server, and the order in which its servers are tried."""

import queue
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from akela.contract import topics
from akela.contract.bootlist import ServerEntry, ServerList, verify
from akela.contract.errors import ContractError
from device_lib.connection import Connection, Event, Message
from device_lib.errors import NotConnectedError

ANSWER_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """host and port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`host:port`. Raises: ValueError."""
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is no address: expected HOST:PORT")
        return cls(host, int(port))


def fetch(addresses: Sequence[Address], keys: Mapping[str, Ed25519PublicKey]) -> ServerList:
    """The list of the first Bootstrap server that answers and can be believed. Raises: NotConnectedError saying why none did."""
    reasons: list[str] = []
    for address in addresses:
        try:
            return verify(_asked(address), keys, now_s=time.time())
        except (NotConnectedError, ContractError) as error:
            reasons.append(f"{address.host}:{address.port}: {error}")
    raise NotConnectedError("no Bootstrap server could be believed: " + "; ".join(reasons))


def in_order(servers: Sequence[ServerEntry], chance: random.Random) -> list[ServerEntry]:
    """Lower `prio` first; within one, at random by weight: the heavier is likelier to come early."""
    return sorted(servers, key=lambda server: (server.prio, -(chance.random() ** (1 / max(server.weight, 1)))))


def _asked(address: Address) -> bytes:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    connection = Connection(f"boot-{secrets.token_hex(6)}", events.put)
    connection.open(address.host, address.port, None, None, topics.BOOT, ANSWER_WITHIN_S)
    try:
        answer = events.get(timeout=ANSWER_WITHIN_S)
    except queue.Empty:
        raise NotConnectedError("no list in time") from None
    finally:
        connection.close()
    if not isinstance(answer, Message):
        raise NotConnectedError("the connection was closed before the list came")
    return answer.payload
