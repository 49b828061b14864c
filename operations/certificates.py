"""Endpoints that come with a certificate: who signed it, whom it names, how long it is good. Pure.

TLS has checked that some authority that this server trusts signed it (`operations.trust`); here it must be one of the application that
the endpoint names, because the server trusts those of all tenants. An authority is the one that signs the devices' certificates
itself: of a chain the last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from akela.signing_keys import fingerprint

EP: Final = "{ep}"  # in a pattern: the endpoint id
MAX_SUBJECT: Final = 256  # characters of a subject that are kept


class CertificateError(Exception):
    """A certificate does not open the endpoint: why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """One of an application's authorities. `names`: cn, dns or uri; `pattern`: what is there, with `{ep}`.

    `mark`: the same as long as the same certificates open the same endpoints: a renewed certificate of the same key keeps it.
    """

    id: str
    mark: str
    certificate: x509.Certificate
    names: str
    pattern: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Authority":
        """The authority that `document` describes. Raises: ValueError for what is no certificate."""
        number, names, pattern = document["_id"], document["names"], document["pattern"]
        certificate = x509.load_pem_x509_certificate(document["certificate"].encode())
        mark = f"{number} {fingerprint(certificate.public_key())} {names} {pattern}"
        return cls(number, mark, certificate, names, pattern)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a good certificate says. `until`: when it or its authority expires, whichever is first."""

    authority: str
    mark: str
    subject: str
    serial: str  # hex
    not_after: datetime
    until: datetime

    def stored(self) -> Mapping[str, Any]:
        """As it is kept with the endpoint."""
        return {
            "authority": self.authority, "subject": self.subject, "serial": self.serial, "not_after": self.not_after,
        }  # fmt: skip


def check(der: bytes, ep: str, authorities: Sequence[Authority], now: datetime) -> Shown:
    """What the certificate says of endpoint `ep`. Raises: CertificateError."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        signer = next((authority for authority in authorities if _signed_by(certificate, authority.certificate)), None)
        if signer is None:
            raise CertificateError("the certificate is signed by no authority of this application")
        if signer.certificate.not_valid_after_utc <= now:
            raise CertificateError("the authority that signed the certificate has expired")
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise CertificateError("the certificate is expired, or not valid yet")
        expected = signer.pattern.replace(EP, ep)
        if expected not in _names(certificate, signer.names):
            raise CertificateError(f"the certificate is for another endpoint: its {signer.names} is not {expected!r}")
        subject = certificate.subject.rfc4514_string()
    except ValueError as error:
        raise CertificateError(f"the certificate cannot be read: {error}") from error
    not_after = certificate.not_valid_after_utc
    until = min(not_after, signer.certificate.not_valid_after_utc)
    return Shown(signer.id, signer.mark, subject[:MAX_SUBJECT], f"{certificate.serial_number:x}", not_after, until)


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(certificate: x509.Certificate, where: str) -> Sequence[str]:
    if where == "cn":
        return [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName if where == "dns" else x509.UniformResourceIdentifier)
