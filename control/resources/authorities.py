"""Certificate authorities of an application: who signs its endpoints' certificates, and how those say which endpoint they are of."""

from datetime import UTC, datetime
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from pydantic import Field

from akela.documents import model
from akela.documents.model import Content
from control.core import Body
from control.definitions import Definition, Description, NameField, routes
from control.problems import Problem
from control.shapes import Defined, page_model

EP: Final = "{ep}"
PATH: Final = "/certificate"


class AuthoritySettings(Body):
    """A certificate authority."""

    certificate: str = Field(
        max_length=16384, description="PEM of the one that signs the devices' certificates: of a chain the last",
        examples=["-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n"],
    )  # fmt: skip
    names: Literal["cn", "dns", "uri"] = Field(
        default="cn",
        description="where a device's certificate says who it is: common name, or a DNS name or URI among its alternative names",
    )
    pattern: str = Field(
        default=EP, min_length=4, max_length=255, description="what is there, with {ep} for the endpoint id",
        examples=["urn:dev:{ep}"],
    )  # fmt: skip
    description: Description = None


class NewAuthority(AuthoritySettings):
    """A certificate authority."""

    name: NameField


class Authority(Defined):
    """A certificate authority as it is shown."""

    certificate: str
    names: str
    pattern: str
    subject: str
    not_after: datetime
    description: str | None


def _rule(app: str, content: Content, before: Content | None) -> None:
    """Raises: Problem 422 for what is no authority, 409 for one that another with the same name in its certificate would stand in for."""
    if content["pattern"].count(EP) != 1:
        raise Problem(422, f"the pattern holds {EP} once", [("/pattern", f"holds {EP} once, as in urn:dev:{EP}")])
    certificate = _read(content["certificate"])
    subject = certificate.subject.rfc4514_string()
    key_id = _key_id(certificate)
    for other in model.query("authority", {"subject": subject}, sort=None):
        if other["key_id"] != key_id and other["_id"] != content["_id"]:
            # TLS finds who signed by this name alone, before it knows the application: of two only one would be found.
            raise Problem(
                409, f"an authority of another key has the subject {subject!r} already; each needs one of its own"
            )
    content |= {"subject": subject, "key_id": key_id, "not_after": certificate.not_valid_after_utc}


def _read(text: str) -> x509.Certificate:
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise _wrong("no certificate in PEM") from error
    if len(found) != 1:
        raise _wrong(f"{len(found)} certificates; give one, the one that signs the devices' certificates")
    try:
        constraints = found[0].extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise _wrong("no certificate of an authority: it has no basic constraints") from error
    if not constraints.ca:
        raise _wrong("no certificate of an authority: its basic constraints say CA:FALSE")
    if found[0].not_valid_after_utc <= datetime.now(UTC):
        raise _wrong("the certificate has expired")
    return found[0]


def _key_id(certificate: x509.Certificate) -> str:
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    return digest.finalize().hex()


def _wrong(reason: str) -> Problem:
    return Problem(422, reason, [(PATH, reason)])


AUTHORITIES: Final = Definition(
    kind="authority", plural="authorities", settings=AuthoritySettings, new=NewAuthority, shown=Authority,
    listed=page_model(Authority), rule=_rule,
)  # fmt: skip

router = routes(AUTHORITIES)
