"""Whatever bytes arrive, a parser of ours answers, or raises its own error and no other."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.message
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from posture.audit.chain import Broken, Chain
from posture.audit.search import Asked, search
from posture.audit.verify import survey
from posture.checks.tls import x509
from posture.checks.tls.x509 import Malformed
from posture.errors import InventoryError, UsageError
from posture.facts import parse_bson, parse_datastore, parse_http, parse_securitytxt, parse_service
from posture.facts.http import Hop
from posture.facts.parse_caa import CaaError, parse_issuer
from posture.facts.parse_dmarc import DmarcError, is_dmarc, parse_dmarc, resembles_dmarc
from posture.facts.parse_spf import SpfError, expand, is_spf, parse_spf
from posture.facts.smtp import is_masked
from posture.inventory import load_inventory
from posture.inventory.sheet import import_sheet
from posture.model import NotSeen
from posture.net.location import parse_url
from posture.net.resolver import parse_message, parse_name
from posture.net.tls import trust_store, verifies
from posture.probes.tls import hello, records
from posture.probes.tls.records import CodecError
from posture.sshsig import SshsigError, parse_public_key, parse_signature
from posture.stop import parse as parse_stop
from tests.checks.tls.pki import MIDDLE, ROOT, issue
from tests.inventory.documents import GOOD
from tests.lab.hostile_certificates import BY_HAND, SHOWN
from tests.lab.misbehaviour import INJECTION

MANY = settings(max_examples=300, deadline=None)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Arbitrary text, and text made of what the grammars are made of: the second finds the way into their corners.
WORDS = (
    *(
        "v=spf1 ",
        "v=DMARC1;",
        "include:",
        "redirect=",
        "exp=",
        "ip4:",
        "ip6:",
        "a/",
        "mx//",
        "exists:",
        "ptr",
        "-all",
        "%{",
        "}",
    ),
    *(
        "p=",
        "sp=",
        "np=",
        "psd=",
        "pct=",
        "rua=mailto:",
        "reject",
        "none",
        ";",
        ":",
        "/",
        "=",
        "%",
        "%{s}",
        "%{l1r-}",
        "%{d999}",
    ),
    *(
        "max-age=",
        "includeSubDomains",
        "https://",
        "http://[",
        "::1]",
        "//",
        "@",
        "#",
        "?",
        "\\",
        '"',
        "'",
        "<",
        "\x00",
        "\r\n",
    ),
    *(
        "Contact:",
        "Expires: 2026-12-31T00:00:00Z",
        "Expires: 9999-99-99",
        "-----BEGIN PGP SIGNED MESSAGE-----",
        "- ",
        "frame-ancestors",
    ),
    *(
        "default-src 'none'",
        "0",
        "1",
        "255",
        "256",
        "33",
        "129",
        "99999999999999999999",
        "+1e9",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "a" * 70,
        ".",
        "..",
        " ",
        "\t",
    ),
)
texts = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(WORDS), max_size=14).map("".join),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), max_size=10).map("".join),
    st.binary(max_size=200).map(lambda data: data.decode("latin-1")),
)

TOTAL: dict[str, Callable[[str], Any]] = {
    "is_spf": is_spf,
    "is_dmarc": is_dmarc,
    "resembles_dmarc": resembles_dmarc,
    "is_masked": is_masked,
    "securitytxt": parse_securitytxt.parse,
    "split_url": parse_http.split_url,
    "host_of": parse_http.host_of,
    "without_query": parse_http.without_query,
    "hsts_max_age": parse_http.hsts_max_age,
    "nosniff": lambda text: parse_http.nosniff([text, text]),
    "frames_restricted": lambda text: parse_http.frames_restricted([text], [text]),
    "referrer_policy": lambda text: parse_http.referrer_policy([text]),
    "steady": lambda text: parse_http.steady("content-security-policy", text),
    "redirect_target": lambda text: parse_http.redirect_target(
        Hop("https://www.gov.example/", 302, (("location", text),))
    ),
    "redirect_from": lambda text: parse_http.redirect_target(Hop(text, 302, (("location", "/x"),))),
    "expand": lambda text: expand(text, "www.gov.example"),
}
OWN_ERROR: dict[str, tuple[Callable[[str], Any], type[Exception]]] = {
    "spf": (parse_spf, SpfError),
    "dmarc": (parse_dmarc, DmarcError),
    "caa": (parse_issuer, CaaError),
    "url": (parse_url, NotSeen),
    "dns name": (parse_name, NotSeen),
    "ssh key": (parse_public_key, SshsigError),
}


@pytest.mark.parametrize("name", sorted(TOTAL))
def test_readers_of_text_always_answer(name: str) -> None:
    @MANY
    @given(text=texts)
    @example(INJECTION.decode("latin-1"))
    def holds(text: str) -> None:
        TOTAL[name](text)

    holds()


@pytest.mark.parametrize("name", sorted(OWN_ERROR))
def test_parsers_of_text_raise_their_own_error_only(name: str) -> None:
    parse, error = OWN_ERROR[name]

    @MANY
    @given(text=texts)
    @example(INJECTION.decode("latin-1"))
    def holds(text: str) -> None:
        try:
            parse(text)
        except error:
            return

    holds()


# ---- bytes of services

PIECES = (
    *(
        b"SSH-2.0-",
        b"HTTP/1.1 200",
        b"220 ",
        b"220-",
        b"\r\n",
        b"\n",
        b"\x16\x03\x03",
        b"\x15\x03\x01\x00\x02",
        b"+PONG\r\n",
        b"-ERR",
    ),
    *(
        b"\xff\xfb\x01",
        b"\xff\xfa",
        b"\x03\x00\x00\x13\x0e",
        b"\xfeSMB",
        b"\xffSMB\x72",
        b"\x00\x00\x00\x40",
        b"\x82\x00",
        b"\x0a8.0\0",
    ),
    *(
        b"\x4a\0\0\0",
        b"\xff\xff\xff\x7f",
        b"\x05\x00\x0c\x03",
        b"\x84\x00\x00\x00\x02",
        b"VERSION 1.6\r\n",
        b'{"a":',
        b"]",
        b"\x00" * 20,
    ),
)
pieces = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=10).map(b"".join),
)
READERS: dict[str, Callable[[bytes], Any]] = {
    **{
        name: getattr(parse_service, name)
        for name in (
            *(
                "recognise",
                "telnet",
                "mysql",
                "tls",
                "redis",
                "memcached",
                "zookeeper",
                "rdp",
                "smb2",
                "smb1",
                "netbios",
            ),
            *("msrpc", "postgresql", "mssql", "oracle", "cassandra", "printable", "first_line"),
        )
    },
    "bson whole": parse_bson.whole,
    "bson scalars": parse_bson.scalars,
    "bson behind a head": lambda data: parse_bson.scalars(
        (21 + len(data)).to_bytes(4, "little") + bytes(8) + b"\xdd\x07" + data
    ),
    "bson in a message": lambda data: parse_bson.scalars(
        parse_bson.op_msg((5 + len(data)).to_bytes(4, "little") + data + b"\0")
    ),
    "datastore": lambda data: parse_datastore.introduces(200, (("x-elastic-product", data.decode("latin-1")),), data),
    "datastore access": lambda data: [parse_datastore.access(name, 200, data) for name in parse_datastore.ACCESS_PATHS],
    "datastore json": lambda data: parse_datastore.introduces(401, (), b'{"error":' + data + b"}"),
    "stop file": parse_stop,
    "stop file of ours": lambda data: parse_stop(b'{"schema": "posture-stop/1", "orders": [' + data + b"]}"),
}


@pytest.mark.parametrize("name", sorted(READERS))
def test_readers_of_bytes_always_answer(name: str) -> None:
    @MANY
    @given(data=pieces)
    @example(INJECTION)
    @example(b"[" * 100_000)
    @example(b'{"schema": "posture-stop/1", "orders": ' + b"[" * 50_000)
    def holds(data: bytes) -> None:
        READERS[name](data)

    holds()


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
        certificate = x509.certificate(der)
        x509.name_of(certificate)
        x509.issuer_of(certificate)
        x509.path(x509.readable((der, MIDDLE.der)))
        x509.trust((der, MIDDLE.der), ROOTS, AT)
        found = x509.names(certificate)
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


# ---- files of the operator's own


@FEW
@given(
    content=st.one_of(
        st.binary(max_size=300), texts.map(lambda text: f'format = "posture-inventory/1"\n{text}'.encode())
    )
)
@example(b"a = " + b"[" * 2000)
@example(b"\xef\xbb\xbf" + INJECTION)
def test_an_inventory_is_read_or_all_its_faults_are_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inventory.toml"
    path.write_bytes(content)
    try:
        load_inventory(path, at=AT)
    except InventoryError:
        return


@FEW
@given(
    content=st.one_of(
        st.binary(max_size=300), texts.map(lambda text: f"name,ports,roles\nwww.gov.example,{text}".encode())
    )
)
@example(b"name\n" + INJECTION)
@example(b'"' + b"a" * 200_000)
def test_a_sheet_is_read_or_all_its_faults_are_told(tmp_path: Path, content: bytes) -> None:
    into, sheet = tmp_path / "inventory.toml", tmp_path / "sheet.csv"
    into.write_text(GOOD, "utf-8")
    sheet.write_bytes(content)
    try:
        import_sheet(sheet, into)
    except (InventoryError, UsageError):
        return


armoured = st.binary(max_size=200).map(
    lambda body: (
        b"-----BEGIN SSH SIGNATURE-----\n" + base64.encodebytes(b"SSHSIG" + body) + b"-----END SSH SIGNATURE-----\n"
    )
)


@MANY
@given(data=st.one_of(st.binary(max_size=300), armoured))
def test_a_signature_is_read_or_refused(data: bytes) -> None:
    try:
        parse_signature(data)
    except SshsigError:
        return


LINES = st.lists(
    st.one_of(
        st.binary(max_size=120),
        st.builds(
            lambda seq, kind, rest: (
                b'{"seq":%d,"at":"2026-11-24T06:46:26.123Z","kind":"%s",' % (seq, kind) + rest + b"}"
            ),
            st.integers(0, 5),
            st.sampled_from([b"decision", b"close", b"start", b"end", b"order", b"checkpoint", b"torn", b"endpoint"]),
            st.one_of(st.binary(max_size=80), st.just(b'"hash":"' + b"0" * 64 + b'"')),
        ),
    ),
    max_size=6,
).map(b"\n".join)


@MANY
@given(data=LINES)
def test_an_audit_trail_is_read_or_broken_and_searched_all_the_same(data: bytes) -> None:
    with contextlib.suppress(Broken):
        list(Chain(io.BytesIO(data)))
    search(io.BytesIO(data), Asked(address=ip_address("198.51.100.7")))
    with contextlib.suppress(Broken):
        survey(io.BytesIO(data))
