"""The range's name servers as dnspython and dig see them; signatures are validated from the trust anchor down."""

from __future__ import annotations

import socket
import struct
import subprocess

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone
import pytest

from posture.range.layout import FIRST_SERVER, RESOLVER, ROOT_SERVER, SECOND_SERVER
from tests.lab import need
from tests.range.standing import Standing

Keys = dict[dns.name.Name, dns.node.Node | dns.rdataset.Rdataset]

IN = dns.rdataclass.IN
FINANCE = "finance.gov.example."
HEALTH = "health.gov.example."


def ask(
    standing: Standing, name: str, rdtype: str, *, at: str = RESOLVER, dnssec: bool = False, tcp: bool = False
) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, use_edns=0, want_dnssec=dnssec)
    query.flags |= dns.flags.CD
    port = standing.practice.resolver[1] if at == RESOLVER else standing.server(at)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, at, port=port, timeout=10)


def signed_set(reply: dns.message.Message, name: str, rdtype: str) -> tuple[dns.rrset.RRset, dns.rrset.RRset]:
    owner, kind = dns.name.from_text(name), dns.rdatatype.from_text(rdtype)
    section = reply.answer or reply.authority
    return (
        reply.find_rrset(section, owner, IN, kind),
        reply.find_rrset(section, owner, IN, dns.rdatatype.RRSIG, kind),
    )


def keys_from_the_anchor(standing: Standing, zone: str) -> Keys:
    """The zone's DNSKEY set, reached by validating every step from the trust anchor."""
    anchor = dns.zone.from_text(standing.practice.trust_anchor, origin=".", check_origin=False)
    ds_set = anchor.get_rrset(dns.name.root, "DS")
    path = [
        dns.name.root,
        *reversed([dns.name.Name(dns.name.from_text(zone).labels[i:]) for i in range(zone.count("."))]),
    ]
    trusted: Keys = {}
    for origin in path:
        text = origin.to_text()
        if trusted:
            ds_set, signature = signed_set(ask(standing, text, "DS", dnssec=True), text, "DS")
            dns.dnssec.validate(ds_set, signature, trusted)
        keys, signature = signed_set(ask(standing, text, "DNSKEY", dnssec=True), text, "DNSKEY")
        assert ds_set is not None
        assert any(dns.dnssec.make_ds(origin, key, ds.digest_type) == ds for key in keys for ds in ds_set)
        dns.dnssec.validate(keys, signature, {origin: keys})
        trusted = {origin: keys}
    return trusted


@pytest.mark.parametrize("zone", [FINANCE, "budget2024.gov.example."])
def test_signed_zones_validate_from_the_anchor(standing: Standing, zone: str) -> None:
    keys = keys_from_the_anchor(standing, zone)
    records, signature = signed_set(ask(standing, zone, "MX", dnssec=True), zone, "MX")

    dns.dnssec.validate(records, signature, keys)


def test_every_denial_of_a_signed_zone_is_proved(standing: Standing) -> None:
    keys = keys_from_the_anchor(standing, FINANCE)
    nothing = ask(standing, "nothing.finance.gov.example", "A", dnssec=True)
    no_data = ask(standing, "portal.finance.gov.example", "AAAA", dnssec=True)

    for reply in (nothing, no_data):
        proofs = [records for records in reply.authority if records.rdtype == dns.rdatatype.NSEC]
        assert proofs
        for records in proofs:
            dns.dnssec.validate(*signed_set(reply, records.name.to_text(), "NSEC"), keys)
    assert (nothing.rcode(), no_data.rcode()) == (dns.rcode.NXDOMAIN, dns.rcode.NOERROR)
    covered = dns.name.from_text("nothing.finance.gov.example")
    assert any(r.name < covered < r[0].next for r in nothing.authority if r.rdtype == dns.rdatatype.NSEC)
    assert any(r.name == dns.name.from_text(FINANCE) for r in nothing.authority if r.rdtype == dns.rdatatype.NSEC)


