"""The PROXY protocol, version 2: the client's address as a load balancer saw it, before the first byte of MQTT.

Source: "The PROXY protocol", HAProxy Technologies, section 2.2. Sans-io.
"""

import ipaddress
import struct
from typing import Final, NamedTuple

from broker.errors import RemoteProtocolError
from broker.reasons import Reason

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
HEADER: Final = 16  # bytes: signature, version and command, family, length
MAX_LENGTH: Final = 4096  # of addresses and extensions
_ADDRESSES: Final = {0x1: "!4s4sHH", 0x2: "!16s16sHH"}  # address family -> layout


class Source(NamedTuple):
    """The client behind the proxy."""

    address: str
    port: int


def read(data: bytes) -> tuple[Source | None, int] | None:
    """(client, where MQTT begins); the client is None when the proxy speaks for itself. None: more bytes are needed.

    Raises: RemoteProtocolError for what is no such header: on a listener behind a proxy, nobody else may connect.
    """
    if not data.startswith(SIGNATURE[: len(data)]):
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "no PROXY header, version 2")
    if len(data) < HEADER:
        return None
    version, family, length = data[12], data[13], int.from_bytes(data[14:HEADER], "big")
    if version >> 4 != 2 or version & 0x0F > 1 or length > MAX_LENGTH:
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "a PROXY header of another version or size")
    end = HEADER + length
    if len(data) < end:
        return None
    layout = _ADDRESSES.get(family >> 4)
    if version & 0x0F == 0 or layout is None:  # LOCAL, or a family without addresses: the connection's own stand
        return None, end
    size = struct.calcsize(layout)
    if length < size:
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "a PROXY header shorter than its addresses")
    source, _, port, _ = struct.unpack(layout, data[HEADER : HEADER + size])
    return Source(str(ipaddress.ip_address(source)), port), end
