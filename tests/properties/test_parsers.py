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

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from posture.audit.chain import Broken, Chain
from posture.audit.search import Asked, search
from posture.audit.verify import survey
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
from posture.net.resolver import parse_name
from posture.sshsig import SshsigError, parse_public_key, parse_signature
from posture.stop import parse as parse_stop
from tests.inventory.documents import GOOD
from tests.lab.misbehaviour import INJECTION

AT = datetime(2026, 6, 1, tzinfo=UTC)
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
