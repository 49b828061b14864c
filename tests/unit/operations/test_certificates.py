"""Certificates of endpoints: whose authority signed them, whom they name, how long they are good."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker import KeyPair
from operations.certificates import Authority, CertificateError, check
from tests import certificates

EP = "meter-7"


def now() -> datetime:
    """The present: the certificates are made when a test runs."""
    return datetime.now(UTC)


@pytest.fixture
def signer(tmp_path: Path) -> certificates.Authority:
    return certificates.Authority(tmp_path, "factory")


def trusted(signer: certificates.Authority, number: str = "a/one", **fields: Any) -> Authority:
    return Authority.of(
        {"_id": number, "certificate": signer.file.read_text(), "names": "cn", "pattern": "{ep}"} | fields
    )


def der(pair: KeyPair) -> bytes:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes()).public_bytes(Encoding.DER)


def why(shown: bytes, *authorities: Authority, at: datetime | None = None) -> str:
    with pytest.raises(CertificateError) as found:
        check(shown, EP, authorities, at or now())
    return str(found.value)


def test_a_certificate_opens_the_endpoint_that_it_names(signer: certificates.Authority) -> None:
    pair = signer.pair(EP, lasts=timedelta(hours=1))
    authority = trusted(signer)
    shown = check(der(pair), EP, [authority], now())
    assert (shown.authority, shown.mark, shown.subject) == ("a/one", authority.mark, f"CN={EP}")
    assert timedelta(minutes=59) < shown.not_after - now() < timedelta(minutes=61)
    assert shown.until == shown.not_after
    assert shown.stored().keys() == {"authority", "subject", "serial", "not_after"}


def test_it_is_good_no_longer_than_its_authority(signer: certificates.Authority) -> None:
    pair = signer.pair(EP)
    signer.renewed(timedelta(hours=1))
    shown = check(der(pair), EP, [trusted(signer)], now())
    assert shown.until == signer.certificate.not_valid_after_utc < shown.not_after
    assert "authority that signed the certificate has expired" in why(
        der(pair), trusted(signer), at=now() + timedelta(hours=2)
    )


def test_one_for_another_endpoint(signer: certificates.Authority) -> None:
    assert "its cn is not 'meter-7'" in why(der(signer.pair("meter-8")), trusted(signer))


def test_one_of_no_authority_of_the_application(signer: certificates.Authority, tmp_path: Path) -> None:
    same_name = certificates.Authority(tmp_path, "factory", file="other")
    assert "signed by no authority" in why(der(same_name.pair(EP)), trusted(signer))
    assert "signed by no authority" in why(der(signer.pair(EP)))


@pytest.mark.parametrize("days", [-31, 3])
def test_one_that_is_not_good_now(signer: certificates.Authority, days: int) -> None:
    pair = signer.pair(EP)
    signer.renewed(timedelta(days=30))
    assert "expired, or not valid yet" in why(der(pair), trusted(signer), at=now() + timedelta(days=days))


def test_names_among_the_alternatives(signer: certificates.Authority) -> None:
    dns, uri = signer.pair(EP), signer.pair("somebody", uri="urn:dev:acme:meter-7")
    of_dns = trusted(signer, names="dns")
    of_uri = trusted(signer, names="uri", pattern="urn:dev:acme:{ep}")
    assert check(der(dns), EP, [of_dns], now())
    assert check(der(uri), EP, [of_uri], now())
    assert "its uri is not 'urn:dev:acme:meter-7'" in why(der(dns), of_uri)
    assert "its dns is not" in why(der(uri), of_dns)


def test_the_pattern_is_the_whole_name(signer: certificates.Authority) -> None:
    authority = trusted(signer, pattern="{ep}.devices.example")
    assert check(der(signer.pair("meter-7.devices.example")), EP, [authority], now())
    assert "not 'meter-7.devices.example'" in why(der(signer.pair("x.meter-7.devices.example")), authority)


def test_several_authorities_are_all_asked(signer: certificates.Authority, tmp_path: Path) -> None:
    other = certificates.Authority(tmp_path, "second")
    authorities = [trusted(signer), trusted(other, "a/two")]
    assert check(der(other.pair(EP)), EP, authorities, now()).authority == "a/two"


def test_what_is_no_certificate(signer: certificates.Authority) -> None:
    assert "cannot be read" in why(b"x", trusted(signer))


def test_the_mark_is_that_of_the_key_and_of_what_it_opens(signer: certificates.Authority, tmp_path: Path) -> None:
    before = trusted(signer).mark
    signer.renewed()
    assert trusted(signer).mark == before
    assert trusted(certificates.Authority(tmp_path, "factory", file="other")).mark != before
    assert trusted(signer, names="dns").mark != before
    assert trusted(signer, pattern="x{ep}").mark != before
