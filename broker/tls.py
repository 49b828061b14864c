"""TLS of a listener: certificates by server name, client certificates, and new files taken up without a restart."""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broker.errors import BrokerError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain and its private key, PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Tls:
    """What a listener needs to speak TLS (1.2 and newer)."""

    pair: KeyPair
    names: Mapping[str, KeyPair] = field(default_factory=dict)  # other certificates by server name (SNI)
    client_ca: Path | None = (
        None  # who signs clients' certificates; None, or an empty file: clients are not asked for one
    )
    client_ca_directory: Path | None = None  # the same, a directory as OpenSSL lays it out
    client_ca_data: str | bytes | None = None  # the same, PEM text or DER bytes
    client_required: bool = False  # turn away clients without one


class TlsError(BrokerError):
    """A certificate, key or CA file cannot be used: which, and why."""


class TlsContexts:
    """The contexts of one listener. `server` goes to the event loop."""

    def __init__(self, tls: Tls) -> None:
        """Raises: TlsError."""
        self._tls = tls
        self.server, self._named = self._made()
        self._stamps = self._stamped()

    def reload_changed(self) -> bool:
        """Take up files that have changed; those that cannot be used are logged, and what was loaded before stays."""
        stamps = self._stamped()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        try:  # new contexts: from a live one no authority could be taken away, and half a change must not reach a listener
            self.server, self._named = self._made()
        except TlsError as error:
            log.error("new certificates cannot be used, the old ones stay", extra={"reason": str(error)})  # noqa: TRY400
            return False
        log.info("new certificates loaded", extra={"certificate": str(self._tls.pair.certificate)})
        return True

    def _made(self) -> tuple[ssl.SSLContext, Mapping[str, ssl.SSLContext]]:
        server = _context(self._tls, self._tls.pair)
        server.sni_callback = self._choose
        return server, {name: _context(self._tls, pair) for name, pair in self._tls.names.items()}

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        chosen = self._named.get(name or "")
        if chosen is not None:
            connection.context = chosen

    def _stamped(self) -> tuple[int, ...]:
        pairs = [self._tls.pair, *self._tls.names.values()]
        files = [file for pair in pairs for file in (pair.certificate, pair.key)]
        return tuple(_stamp(file) for file in [*files, *filter(None, [self._tls.client_ca])])


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _context(tls: Tls, pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(pair.certificate, pair.key)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"certificate {pair.certificate} with key {pair.key}: {error}") from error
    if _asks_clients(tls):
        try:
            context.load_verify_locations(tls.client_ca, tls.client_ca_directory, tls.client_ca_data)
        except (OSError, ssl.SSLError) as error:
            named = tls.client_ca or tls.client_ca_directory or "in the configuration"
            raise TlsError(f"client CA {named}: {error}") from error
        # An authority that is not a root is trusted by itself: whoever names it means it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_REQUIRED if tls.client_required else ssl.CERT_OPTIONAL
    return context


def _asks_clients(tls: Tls) -> bool:
    """Whether clients are asked for a certificate. A file without any means no, unless one is required: that is then refused."""
    if tls.client_ca_directory is not None or tls.client_ca_data is not None or tls.client_required:
        return True
    try:
        return tls.client_ca is not None and bool(tls.client_ca.read_bytes().strip())
    except OSError:
        return True  # loading it says what is wrong