def test_the_parent_proves_that_the_health_zone_has_no_ds(standing: Standing) -> None:
    keys = keys_from_the_anchor(standing, "gov.example.")
    reply = ask(standing, HEALTH, "DS", dnssec=True)
    proof, signature = signed_set(reply, HEALTH, "NSEC")

    dns.dnssec.validate(proof, signature, keys)
    assert reply.answer == []
    assert " DS" not in proof[0].to_text()
    assert ask(standing, HEALTH, "DNSKEY", dnssec=True).answer == []


def test_an_empty_non_terminal_is_no_nxdomain(standing: Standing) -> None:
    assert ask(standing, "nic.example", "A").rcode() == dns.rcode.NOERROR
    assert ask(standing, "nix.example", "A").rcode() == dns.rcode.NXDOMAIN


def test_the_resolver_recurses_and_follows_aliases_across_the_answer(standing: Standing) -> None:
    reply = ask(standing, "www.finance.gov.example", "A")

    assert [records.rdtype for records in reply.answer] == [dns.rdatatype.CNAME, dns.rdatatype.A]
    assert reply.answer[1][0].address == "127.0.20.11"
    assert (reply.flags & dns.flags.RA, reply.flags & dns.flags.AA, reply.flags & dns.flags.AD) == (dns.flags.RA, 0, 0)


def test_signatures_come_only_when_asked_for_and_flags_are_echoed(standing: Standing) -> None:
    plain = ask(standing, FINANCE, "SOA")
    signed = ask(standing, FINANCE, "SOA", dnssec=True)

    assert [len(plain.answer), len(signed.answer)] == [1, 2]
    assert [reply.ednsflags & dns.flags.DO for reply in (plain, signed)] == [0, dns.flags.DO]
    assert signed.flags & dns.flags.CD


def test_udp_and_tcp_say_the_same(standing: Standing) -> None:
    for name, rdtype in ((FINANCE, "DNSKEY"), ("nothing.gov.example", "A"), (HEALTH, "TXT")):
        over_udp, over_tcp = (ask(standing, name, rdtype, dnssec=True, tcp=tcp) for tcp in (False, True))
        assert (over_udp.answer, over_udp.authority) == (over_tcp.answer, over_tcp.authority)


def test_what_does_not_fit_is_truncated_and_whole_over_tcp(standing: Standing) -> None:
    query = dns.message.make_query("nothing.finance.gov.example", "A", use_edns=0, payload=512, want_dnssec=True)
    port = standing.practice.resolver[1]
    short = dns.query.udp(query, RESOLVER, port=port, timeout=10)
    whole = dns.query.tcp(query, RESOLVER, port=port, timeout=10)

    assert short.flags & dns.flags.TC
    assert not short.authority
    assert not whole.flags & dns.flags.TC
    assert whole.authority


@pytest.mark.parametrize("tcp", [False, True])
def test_authoritative_servers_answer_for_their_zones(standing: Standing, tcp: bool) -> None:
    for address, zone in (
        (FIRST_SERVER, FINANCE),
        (FIRST_SERVER, HEALTH),
        (SECOND_SERVER, FINANCE),
        (ROOT_SERVER, "."),
    ):
        reply = ask(standing, zone, "SOA", at=address, tcp=tcp)
        assert reply.flags & dns.flags.AA
        assert not reply.flags & dns.flags.RA
        assert reply.answer


@pytest.mark.parametrize("tcp", [False, True])
def test_the_second_server_is_lame_for_the_health_zone_only(standing: Standing, tcp: bool) -> None:
    reply = ask(standing, HEALTH, "SOA", at=SECOND_SERVER, tcp=tcp)

    assert reply.rcode() == dns.rcode.REFUSED
    assert not reply.answer
    assert ask(standing, "fluseason.gov.example", "SOA", at=SECOND_SERVER, tcp=tcp).flags & dns.flags.AA


