"""A name server over zones held in memory: authoritative for some, or our resolver that knows them all (RFC 1034, 4035)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone

from posture.range.listening import Peer

Zones = Mapping[dns.name.Name, dns.zone.Zone]

_UDP_PAYLOAD = 1232
_LONGEST_CHAIN = 8
_TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)


@dataclass(slots=True)
class _Sections:
    """What goes into a reply. ``denied``: the chain ended at a name that does not exist."""

    answer: list[dns.rrset.RRset] = field(default_factory=list)
    authority: list[dns.rrset.RRset] = field(default_factory=list)
    additional: list[dns.rrset.RRset] = field(default_factory=list)
    denied: bool = False
    referral: bool = False


@dataclass(frozen=True, slots=True)
class NameServer:
    """``resolver``: recursion for everybody, by holding every zone. ``transfers``: origins that may be copied by anybody.

    Questions outside ``zones``, or at and below a name of ``refused``, are REFUSED: that is how a lame server looks.
    """

    zones: Zones
    resolver: bool = False
    transfers: frozenset[dns.name.Name] = frozenset()
    refused: frozenset[dns.name.Name] = frozenset()

    def answer_udp(self, wire: bytes) -> bytes | None:
        """The reply to one datagram, truncated to what the client takes; None when there is nothing to reply to."""
        query = _parse(wire)
        if not isinstance(query, dns.message.Message):
            return query
        reply = self._reply(query)
        most = min(max(query.payload, 512), _UDP_PAYLOAD)
        try:
            return reply.to_wire(max_size=most)
        except dns.exception.TooBig:
            short = _empty_reply(query)
            short.flags = reply.flags | dns.flags.TC
            return short.to_wire()

    async def serve_tcp(self, peer: Peer) -> None:
        """Questions with a length in front of each (RFC 7766), until the client leaves."""
        while True:
            (length,) = struct.unpack("!H", await peer.read_exactly(2))
            query = _parse(await peer.read_exactly(length))
            if query is None:
                return
            wire = query if isinstance(query, bytes) else self._reply(query, tcp=True).to_wire(max_size=65535)
            await peer.say(struct.pack("!H", len(wire)) + wire)

    def _reply(self, query: dns.message.Message, *, tcp: bool = False) -> dns.message.Message:
        reply = _empty_reply(query)
        if self.resolver:
            reply.flags |= dns.flags.RA
        question = query.question[0]
        if query.opcode() != dns.opcode.QUERY or question.rdtype == dns.rdatatype.ANY:
            reply.set_rcode(dns.rcode.NOTIMP)
        elif question.rdclass != dns.rdataclass.IN:
            reply.set_rcode(dns.rcode.REFUSED)
        elif question.rdtype in _TRANSFERS:
            self._transfer(question, reply, tcp=tcp)
        else:
            self._look_up(question, reply, dnssec=bool(query.ednsflags & dns.flags.DO))
        return reply

    def _transfer(self, question: dns.rrset.RRset, reply: dns.message.Message, *, tcp: bool) -> None:
        """AXFR in one message (RFC 5936): our zones are small."""
        zone = self.zones.get(question.name)
        if not tcp or zone is None or question.name not in self.transfers or question.rdtype != dns.rdatatype.AXFR:
            reply.set_rcode(dns.rcode.REFUSED)
            return
        soa = zone.find_rrset(question.name, dns.rdatatype.SOA)
        everything = [
            dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))
            for name, rdataset in zone.iterate_rdatasets()
            if rdataset.rdtype != dns.rdatatype.SOA
        ]
        reply.flags |= dns.flags.AA
        # A message keeps sets apart by name and type; the closing SOA must stay a record of its own.
        reply.answer = [soa, *everything, soa]

    def _look_up(self, question: dns.rrset.RRset, reply: dns.message.Message, *, dnssec: bool) -> None:
        zone = self._zone_of(question.name, question.rdtype)
        if zone is None:
            reply.set_rcode(dns.rcode.REFUSED)
            return
        sections = _Sections()
        self._follow(zone, question.name, question.rdtype, sections, dnssec=dnssec)
        reply.answer, reply.authority, reply.additional = sections.answer, sections.authority, sections.additional
        if sections.denied:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if not self.resolver and not sections.referral:
            reply.flags |= dns.flags.AA

    def _zone_of(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> dns.zone.Zone | None:
        """The deepest zone that holds the answer; a DS is held by the parent (RFC 4035 section 3.1.4.1)."""
        if any(name.is_subdomain(lame) for lame in self.refused):
            return None
        candidates = [origin for origin in _ancestors(name) if origin in self.zones]
        if rdtype == dns.rdatatype.DS and len(candidates) > 1 and candidates[0] == name:
            candidates = candidates[1:]
        return self.zones[candidates[0]] if candidates else None

    def _follow(
        self,
        zone: dns.zone.Zone,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        sections: _Sections,
        *,
        dnssec: bool,
    ) -> None:
        """The answer of a zone, and of the zones where its aliases lead."""
        for _ in range(_LONGEST_CHAIN):
            alias = _answer(zone, name, rdtype, sections, dnssec=dnssec)
            following = self._zone_of(alias, rdtype) if alias else None
            if alias is None or following is None:
                return
            zone, name = following, alias


def _answer(
    zone: dns.zone.Zone,
    name: dns.name.Name,
    rdtype: dns.rdatatype.RdataType,
    sections: _Sections,
    *,
    dnssec: bool,
) -> dns.name.Name | None:
    """Adds what one zone says of one name; returns the target when it says CNAME."""
    cut = _delegation(zone, name, rdtype)
    if cut is not None:
        _refer(zone, cut, sections, dnssec=dnssec)
        return None
    found = _sets(zone, name, rdtype, dnssec=dnssec)
    alias = [] if found else _sets(zone, name, dns.rdatatype.CNAME, dnssec=dnssec)
    sections.answer += found or alias
    if alias:
        target: dns.name.Name = alias[0][0].target
        return target
    if not found:
        _deny(zone, name, sections, dnssec=dnssec)
    return None


def _refer(zone: dns.zone.Zone, cut: dns.name.Name, sections: _Sections, *, dnssec: bool) -> None:
    """A referral: NS, DS or the proof that there is none, and glue (RFC 4035 section 3.1.4)."""
    servers = zone.find_rrset(cut, dns.rdatatype.NS)
    sections.referral = True
    sections.authority.append(servers)
    if dnssec:
        sections.authority += _sets(zone, cut, dns.rdatatype.DS, dnssec=True) or _sets(
            zone, cut, dns.rdatatype.NSEC, dnssec=True
        )
    for server in servers:
        sections.additional += _sets(zone, server.target, dns.rdatatype.A, dnssec=False)


def _deny(zone: dns.zone.Zone, name: dns.name.Name, sections: _Sections, *, dnssec: bool) -> None:
    """SOA and, when asked, the NSEC records that prove NODATA or NXDOMAIN (RFC 4035 section 3.1.3)."""
    assert zone.origin is not None
    sections.authority += _sets(zone, zone.origin, dns.rdatatype.SOA, dnssec=dnssec)
    sections.denied = not _exists(zone, name)
    if not dnssec or zone.get_rrset(zone.origin, dns.rdatatype.NSEC) is None:
        return
    proofs = [_covering(zone, name)]
    if sections.denied:
        encloser = next(ancestor for ancestor in _ancestors(name) if _exists(zone, ancestor))
        proofs.append(_covering(zone, dns.name.Name((b"*", *encloser.labels))))
    for owner in dict.fromkeys(proofs):
        sections.authority += _sets(zone, owner, dns.rdatatype.NSEC, dnssec=True)


def _sets(
    zone: dns.zone.Zone, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, *, dnssec: bool
) -> list[dns.rrset.RRset]:
    """The set of that name and type with its signatures when asked for, or nothing."""
    if rdtype == dns.rdatatype.RRSIG:
        return []
    records = zone.get_rrset(name, rdtype)
    if records is None:
        return []
    signatures = zone.get_rrset(name, dns.rdatatype.RRSIG, rdtype) if dnssec else None
    return [records] if signatures is None else [records, signatures]


def _delegation(zone: dns.zone.Zone, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> dns.name.Name | None:
    """The highest zone cut at or above ``name`` and below the apex; a DS at the cut itself is ours to answer."""
    cuts = [
        ancestor
        for ancestor in _ancestors(name)
        if ancestor != zone.origin
        and zone.origin is not None
        and ancestor.is_subdomain(zone.origin)
        and zone.get_rrset(ancestor, dns.rdatatype.NS) is not None
    ]
    if not cuts or (rdtype == dns.rdatatype.DS and cuts[-1] == name):
        return None
    return cuts[-1]


def _exists(zone: dns.zone.Zone, name: dns.name.Name) -> bool:
    """Whether the name owns records, or stands above one that does (an empty non-terminal)."""
    return any(owner.is_subdomain(name) for owner in zone.nodes)


def _covering(zone: dns.zone.Zone, name: dns.name.Name) -> dns.name.Name:
    """The owner of the NSEC at or before ``name`` in canonical order."""
    owners = [owner for owner, node in zone.nodes.items() if node.get_rdataset(zone.rdclass, dns.rdatatype.NSEC)]
    return max(owner for owner in owners if owner <= name)


def _ancestors(name: dns.name.Name) -> Iterator[dns.name.Name]:
    """The name itself, its parent, and so on up to the root."""
    yield name
    while name != dns.name.root:
        name = name.parent()
        yield name


def _parse(wire: bytes) -> dns.message.Message | bytes | None:
    """A query; or FORMERR for what is none but has a header; or None for what must not be answered."""
    if len(wire) < 12 or wire[2] & 0x80:
        return None
    try:
        query = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError, struct.error):
        return _format_error(wire)
    return query if len(query.question) == 1 else _format_error(wire)


def _format_error(wire: bytes) -> bytes:
    """A bare header: the id, QR set, the opcode, FORMERR."""
    return wire[:2] + bytes([0x80 | (wire[2] & 0x78), int(dns.rcode.FORMERR)]) + bytes(8)


def _empty_reply(query: dns.message.Message) -> dns.message.Message:
    """A reply without records that echoes the question, RD, CD and DO (RFC 3225 section 3)."""
    reply = dns.message.make_response(query)
    reply.flags |= query.flags & dns.flags.CD
    if query.edns >= 0:
        reply.use_edns(0, query.ednsflags & dns.flags.DO, _UDP_PAYLOAD)
    return reply
