"""The zones of the DNS lab: good and bad ones, as zone files."""

from __future__ import annotations

from datetime import UTC, datetime

import dns.dnssec
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm, DSDigest

SOA = "@ 60 IN SOA ns1.gov.test. hostmaster.gov.test. 1 7200 900 1209600 60\n@ 60 IN NS ns1.gov.test.\n"

ROOT = SOA + "test. IN NS ns1.gov.test.\n"
TEST = (
    SOA
    + "gov IN NS ns1.gov.test.\n"
    + "bare IN NS ns1.gov.test.\n"
    + 'bare IN CAA 0 issue "never-asked.test"\n'
    + '_dmarc.psd IN TXT "v=DMARC1; p=reject; psd=y"\n'
)
GOV = (
    SOA
    + "".join(f"{name} IN NS ns1.gov.test.\n" for name in ("good", "island", "plain"))
    + """
ns1 IN A 198.51.100.53
ns2 IN A 203.0.113.53
ns2 IN AAAA 2001:db8::53
alias IN CNAME ns1
text IN TXT "hello"
@ IN CAA 0 issue "ca.test"
@ IN CAA 0 iodef "mailto:soc@gov.test"
"""
)
GOOD = (
    SOA
    + """
@ IN NS ns2.gov.test.
@ IN MX 20 mx2
@ IN MX 10 mx1
@ IN A 198.51.100.7
@ IN TXT "v=spf1 mx in" "clude:_spf.good.gov.test -all"
@ IN TXT "hello=world"
_spf IN TXT "v=spf1 ip4:198.51.100.0/24 ?all"
_dmarc IN TXT "v=DMARC1; p=reject; rua=mailto:d@good.gov.test"
_dmarc IN TXT "unrelated"
mx1 IN A 198.51.100.25
mx1 IN AAAA 2001:db8::25
mx2 IN A 203.0.113.25
www IN CNAME web
web IN CAA 128 issue ";"
"""
)
ISLAND = SOA + "@ IN CDS 4711 13 2 " + "AB" * 32 + "\n"
PLAIN = (
    SOA
    + """
@ IN NS gone.gov.test.
@ IN NS alias.gov.test.
@ IN NS text.gov.test.
@ IN NS ns.broken.test.
@ IN MX 0 .
@ IN TXT "v=spf1 -all"
@ IN TXT "v=spf1 mx -all"
caa IN CAA 0 issue "plain.test"
; mail names that lead nowhere
mail IN MX 10 198.51.100.25.
mail IN MX 20 gone
mail IN MX 30 aliased
mail IN MX 40 text.gov.test.
mail IN MX 50 mx.broken.test.
aliased IN CNAME mx1.good.gov.test.
implicit IN A 198.51.100.8
; SPF
voids IN TXT "v=spf1 a:gone.plain.gov.test mx:text.gov.test exists:gone.plain.gov.test exists:%{i}.x.test ptr -all"
loop IN TXT "v=spf1 include:loop2.plain.gov.test -all"
loop2 IN TXT "v=spf1 include:loop.plain.gov.test include:%{d} -all"
redirected IN TXT "v=spf1 a:implicit.plain.gov.test redirect=_spf.good.gov.test"
broken IN TXT "v=spf1 include:spf.broken.test include:text.gov.test a:x..y.test -all"
old IN SPF "v=spf1 -all"
invalid IN TXT "v=spf1 include:_spf.good.gov.test mistake"
many IN TXT "v=spf1 mx:fifteen.plain.gov.test -all"
; DMARC
_dmarc.twice IN TXT "v=DMARC1; p=none"
_dmarc.twice IN TXT "v=DMARC1; p=reject"
_dmarc IN TXT "v=DMARC1; p=quarantine"
_dmarc.meant IN TXT "v=dmarc1; p=reject"
"""
    + "".join(
        f'chain{n} IN TXT "v=spf1 a:implicit.plain.gov.test include:chain{n + 1}.plain.gov.test -all"\n'
        for n in range(12)
    )
    + "".join(f"fifteen IN MX 10 m{n}.plain.gov.test.\n" for n in range(15))
)
BARE = SOA

_SIGNED = {"gov.test": GOV, "good.gov.test": GOOD, "island.gov.test": ISLAND}
_PLAIN = {".": ROOT, "test": TEST, "plain.gov.test": PLAIN, "bare.test": BARE}


def zone_files() -> dict[str, str]:
    """Zone name -> zone file. gov.test vouches for good.gov.test and not for island.gov.test."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in _SIGNED}
    good = dns.dnssec.make_dnskey(keys["good.gov.test"].public_key(), Algorithm.ECDSAP256SHA256, flags=257)
    ds = dns.dnssec.make_ds(dns.name.from_text("good.gov.test"), good, DSDigest.SHA256)
    files = dict(_PLAIN)
    for name, text in _SIGNED.items():
        more = f"good IN DS {ds.to_text()}\n" if name == "gov.test" else ""  # type: ignore[no-untyped-call]  # dnspython leaves it untyped
        files[name] = _sign(name, text + more, keys[name])
    return files


def _sign(name: str, text: str, key: ec.EllipticCurvePrivateKey) -> str:
    zone = dns.zone.from_text("$TTL 60\n" + text, name, relativize=False)
    dnskey = dns.dnssec.make_dnskey(key.public_key(), Algorithm.ECDSAP256SHA256, flags=257)
    with zone.writer() as transaction:
        dns.dnssec.sign_zone(
            zone, transaction, keys=[(key, dnskey)], lifetime=86_400, inception=datetime.now(UTC), add_dnskey=True
        )
    return str(zone.to_text(relativize=False))
