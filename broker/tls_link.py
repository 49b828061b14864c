"""TLS between a socket and our transport, with OpenSSL working on memory: one decryption per read, one encryption per write.

The event loop's own TLS does the same through several layers of buffers: `make bench`, workload (k), shows the difference
(docs/decisions/0011). To the loop this is a protocol, to `broker.transport` a transport, which hears of it after the handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import Any, Final, cast

log = logging.getLogger(__name__)

MAX_READ: Final = (
    16 * 1024
)  # bytes: what a record holds at most (RFC 8446, section 5.1); asking for more allocates more


class TlsLink(asyncio.Protocol):
    """One TLS connection, server side."""

    __slots__ = ("_incoming", "_inner", "_open", "_outgoing", "_raw", "_ssl", "_timeout")

    def __init__(self, context: ssl.SSLContext, inner: asyncio.Protocol, handshake_timeout_s: float) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._open = False  # the handshake is done
        self._timeout = asyncio.get_running_loop().call_later(handshake_timeout_s, self._too_slow)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there: it speaks first."""
        self._raw = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Records, whole or in part."""
        self._incoming.write(data)
        if not self._open and not self._shake_hands():
            return
        plain, ended = self._decrypted()
        if self._outgoing.pending:  # what TLS itself has to say: tickets, key updates
            self._send()
        if plain:
            self._inner.data_received(plain)
        if ended:
            self.close()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        if self._open:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._open:
            self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self._timeout.cancel()
        if self._open:
            self._inner.connection_lost(error)

    # What the transport calls.

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        try:
            self._ssl.write(data)
        except ssl.SSLError as error:
            self._broken(error)
            return
        self._send()

    def close(self) -> None:
        """Say that nothing follows (RFC 8446, section 6.1), send what is left, and close."""
        if self._raw.is_closing():
            return
        with contextlib.suppress(ssl.SSLError):  # the client's own closing alert is not waited for
            self._ssl.unwrap()
        self._send()
        self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._raw.is_closing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When `pause_writing` is called."""
        self._raw.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`ssl_object`, and what the socket's transport knows."""
        return self._ssl if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def _shake_hands(self) -> bool:
        """Go on with the handshake; True when it is done."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return False
        except ssl.SSLError as error:  # also a certificate that was asked for and is not good
            self._broken(error)
            return False
        self._timeout.cancel()
        self._open = True
        self._send()
        self._inner.connection_made(cast(asyncio.BaseTransport, self))
        return True

    def _decrypted(self) -> tuple[bytes, bool]:
        """(all that whole records hold, whether the client has said that nothing follows)."""
        parts: list[bytes] = []
        incoming, read = self._incoming, self._ssl.read
        try:
            while incoming.pending:  # each read takes one record, whole
                part = read(MAX_READ)
                if not part:
                    return b"".join(parts), True
                parts.append(part)
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still to come
        except ssl.SSLError as error:
            self._broken(error)
        return parts[0] if len(parts) == 1 else b"".join(parts), False

    def _send(self) -> None:
        self._raw.write(self._outgoing.read())

    def _broken(self, error: ssl.SSLError) -> None:
        """TLS cannot go on: the client is told by an alert, and let go."""
        log.info("closed on a TLS error", extra={"peer": self._raw.get_extra_info("peername"), "reason": error.reason})
        self._send()
        self._raw.close()

    def _too_slow(self) -> None:
        log.info("no TLS handshake in time", extra={"peer": self._raw.get_extra_info("peername")})
        self._raw.abort()
