"""DNSSEC trust anchors of the root: those shipped with posture, or a file of the operator's (RFC 4034, RFC 5011)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.name
import dns.rdatatype
import dns.rdtypes.ANY.DNSKEY
import dns.rdtypes.ANY.DS
import dns.rrset
import dns.zonefile

from posture.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """DS and DNSKEY records of the root that are believed without proof."""

    ds: tuple[dns.rdtypes.ANY.DS.DS, ...]
    keys: tuple[dns.rdtypes.ANY.DNSKEY.DNSKEY, ...]

    def trusted(self, offered: dns.rrset.RRset) -> dns.rrset.RRset:
        """The keys of a root DNSKEY set that an anchor vouches for; may be empty."""
        believed = dns.rrset.RRset(offered.name, offered.rdclass, dns.rdatatype.DNSKEY)
        for key in offered:
            if key in self.keys or any(_matches(ds, key) for ds in self.ds):
                believed.add(key, ttl=offered.ttl)
        return believed


def _matches(ds: dns.rdtypes.ANY.DS.DS, key: dns.rdtypes.ANY.DNSKEY.DNSKEY) -> bool:
    try:
        return bool(dns.dnssec.make_ds(dns.name.root, key, ds.digest_type, validating=True) == ds)
    except (dns.exception.DNSException, ValueError):  # such as a digest type that is not known
        return False


def parse_anchors(text: str, source: str) -> TrustAnchors:
    """DS or DNSKEY records of "." in zone-file form.

    Raises:
        ConfigurationError: none there, or not zone-file form; ``source`` names the file.
    """
    try:
        rrsets = dns.zonefile.read_rrsets(text, rdclass=None, default_ttl=0, origin=dns.name.root, relativize=False)
    except (dns.exception.DNSException, ValueError) as fault:
        raise ConfigurationError(
            f"{source} is not in zone-file form: {fault}. Give the root's DS or DNSKEY records, one a line."
        ) from fault
    records = [record for rrset in rrsets if rrset.name == dns.name.root for record in rrset]
    ds = tuple(record for record in records if record.rdtype == dns.rdatatype.DS)
    keys = tuple(record for record in records if record.rdtype == dns.rdatatype.DNSKEY)
    if not ds and not keys:
        raise ConfigurationError(
            f"{source} has no DS or DNSKEY record of the root. Give one a line, beginning with '.'."
        )
    return TrustAnchors(ds, keys)


def load_anchors(path: Path | None) -> TrustAnchors:
    """The anchors in a file, or the shipped ones.

    Raises:
        ConfigurationError: the file cannot be read or has no anchor.
    """
    if path is None:
        shipped = files("posture.net") / "root-anchors.ds"
        return parse_anchors(shipped.read_text("utf-8"), "root-anchors.ds")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError(
            f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}. Give a readable --trust-anchor."
        ) from fault
    return parse_anchors(text, str(path))
