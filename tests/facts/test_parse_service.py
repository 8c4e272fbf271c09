"""The readers of first bytes are total: no bytes make them raise, and none of them sees what is not there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.facts import parse_bson, parse_datastore, parse_http, parse_securitytxt
from posture.facts import parse_service as parse
from posture.facts.http import Hop

READERS = [
    parse.recognise,
    parse.rdp,
    parse.smb2,
    parse.smb1,
    parse.netbios,
    parse.msrpc,
    parse.postgresql,
    parse.mssql,
    parse.oracle,
    parse.cassandra,
]
BEGINNINGS = [
    b"",
    b"\x03\x00\x00\x13\x0e\xd0",
    b"\0\0\0\x40\xfeSMB",
    b"\0\0\0\x40\xffSMB\x72",
    b"\x04\x01\x00\x10",
    b"\x4a\0\0\0\x0a",
]
NAMES = st.sampled_from(["cluster_name", "version", "couchdb", "error", "userCtx", "type"])
DOCUMENTS = st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=120))
def test_any_bytes_are_read_without_an_exception(beginning: bytes, rest: bytes) -> None:
    for read in READERS:
        known = read(beginning + rest)
        assert known is None or (known.service and known.heard.isprintable())


@given(st.binary(max_size=200))
def test_any_message_of_mongodb_is_read_without_an_exception(data: bytes) -> None:
    parse_bson.scalars(data)
    message = parse_bson.op_msg(data)
    parse_bson.scalars(message)


def test_the_scalars_of_a_command_come_back() -> None:
    command = parse_bson.command("hello", parse_bson.document("filter", parse_bson.text("name", "-")), flag=True)

    assert parse_bson.scalars(parse_bson.op_msg(command)) == {"hello": 1, "flag": True, "$db": "admin"}


@given(st.binary(max_size=200) | DOCUMENTS.map(lambda value: json.dumps(value).encode()))
def test_any_body_of_a_data_store_is_read_without_an_exception(body: bytes) -> None:
    for status in (200, 401, 500):
        parse_datastore.introduces(status, (("www-authenticate", "Basic"),), body)
        for service in ("couchdb", "etcd", "influxdb"):
            parse_datastore.access(service, status, body)


@given(st.text(max_size=200))
def test_any_header_and_any_file_are_read_without_an_exception(text: str) -> None:
    parse_http.hsts_max_age(text)
    parse_http.hsts_max_age(f"max-age=1;{text}")
    parse_http.split_url(f"https://{text}")
    parse_http.frames_restricted([text], [text])
    parse_http.redirect_target(Hop("https://a.test/", 301, (("location", text),)))
    parse_securitytxt.parse(f"Expires: {text}\n{text}")


def test_a_long_header_costs_no_more_than_its_length() -> None:
    assert parse_http.hsts_max_age("max-age=1" + ";" * 8000) == 1
    assert parse_http.hsts_max_age("max-age=1;" + "\t " * 4000 + "=") is None
    assert parse_http.hsts_max_age('a="' + "\\" * 8000) is None


@pytest.mark.parametrize("data", [b"login: ", b"Welcome to the BBS\r\n", b"\xff\xff\xff", b"220 ", b"5.7 hello"])
def test_words_alone_prove_no_protocol(data: bytes) -> None:
    assert parse.recognise(data) is None


def test_equal_pages_have_equal_headers_whatever_nonce_they_carry() -> None:
    policy = "script-src 'nonce-{}'; frame-ancestors 'none'"

    assert parse_http.steady("content-security-policy", policy.format("a1")) == parse_http.steady(
        "content-security-policy", policy.format("b2")
    )
    assert parse_http.steady("location", "https://a.test/x?state=1#y") == "https://a.test/x"
