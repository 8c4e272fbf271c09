"""The range's part of the name space, from the root down, signed at start (RFC 4033-4035)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import dns.dnssec
import dns.name
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm, DSDigest
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS

from posture.range.layout import FIRST_SERVER, HOSTS, ROOT_SERVER, SECOND_SERVER

TTL = 60
_SIGNED_FOR = timedelta(days=30)
_ZONE_KEY_AND_SEP = 257

# Bottom-up, so that a child's DS is known when its parent is signed. The text of each lacks SOA and NS.
_TEXTS = {
    "finance.gov.example.": """
        @       MX    10 mail
        @       TXT   "v=spf1 mx -all"
        _dmarc  TXT   "v=DMARC1; p=reject; rua=mailto:dmarc@finance.gov.example"
        @       CAA   0 issue "ca.gov.example"
        @       CAA   0 iodef "mailto:soc@cert.gov.example"
        www     CNAME portal
        """,
    "budget2024.gov.example.": """
        @       MX    0 .
        @       TXT   "v=spf1 -all"
        _dmarc  TXT   "v=DMARC1; p=reject; sp=reject"
        @       CAA   0 issue ";"
        """,
    "health.gov.example.": """
        @       MX    10 mail
        @       TXT   "v=spf1 ip4:127.0.20.23 ?all"
        _dmarc  TXT   "v=DMARC1; p=none; rua=mailto:postmaster@health.gov.example"
        """,
    "fluseason.gov.example.": """
        @       TXT   "Campaign of the Ministry of Health"
        """,
    "gov.example.": f"""
        ns1     A     {FIRST_SERVER}
        ns2     A     {SECOND_SERVER}
        finance     NS ns1
        finance     NS ns2
        health      NS ns1
        health      NS ns2
        budget2024  NS ns1
        budget2024  NS ns2
        fluseason   NS ns1
        fluseason   NS ns2
        """,
    "example.": f"""
        ns.nic      A  {ROOT_SERVER}
        gov         NS ns1.gov
        gov         NS ns2.gov
        ns1.gov     A  {FIRST_SERVER}
        ns2.gov     A  {SECOND_SERVER}
        """,
    ".": f"""
        example.         NS ns.nic.example.
        ns.nic.example.  A  {ROOT_SERVER}
        """,
}
_UNSIGNED = frozenset({"health.gov.example.", "fluseason.gov.example."})
_TOP = ("example.", ".")


@dataclass(frozen=True, slots=True)
class NameSpace:
    """Every zone by its origin, and the trust anchor: the root's DS in zone-file form."""

    zones: Mapping[dns.name.Name, dns.zone.Zone]
    anchor: str


def build(now: datetime) -> NameSpace:
    """All zones with fresh ECDSA P-256 keys, signed from a day ago to thirty days ahead."""
    zones: dict[dns.name.Name, dns.zone.Zone] = {}
    delegations: dict[dns.name.Name, DS] = {}
    for origin, body in _TEXTS.items():
        zone = _parse(origin, body)
        for child, ds in delegations.items():
            if child.parent() == zone.origin:
                with zone.writer() as changes:
                    changes.add(child, TTL, ds)
        assert zone.origin is not None
        zones[zone.origin] = zone
        if origin not in _UNSIGNED:
            delegations[zone.origin] = _sign(zone, now)
    return NameSpace(zones, f". {TTL} IN DS {delegations[dns.name.root]}\n")


def _parse(origin: str, body: str) -> dns.zone.Zone:
    """An unsigned zone: SOA, NS, the hosts that belong right below its origin, and its own text."""
    servers = ("ns.nic.example.",) if origin in _TOP else ("ns1.gov.example.", "ns2.gov.example.")
    lines = (
        f"$ORIGIN {origin}",
        f"$TTL {TTL}",
        f"@ SOA {servers[0]} hostmaster.gov.example. 2026010101 7200 900 1209600 {TTL}",
        *(f"@ NS {server}" for server in servers),
        *(f"{host.name}. A {host.address}" for host in HOSTS if host.name.partition(".")[2] + "." == origin),
        *(line.strip() for line in body.strip().splitlines()),
    )
    return dns.zone.from_text("\n".join(lines) + "\n", origin=origin, relativize=False)


def _sign(zone: dns.zone.Zone, now: datetime) -> DS:
    """Signs with one combined key and returns the DS for the parent."""
    key = ec.generate_private_key(ec.SECP256R1())
    public: DNSKEY = dns.dnssec.make_dnskey(key.public_key(), Algorithm.ECDSAP256SHA256, _ZONE_KEY_AND_SEP)
    assert zone.origin is not None
    dns.dnssec.sign_zone(
        zone,
        keys=[(key, public)],
        dnskey_ttl=TTL,
        inception=now - timedelta(days=1),
        expiration=now + _SIGNED_FOR,
    )
    return dns.dnssec.make_ds(zone.origin, public, DSDigest.SHA256)
