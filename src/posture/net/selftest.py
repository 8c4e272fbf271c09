"""What opens every run: can what we are about to see be believed? Resolver, DNSSEC, clock, IPv6, point of view."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ed25519

from posture.door import Reply, Resolver
from posture.model import NotSeen
from posture.net.anchors import TrustAnchors, load_anchors
from posture.net.guard import granted

_IPV6_ROUTES = Path("/proc/net/ipv6_route")
_REJECT = 0x0200
_ROUTE_PROBE = "2001:500:2::c"  # a root name server; connecting a datagram socket sends nothing


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a run can rely on.

    ``resolver_answers``: our resolver knows the root. ``passes_dnssec``: it hands signatures on (DO, CD).
    ``validates``: the root's keys verify against the trust anchors. ``clock_offset_ok``: they do so now, not only at
    another time. ``private_view``: a public name has a private address from here. ``notes`` say so in words.
    """

    resolver_answers: bool
    passes_dnssec: bool
    validates: bool
    clock_offset_ok: bool
    ipv6: bool
    notes: tuple[str, ...] = ()
    private_view: bool = False

    @property
    def quarantine(self) -> str | None:
        """Why nothing of this run may be believed; None when it may."""
        if not self.resolver_answers:
            return "our resolver does not answer"
        if not self.clock_offset_ok:
            return "this machine's clock is wrong"
        return None


async def selftest(
    resolver: Resolver,
    *,
    trust_anchor: Path | None,
    at: datetime,
    names: Iterable[str] = (),
    route: Callable[[], bool] | None = None,
) -> SelfTest:
    """Looks at our own side only.

    Args:
        trust_anchor: file of the root's DS or DNSKEY records; None for the shipped ones.
        at: now (UTC).
        names: public names whose addresses tell from where we look.
        route: whether there is a way to the IPv6 Internet; :func:`has_ipv6_route` when left out.

    Raises:
        ConfigurationError: the trust anchor file cannot be used.
    """
    anchors = load_anchors(trust_anchor)
    notes: list[str] = []
    if not dnssec_works():
        notes.append("the installed dnspython and cryptography cannot validate DNSSEC together; see 'posture doctor'")
    soa, keys = await asyncio.gather(_answer(resolver, "SOA", notes), _answer(resolver, "DNSKEY", notes))
    signed = keys is not None and keys.signed
    if keys is not None and not signed:
        notes.append("our resolver takes the DNSSEC signatures away: DNSSEC cannot be judged")
    valid, clock_ok = _validate(keys, anchors, at, notes) if keys is not None and signed else (False, True)
    inside = [note for note in await asyncio.gather(*(_inside(resolver, name) for name in names)) if note]
    ipv6 = (route or has_ipv6_route)()
    if not ipv6:
        notes.append("this machine has no way to the IPv6 Internet")
    return SelfTest(
        resolver_answers=soa is not None or keys is not None,
        passes_dnssec=signed,
        validates=valid,
        clock_offset_ok=clock_ok,
        ipv6=ipv6,
        notes=(*notes, *inside),
        private_view=bool(inside),
    )


async def _answer(resolver: Resolver, rdtype: str, notes: list[str]) -> Reply | None:
    """The root's records of a type; None, with a note, when there was no usable answer."""
    try:
        reply = await resolver.ask(".", rdtype)
    except NotSeen as fault:
        notes.append(f"our resolver, asked for the root's {rdtype}: {fault.reason} ({fault.detail})")
        return None
    if reply.status != "noerror":
        notes.append(f"our resolver, asked for the root's {rdtype}: {reply.status}")
        return None
    return reply


def _validate(keys: Reply, anchors: TrustAnchors, at: datetime, notes: list[str]) -> tuple[bool, bool]:
    """(valid now, clock believable) of the root's DNSKEY set."""
    message: dns.message.Message = keys.message
    offered = _rrset(message, dns.rdatatype.DNSKEY, dns.rdatatype.NONE)
    signatures = _rrset(message, dns.rdatatype.RRSIG, dns.rdatatype.DNSKEY)
    trusted = anchors.trusted(offered)
    if not trusted:
        notes.append("no key of the root matches a trust anchor: DNSSEC is not judged; look at --trust-anchor")
        return False, True
    if _verifies(offered, signatures, trusted, at.timestamp()):
        return True, True
    for signature in signatures:
        middle = (signature.inception + signature.expiration) / 2
        if _verifies(offered, signatures, trusted, middle):
            span = " to ".join(_day(instant) for instant in (signature.inception, signature.expiration))
            notes.append(
                f"the root's signature holds from {span}, this machine says {_day(at.timestamp())}: set its clock"
            )
            return False, False
    notes.append("the root's keys do not verify against the trust anchor: DNSSEC is not judged")
    return False, True


def _rrset(
    message: dns.message.Message, rdtype: dns.rdatatype.RdataType, covers: dns.rdatatype.RdataType
) -> dns.rrset.RRset:
    return message.find_rrset(dns.message.ANSWER, dns.name.root, dns.rdataclass.IN, rdtype, covers)


def _verifies(offered: dns.rrset.RRset, signatures: dns.rrset.RRset, keys: dns.rrset.RRset, at: float) -> bool:
    try:
        dns.dnssec.validate(offered, signatures, {offered.name: keys}, now=at)
    except (dns.exception.DNSException, ImportError):
        return False
    return True


def _day(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d")


async def _inside(resolver: Resolver, name: str) -> str:
    """A note when a public name has a private address as seen from here, else ""."""
    try:
        addresses = await resolver.addresses(name)
    except NotSeen:
        return ""
    private = [address for address in addresses if ipaddress.ip_address(address).is_private]
    return f"{name} is {private[0]} from here: you look from inside" if private else ""


def has_ipv6_route() -> bool:
    """Whether the kernel knows a way to the IPv6 Internet. Sends nothing."""
    if _IPV6_ROUTES.exists():
        return any(map(_is_default_route, _IPV6_ROUTES.read_text("ascii").splitlines()))
    try:
        with granted(_ROUTE_PROBE, 53), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((_ROUTE_PROBE, 53))
    except OSError:
        return False
    return True


def _is_default_route(line: str) -> bool:
    """Of /proc/net/ipv6_route: destination, prefix length, ..., flags, device."""
    words = line.split()
    if len(words) < 10 or words[9] == "lo":
        return False
    whole = words[1] == "00" or (words[0].startswith("2") and words[1] == "03")
    return whole and not int(words[8], 16) & _REJECT


def dnssec_works() -> bool:
    """Whether the installed dnspython and cryptography can verify a signature, and refuse a wrong one.

    They can be installed in versions that cannot, and a scanner that does not notice calls a whole State unsigned.
    """
    name = dns.name.from_text("selftest.invalid.")
    now = datetime.now(UTC)
    try:
        private = ed25519.Ed25519PrivateKey.generate()
        key = dns.dnssec.make_dnskey(private.public_key(), dns.dnssectypes.Algorithm.ED25519)
        keys = dns.rrset.from_rdata(name, 60, key)
        good = dns.rrset.from_text(name, 60, "IN", "TXT", "posture")
        wrong = dns.rrset.from_text(name, 60, "IN", "TXT", "imposture")
        signature = dns.dnssec.sign(good, private, name, key, inception=now.timestamp() - 60, lifetime=3600)
    except (ImportError, dns.exception.DNSException):
        return False
    signatures = dns.rrset.from_rdata(name, 60, signature)
    at = now.timestamp()
    return _verifies(good, signatures, keys, at) and not _verifies(wrong, signatures, keys, at)
