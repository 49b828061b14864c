"""A certificate authority for tests, and certificates that it signs."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker import KeyPair

LASTS = timedelta(days=2)


class Authority:
    """Signs certificates into a directory; `file` is its own certificate."""

    def __init__(self, directory: Path, name: str = "authority", *, file: str | None = None) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = directory / f"{file or name}.pem"
        self.certificate = self.renewed()

    def renewed(self, lasts: timedelta = LASTS) -> x509.Certificate:
        """A new certificate of the same key, written over the old one."""
        self.certificate = self._signed(self._name, self._key.public_key(), authority=True, lasts=lasts)
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return self.certificate

    def pair(self, name: str, file: str | None = None, *, uri: str | None = None, lasts: timedelta = LASTS) -> KeyPair:
        """A certificate for a host or client, or for a URI; written over what `file` names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names: list[x509.GeneralName] = [x509.DNSName(name) if uri is None else x509.UniformResourceIdentifier(uri)]
        certificate = self._signed(subject, key.public_key(), names=names, lasts=lasts)
        made = KeyPair(self._directory / f"{file or name}.crt", self._directory / f"{file or name}.key")
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return made

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        authority: bool = False,
        names: Sequence[x509.GeneralName] = (),
        lasts: timedelta = LASTS,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def authority_pem(name: str) -> str:
    """The certificate of an authority that nobody has the key of any more."""
    with tempfile.TemporaryDirectory() as directory:
        return Authority(Path(directory), name).file.read_text()
