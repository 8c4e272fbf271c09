"""Whatever comes over the wire, in TLS, DNS and certificates, is read, or refused with the parser's own error and no other."""

from __future__ import annotations

from datetime import UTC, datetime

import dns.message
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.checks.tls import x509
from posture.facts.parse_x509 import Malformed, certificate
from posture.model import NotSeen
from posture.net.resolver import parse_message
from posture.net.tls import trust_store, verifies
from posture.probes.tls import hello, records
from posture.probes.tls.records import CodecError
from tests.checks.tls.pki import MIDDLE, ROOT, issue
from tests.lab.hostile_certificates import BY_HAND, SHOWN

MANY = settings(max_examples=300, deadline=None)

# ---- TLS

tls_bytes = st.one_of(
    st.binary(max_size=400),
    st.lists(
        st.builds(
            lambda kind, version, body: bytes([kind]) + version.to_bytes(2) + len(body).to_bytes(2) + body,
            st.sampled_from([20, 21, 22, 23, 24]),
            st.sampled_from([0x0300, 0x0301, 0x0303, 0x0304]),
            st.one_of(
                st.binary(max_size=60),
                st.builds(
                    lambda kind, body: records.message(kind, body),
                    st.sampled_from([2, 11, 12, 14]),
                    st.binary(max_size=90),
                ),
            ),
        ),
        max_size=4,
    ).map(b"".join),
)
# A ServerHello whose random, session and extensions are anybody's.
hellos = st.builds(
    lambda version, session, rest: version.to_bytes(2) + bytes(32) + records.vector(1, session) + rest,
    st.integers(0, 0xFFFF),
    st.binary(max_size=40),
    st.binary(max_size=60),
)


@MANY
@given(data=tls_bytes, cut=st.integers(0, 400))
def test_a_flight_of_records_is_read_or_refused_however_it_is_cut(data: bytes, cut: int) -> None:
    flight = records.Flight()
    try:
        flight.feed(data[:cut])
        flight.feed(data[cut:])
        for message in flight.messages:
            hello.server_hello(message)
            hello.certificate_chain(message)
    except CodecError:
        return


@MANY
@given(body=st.one_of(hellos, st.binary(max_size=200)), kind=st.sampled_from([2, 11]))
def test_messages_of_a_handshake_are_read_or_refused(body: bytes, kind: int) -> None:
    for parse in (hello.server_hello, hello.certificate_chain):
        try:
            parse(records.Message(kind, body))
        except CodecError:
            continue


@MANY
@given(
    data=st.one_of(st.binary(max_size=100), st.binary(max_size=60).map(lambda tail: b"\x80\x30\x04\0\x01\0\x02" + tail))
)
def test_ssl2_is_read_or_refused(data: bytes) -> None:
    try:
        hello.ssl2_server_hello(data)
    except CodecError:
        return


# ---- DNS

QUERY = dns.message.make_query("www.gov.example", "TXT", use_edns=0)
_HEAD = QUERY.to_wire()


@MANY
@given(
    tail=st.binary(max_size=200),
    counts=st.tuples(*[st.sampled_from([0, 1, 2, 3, 65535])] * 3),
    rdtype=st.sampled_from([1, 2, 5, 6, 15, 16, 28, 41, 43, 46, 47, 48, 50, 52, 64, 257, 65280]),
)
def test_dns_messages_are_read_or_malformed(tail: bytes, counts: tuple[int, int, int], rdtype: int) -> None:
    question = _HEAD[12 : _HEAD.index(b"\0", 12) + 5]
    head = _HEAD[:2] + b"\x81\x80\x00\x01" + b"".join(count.to_bytes(2) for count in counts) + question
    record = b"\xc0\x0c" + rdtype.to_bytes(2) + b"\0\1\0\0\0\1" + len(tail).to_bytes(2) + tail
    for wire in (head + record, head + tail, tail):
        try:
            message = parse_message(QUERY, wire)
            for rrset in message.answer:
                for rdata in rrset:
                    rdata.to_digestable()
        except NotSeen:
            continue


# ---- certificates

LEAF = issue("www.gov.example", MIDDLE, names=("www.gov.example", "*.gov.example", "198.51.100.7"))
ROOTS = ROOT.cert.public_bytes(Encoding.PEM)
AT = datetime(2026, 6, 1, tzinfo=UTC)


def read_everything(der: bytes) -> None:
    """All that rules ask of a certificate."""
    try:
        read = certificate(der)
        x509.name_of(read)
        x509.issuer_of(read)
        x509.path(x509.readable((der, MIDDLE.der)))
        x509.trust((der, MIDDLE.der), ROOTS, AT)
        found = x509.names(read)
    except Malformed:
        return
    x509.matches(found, "www.gov.example")


STORE = trust_store(ROOTS)


@settings(max_examples=1500, deadline=None)
@given(place=st.integers(0, len(LEAF.der) - 1), new=st.binary(min_size=1, max_size=4))
def test_a_certificate_with_any_bytes_exchanged_is_read_or_malformed(place: int, new: bytes) -> None:
    altered = LEAF.der[:place] + new + LEAF.der[place + len(new) :]
    read_everything(altered)
    verifies((altered, MIDDLE.der), "www.gov.example", STORE, AT)


@MANY
@given(data=st.binary(max_size=300), length=st.integers(0, 300))
def test_anything_in_the_place_of_a_certificate_is_read_or_malformed(data: bytes, length: int) -> None:
    read_everything(data)
    read_everything(LEAF.der[:length])


@pytest.mark.parametrize("name", sorted([*SHOWN, *BY_HAND]))
def test_certificates_of_the_lab_are_read_or_malformed(name: str) -> None:
    for der in SHOWN[name]()[0] if name in SHOWN else BY_HAND[name]():
        read_everything(der)