def test_authoritative_servers_do_not_recurse(standing: Standing) -> None:
    assert ask(standing, "elsewhere.test", "A", at=FIRST_SERVER).rcode() == dns.rcode.REFUSED


def test_a_parent_refers_with_ds_and_glue(standing: Standing) -> None:
    reply = ask(standing, FINANCE, "SOA", at=ROOT_SERVER, dnssec=True)

    assert not reply.flags & dns.flags.AA
    assert [records.rdtype for records in reply.authority] == [
        dns.rdatatype.NS,
        dns.rdatatype.DS,
        dns.rdatatype.RRSIG,
    ]
    assert reply.authority[0].name == dns.name.from_text("gov.example.")
    assert sorted(records[0].address for records in reply.additional) == [FIRST_SERVER, SECOND_SERVER]


def test_only_the_health_zone_is_given_away_and_only_by_the_first_server(standing: Standing) -> None:
    dig = need("dig", "bind9-dnsutils")

    def transfer(zone: str, address: str) -> str:
        port = standing.practice.resolver[1] if address == RESOLVER else standing.server(address)
        command = [dig, f"@{address}", "-p", str(port), "+tries=1", zone, "AXFR"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout

    assert "XFR size: 13 records" in transfer(HEALTH, FIRST_SERVER)
    for zone, address in ((FINANCE, FIRST_SERVER), (HEALTH, SECOND_SERVER), (HEALTH, RESOLVER)):
        assert "Transfer failed" in transfer(zone, address)


def test_a_transfer_ends_with_the_soa_that_began_it(standing: Standing) -> None:
    """dnspython's reader of transfers insists on it."""
    where = (FIRST_SERVER, standing.server(FIRST_SERVER))
    copy = dns.zone.Zone(HEALTH, relativize=False)
    dns.query.inbound_xfr(where[0], copy, port=where[1], timeout=10)

    assert len(copy.nodes) == 8


@pytest.mark.parametrize(
    "wire",
    [b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00garbage", b"\x12\x34\x01\x00" + bytes(8)],
    ids=["bad question", "no question"],
)
def test_malformed_questions_get_a_format_error(standing: Standing, wire: bytes) -> None:
    address, port = standing.practice.resolver
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(wire, (address, port))
        reply = client.recv(512)

    assert reply[:2] == b"\x12\x34"
    assert reply[3] & 15 == dns.rcode.FORMERR


def test_nonsense_gets_no_reply_and_does_not_stop_the_server(standing: Standing) -> None:
    address, port = standing.practice.resolver
    response_bit = struct.pack("!HHHHHH", 7, 0x8000, 1, 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        for wire in (b"", b"x", response_bit):
            client.sendto(wire, (address, port))
        client.sendto(dns.message.make_query(FINANCE, "SOA", id=4242).to_wire(), (address, port))
        first = client.recv(512)

    assert int.from_bytes(first[:2], "big") == 4242


@pytest.mark.parametrize(
    ("zone", "rdtype", "text"),
    [
        (FINANCE, "TXT", '"v=spf1 mx -all"'),
        (HEALTH, "TXT", '"v=spf1 ip4:127.0.20.23 ?all"'),
        ("_dmarc." + HEALTH, "TXT", '"v=DMARC1; p=none; rua=mailto:postmaster@health.gov.example"'),
        ("budget2024.gov.example.", "MX", "0 ."),
        (FINANCE, "MX", "10 mail.finance.gov.example."),
    ],
)
def test_the_zones_say_what_is_planted(standing: Standing, zone: str, rdtype: str, text: str) -> None:
    (records,) = ask(standing, zone, rdtype).answer

    assert [record.to_text() for record in records] == [text]


@pytest.mark.parametrize("name", [HEALTH, "gov.example.", "example.", ".", "fluseason.gov.example."])
def test_no_caa_above_the_health_zone(standing: Standing, name: str) -> None:
    assert ask(standing, name, "CAA").answer == []
