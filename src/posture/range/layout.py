"""Who lives on the practice range: an example State, its hosts and zones, and the faults that are planted in them.

Data only. What each host serves is wired in :mod:`posture.range.servers`; its zones are in :mod:`posture.range.zones`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

STATE_CODE = "ZZ"  # user-assigned in ISO 3166-1: no State will ever have it
STATE_NAME = "Example Islands"
TIMEZONE = "America/St_Lucia"
OPERATOR = "CERT Example Islands"
CONTACT = "soc@cert.gov.example"
NETWORK = "127.0.20.0/24"

RESOLVER = "127.0.20.53"
ROOT_SERVER = "127.0.20.4"  # serves "." and "example."
FIRST_SERVER = "127.0.20.2"  # ns1.gov.example
SECOND_SERVER = "127.0.20.3"  # ns2.gov.example, lame for the health zone


@dataclass(frozen=True, slots=True)
class Ministry:
    """A ministry of the example State and what its permanent secretary signed."""

    code: str
    name: str
    authorisation: str
    officer: str
    reference: str
    sector: str
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One asset of the inventory. ``address`` is where a host stands (the name server answers it), "" for a zone.

    ``ports`` and ``mail`` are None when the inventory leaves them out.
    """

    name: str
    ministry: str
    kind: str = "host"
    address: str = ""
    roles: tuple[str, ...] = ()
    criticality: int = 2
    ports: tuple[int, ...] | None = None
    mail: tuple[str, ...] | None = None
    note: str = ""


class Planted(NamedTuple):
    """A truth about the range. ``subject`` is a glob over the subjects of findings; ``outcome`` the one to expect."""

    asset: str
    control: str
    subject: str
    outcome: str

    def speaks_of(self, asset: str, control: str, subject: str) -> bool:
        """Whether a finding with these keys is one that this truth is about."""
        return (asset, control) == (self.asset, self.control) and fnmatchcase(subject, self.subject)


MINISTRIES = (
    Ministry(
        "finance",
        "Ministry of Finance",
        "zz-finance-01",
        "Permanent Secretary, Finance",
        "Letter MOF/ICT/41",
        "finance",
        ("finance.gov.example", "budget2024.gov.example"),
    ),
    Ministry(
        "health",
        "Ministry of Health",
        "zz-health-01",
        "Permanent Secretary, Health",
        "Letter MOH/ADM/17",
        "health",
        ("health.gov.example", "fluseason.gov.example"),
    ),
)

ENTRIES = (
    Entry(
        "finance.gov.example",
        "finance",
        kind="zone",
        criticality=3,
        mail=("sends", "receives"),
        note="the ministry's zone: signed, mail protected",
    ),
    Entry(
        "budget2024.gov.example",
        "finance",
        kind="zone",
        criticality=1,
        mail=(),
        note="a name kept after its campaign, and locked down as it should be",
    ),
    Entry(
        "portal.finance.gov.example",
        "finance",
        address="127.0.20.11",
        roles=("web",),
        criticality=3,
        ports=(80, 443),
        note="the front door: all is well here, until somebody opens a maintenance port",
    ),
    Entry(
        "tax.finance.gov.example",
        "finance",
        address="127.0.20.12",
        roles=("web",),
        criticality=3,
        ports=(80, 443),
        note="tax returns, on a server that nobody has touched since 2011",
    ),
    Entry(
        "customs.finance.gov.example",
        "finance",
        address="127.0.20.13",
        roles=("web",),
        ports=(80, 443),
        note="import permits; the certificate was forgotten",
    ),
    Entry(
        "mail.finance.gov.example",
        "finance",
        address="127.0.20.14",
        roles=("mail",),
        criticality=3,
        ports=(25,),
        note="the mail server, with encryption",
    ),
    Entry(
        "tenders.finance.gov.example",
        "finance",
        address="127.0.20.15",
        roles=("web",),
        ports=(80, 443),
        note="public tenders; half of the certificate chain is missing",
    ),
    Entry(
        "archive.finance.gov.example",
        "finance",
        address="127.0.20.16",
        roles=("web",),
        criticality=1,
        ports=(80, 443),
        note="switched off last year, still in DNS",
    ),
    Entry(
        "health.gov.example",
        "health",
        kind="zone",
        criticality=3,
        mail=("sends", "receives"),
        note="the ministry's zone: not signed, mail easily forged, one name server lame, the other gives everything away",
    ),
    Entry(
        "fluseason.gov.example",
        "health",
        kind="zone",
        criticality=1,
        mail=(),
        note="last year's campaign; anybody can send mail in its name",
    ),
    Entry(
        "clinic.health.gov.example",
        "health",
        address="127.0.20.21",
        roles=("web",),
        ports=(80, 443),
        note="appointments; the certificate is home-made",
    ),
    Entry(
        "registry.health.gov.example",
        "health",
        address="127.0.20.22",
        roles=("web",),
        criticality=3,
        ports=(80, 443),
        note="births and deaths; moved here with the certificate of its old name",
    ),
    Entry(
        "mail.health.gov.example",
        "health",
        address="127.0.20.23",
        roles=("mail",),
        criticality=3,
        ports=(25,),
        note="the mail server: no encryption, and an FTP server that nobody declared",
    ),
    Entry(
        "records.health.gov.example",
        "health",
        address="127.0.20.24",
        roles=("web",),
        criticality=3,
        ports=(80, 443),
        note="patient records; its cache answers to everybody, until it is closed",
    ),
    Entry(
        "pharmacy.health.gov.example",
        "health",
        address="127.0.20.25",
        roles=("web",),
        ports=(80,),
        note="stock of medicines, in clear text, with a Telnet log-in",
    ),
    Entry(
        "hospital.health.gov.example",
        "health",
        address="127.0.20.26",
        roles=("web",),
        ports=(80, 443),
        note="takes the call and never says a word",
    ),
)

