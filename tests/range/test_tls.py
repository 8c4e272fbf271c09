"""The range's TLS servers as OpenSSL's own client sees them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from tests.lab import need
from tests.range.standing import Standing

PORTAL = "portal.finance.gov.example"
TAX = "tax.finance.gov.example"


def s_client(standing: Standing, name: str, *options: str, port: int = 443) -> str:
    """What ``openssl s_client`` says of a host of the range, checked against the range's root and the name."""
    address, number = standing.dialled(name, port)
    done = subprocess.run(
        [need("openssl", "openssl"), "s_client", "-connect", f"{address}:{number}", "-servername", name, *options],
        input=b"",
        capture_output=True,
        timeout=20,
        check=False,
    )
    return (done.stdout + done.stderr).decode("utf-8", "replace")


@pytest.fixture
def trusting(standing: Standing, tmp_path: Path) -> tuple[str, ...]:
    """Options that trust the range's root and nothing else."""
    root = tmp_path / "ca.pem"
    root.write_bytes(standing.practice.root_pem)
    return ("-CAfile", str(root), "-no-CAstore", "-no-CApath")


def negotiated(said: str) -> str:
    return next((line for line in said.splitlines() if line.startswith("New, ")), "nothing")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_portal_verifies_with_current_versions(standing: Standing, trusting: tuple[str, ...], version: str) -> None:
    said = s_client(standing, PORTAL, version, *trusting, "-verify_hostname", PORTAL)

    assert "Verify return code: 0 (ok)" in said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_accepted_by_the_tax_site_only(standing: Standing, version: str) -> None:
    options = (version, "-cipher", "ALL:@SECLEVEL=0")

    assert "Cipher is ECDHE-RSA-AES" in negotiated(s_client(standing, TAX, *options))
    assert "NONE" in negotiated(s_client(standing, PORTAL, *options))


def test_the_tax_site_has_no_tls13(standing: Standing) -> None:
    assert "NONE" in negotiated(s_client(standing, TAX, "-tls1_3"))


@pytest.mark.parametrize(("suites", "chosen"), [("aNULL", "AECDH-AES"), ("kRSA+AES", "AES")])
def test_weak_suites_are_accepted_by_the_tax_site_only(standing: Standing, suites: str, chosen: str) -> None:
    options = ("-tls1_2", "-cipher", f"{suites}:@SECLEVEL=0")

    assert f"Cipher is {chosen}" in negotiated(s_client(standing, TAX, *options))
    assert "NONE" in negotiated(s_client(standing, PORTAL, *options))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("customs.finance.gov.example", "10 (certificate has expired)"),
        ("tenders.finance.gov.example", "21 (unable to verify the first certificate)"),
        ("clinic.health.gov.example", "18 (self-signed certificate)"),
        ("registry.health.gov.example", "62 (hostname mismatch)"),
        ("records.health.gov.example", "0 (ok)"),
    ],
)
def test_every_planted_certificate_fault_is_what_openssl_says(
    standing: Standing, trusting: tuple[str, ...], name: str, complaint: str
) -> None:
    said = s_client(standing, name, *trusting, "-verify_hostname", name)

    assert f"Verify return code: {complaint}" in said


def test_certificates_are_of_the_age_that_was_planted(standing: Standing) -> None:
    def leaf(name: str) -> x509.Certificate:
        said = s_client(standing, name)
        start = said.index("-----BEGIN CERTIFICATE-----")
        return x509.load_pem_x509_certificate(said[start : said.index("-----END CERTIFICATE-----") + 26].encode())

    now = datetime.now(UTC)
    good, lapsed = leaf(PORTAL), leaf("customs.finance.gov.example")

    assert 30 < (good.not_valid_after_utc - now).days <= 70
    assert (now - lapsed.not_valid_after_utc).days == 10
    names = good.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert isinstance(names, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == [PORTAL]


def test_a_failed_handshake_leaves_the_server_answering(standing: Standing, trusting: tuple[str, ...]) -> None:
    for _ in range(3):
        s_client(standing, PORTAL, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")

    assert "Verify return code: 0 (ok)" in s_client(standing, PORTAL, *trusting)


@pytest.mark.parametrize(
    ("options", "alert"),
    [
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "alert protocol version"),
        (("-tls1_2", "-cipher", "kRSA"), "alert handshake failure"),
    ],
    ids=["version", "suite"],
)
@pytest.mark.parametrize(("name", "port"), [(PORTAL, 443), ("mail.finance.gov.example", 25)])
def test_a_refusal_is_said_with_an_alert(
    standing: Standing, name: str, port: int, options: tuple[str, ...], alert: str
) -> None:
    """A close without a word could as well be a fault on the way."""
    starttls = ("-starttls", "smtp") if port == 25 else ()

    assert alert in s_client(standing, name, *starttls, *options, port=port)


def test_the_good_mail_exchanger_offers_starttls(standing: Standing, trusting: tuple[str, ...]) -> None:
    name = "mail.finance.gov.example"
    said = s_client(standing, name, "-starttls", "smtp", *trusting, "-verify_hostname", name, port=25)

    assert "Verify return code: 0 (ok)" in said