HOSTS = tuple(entry for entry in ENTRIES if entry.kind == "host")


def entry(name: str) -> Entry:
    """The asset of that name; KeyError when there is none."""
    for candidate in ENTRIES:
        if candidate.name == name:
            return candidate
    raise KeyError(name)


_WEB = "*:443/tcp"

# What stands before and after the change between the demo's two scans.
_CONSTANT = (
    Planted("finance.gov.example", "dns.dnssec.signed", "", "pass"),
    Planted("finance.gov.example", "dns.caa.present", "", "pass"),
    Planted("finance.gov.example", "dns.ns.count", "", "pass"),
    Planted("finance.gov.example", "dns.ns.lame", "ns:ns1.gov.example", "pass"),
    Planted("finance.gov.example", "dns.ns.lame", "ns:ns2.gov.example", "pass"),
    Planted("finance.gov.example", "dns.ns.axfr", "ns:*", "pass"),
    Planted("finance.gov.example", "mail.spf.present", "", "pass"),
    Planted("finance.gov.example", "mail.spf.policy", "", "pass"),
    Planted("finance.gov.example", "mail.dmarc.policy", "", "pass"),
    Planted("finance.gov.example", "mail.starttls", "mx:mail.finance.gov.example:25", "pass"),
    Planted("finance.gov.example", "mail.mx.valid", "mx:mail.finance.gov.example:25", "pass"),
    Planted("mail.finance.gov.example", "tls.protocol.ssl", "*:25/tcp", "pass"),
    Planted("mail.finance.gov.example", "tls.protocol.legacy", "*:25/tcp", "pass"),
    Planted("mail.finance.gov.example", "tls.cipher.insecure", "*:25/tcp", "pass"),
    Planted("budget2024.gov.example", "mail.parked", "", "pass"),
    Planted("portal.finance.gov.example", "tls.https.available", "", "pass"),
    Planted("portal.finance.gov.example", "tls.https.redirect", "*:80/tcp", "pass"),
    Planted("portal.finance.gov.example", "tls.hsts.policy", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.protocol.legacy", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.protocol.tls13", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.cipher.cbc", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.cipher.forward_secrecy", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.kex.dh_group", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.kex.curves", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.ems", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.compression", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.fallback_scsv", _WEB, "not_applicable"),
    Planted("portal.finance.gov.example", "tls.cert.lifetime", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.cert.must_staple", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.cert.ct", _WEB, "not_applicable"),
    Planted("portal.finance.gov.example", "tls.cert.expiry", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.cert.trust", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.cert.chain", _WEB, "pass"),
    Planted("portal.finance.gov.example", "tls.cert.hostname", _WEB, "pass"),
    Planted("portal.finance.gov.example", "web.header.basic", _WEB, "pass"),
    Planted("portal.finance.gov.example", "web.securitytxt", _WEB, "pass"),
    Planted("tax.finance.gov.example", "tls.https.redirect", "*:80/tcp", "fail"),
    Planted("tax.finance.gov.example", "tls.hsts.policy", _WEB, "fail"),
    Planted("tax.finance.gov.example", "tls.protocol.legacy", _WEB, "fail"),
    Planted("tax.finance.gov.example", "tls.protocol.tls13", _WEB, "warn"),
    Planted("tax.finance.gov.example", "tls.cipher.insecure", _WEB, "fail"),
    Planted("tax.finance.gov.example", "tls.cipher.cbc", _WEB, "warn"),
    Planted("tax.finance.gov.example", "tls.cipher.forward_secrecy", _WEB, "warn"),
    Planted("tax.finance.gov.example", "tls.kex.dh_group", _WEB, "pass"),
    Planted("tax.finance.gov.example", "tls.fallback_scsv", _WEB, "pass"),
    Planted("tax.finance.gov.example", "web.header.basic", _WEB, "fail"),
    Planted("tax.finance.gov.example", "web.securitytxt", _WEB, "fail"),
    Planted("customs.finance.gov.example", "tls.cert.expiry", _WEB, "fail"),
    Planted("tenders.finance.gov.example", "tls.cert.chain", _WEB, "fail"),
    Planted("archive.finance.gov.example", "tls.https.available", "*", "not_applicable"),
    Planted("health.gov.example", "dns.dnssec.signed", "", "fail"),
    Planted("health.gov.example", "dns.caa.present", "", "fail"),
    Planted("health.gov.example", "dns.ns.lame", "ns:ns1.gov.example", "pass"),
    Planted("health.gov.example", "dns.ns.lame", "ns:ns2.gov.example", "fail"),
    Planted("health.gov.example", "dns.ns.axfr", "ns:ns1.gov.example", "fail"),
    Planted("health.gov.example", "mail.spf.policy", "", "warn"),
    Planted("health.gov.example", "mail.dmarc.present", "", "pass"),
    Planted("health.gov.example", "mail.dmarc.policy", "", "fail"),
    Planted("health.gov.example", "mail.starttls", "mx:mail.health.gov.example:25", "fail"),
    Planted("fluseason.gov.example", "mail.parked", "", "fail"),
    Planted("clinic.health.gov.example", "tls.cert.trust", _WEB, "fail"),
    Planted("registry.health.gov.example", "tls.cert.hostname", _WEB, "fail"),
    Planted("records.health.gov.example", "tls.hsts.policy", _WEB, "warn"),
    Planted("mail.health.gov.example", "svc.file.ftp", "*:21/tcp", "fail"),
    Planted("mail.health.gov.example", "svc.baseline", "*:21/tcp", "fail"),
    Planted("pharmacy.health.gov.example", "tls.https.available", "", "fail"),
    Planted("pharmacy.health.gov.example", "svc.mgmt.telnet", "*:23/tcp", "fail"),
    Planted("pharmacy.health.gov.example", "svc.baseline", "*:23/tcp", "fail"),
    Planted("hospital.health.gov.example", "tls.https.available", "*", "unknown"),
)
_BEFORE = (
    Planted("portal.finance.gov.example", "svc.mgmt.telnet", "*", "pass"),
    Planted("portal.finance.gov.example", "svc.baseline", "*", "pass"),
    Planted("records.health.gov.example", "svc.db.unauth", "*:6379/tcp", "fail"),
    Planted("records.health.gov.example", "svc.baseline", "*:6379/tcp", "fail"),
)
_AFTER = (
    Planted("portal.finance.gov.example", "svc.mgmt.telnet", "*:23/tcp", "fail"),
    Planted("portal.finance.gov.example", "svc.baseline", "*:23/tcp", "fail"),
    Planted("records.health.gov.example", "svc.db.unauth", "*", "pass"),
    Planted("records.health.gov.example", "svc.baseline", "*", "pass"),
)


def truth(*, changed: bool) -> list[Planted]:
    """What a correct scan finds, before or after the planted change."""
    return [*_CONSTANT, *(_AFTER if changed else _BEFORE)]
