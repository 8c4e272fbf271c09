"""The codec on its own: what a hello looks like, and that no bytes make a parser do anything but parse or say so."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.facts.suites import SSL2, TLS13, suites
from posture.probes.tls import hello as codec
from posture.probes.tls import suites as offers
from posture.probes.tls.flight import Exchange, certificate_status, key_exchange
from posture.probes.tls.hello import FULL, LEAN, Question, certificate_chain, client_hello, server_hello, sni
from posture.probes.tls.records import ALERT, HANDSHAKE, CodecError, Flight, Message, Reader, message, record, vector
from tests.lab import need

RANDOM = bytes(range(64))
ALL = (*offers.tls13(), *offers.ordinary())


def hello_of(question: Question, shape: codec.Shape = FULL) -> tuple[int, list[int], dict[int, bytes]]:
    """(legacy version, suites, extensions) of a hello, read back."""
    flight = Flight()
    flight.feed(client_hello(question, shape, RANDOM))
    (sent,) = flight.messages
    body = Reader(sent.body)
    version = body.number(2)
    body.take(32)
    body.vector(1)
    listed = body.vector(2)
    chosen = [listed.number(2) for _ in range(len(listed) // 2)]
    body.vector(1)
    extensions: dict[int, bytes] = {}
    if len(body):
        coded = body.vector(2)
        while len(coded):
            kind = coded.number(2)
            extensions[kind] = coded.vector(2).take_all()
    return version, chosen, extensions


def test_a_full_hello_of_tls13_is_what_middleboxes_know() -> None:
    question = Question(("TLS 1.3", "TLS 1.2"), ALL, "www.gov.example", ("h2", "http/1.1"))

    wire = client_hello(question, FULL, RANDOM)
    version, chosen, extensions = hello_of(question)

    assert wire[1:3] == b"\x03\x01"
    assert version == 0x0303
    assert tuple(chosen) == ALL
    assert extensions[0].endswith(b"www.gov.example")
    assert extensions[43] == b"\x04\x03\x04\x03\x03"
    assert extensions[51] == b"\x00\x00"
    assert extensions[16] == b"\x00\x0c\x02h2\x08http/1.1"
    assert b"\x11\xec" in extensions[10]
    assert len(wire) - 5 >= 512


def test_the_second_shape_differs_in_what_middleboxes_choke_on() -> None:
    question = Question(("TLS 1.3",), ALL, "www.gov.example", ("h2",))

    _, chosen, extensions = hello_of(question, LEAN)

    assert set(offers.tls13()) < set(chosen)
    assert {0xC02F, 0xC013, 0x009C, 0x002F} < set(chosen), "some of each kind"
    assert not {16, 21, 23} & set(extensions)
    assert extensions[51][:4] == b"\x00\x24\x00\x1d"
    assert b"\x11\xec" not in extensions[10]


@pytest.mark.parametrize("versions", [("TLS 1.3", "TLS 1.2"), ("TLS 1.2",), ("TLS 1.1", "TLS 1.0"), ("TLS 1.0",)])
def test_no_hello_is_of_the_length_on_which_balancers_hang(versions: tuple[str, ...]) -> None:
    question = Question(versions, ALL, "www.department.gov.example", ("h2", "http/1.1"))

    assert len(client_hello(question, FULL, RANDOM)) - 5 >= 512
    assert len(client_hello(question, LEAN, RANDOM)) - 5 < 256


def test_several_old_versions_are_listed_in_the_frame_of_tls12() -> None:
    version, _, extensions = hello_of(Question(("TLS 1.1", "TLS 1.0"), ALL))

    assert version == 0x0303
    assert extensions[43] == b"\x04\x03\x02\x03\x01"
    assert 51 not in extensions


def test_a_lean_hello_offers_nothing_that_a_server_without_parameters_may_stumble_over() -> None:
    _, chosen, _ = hello_of(Question(("TLS 1.2",), offers.ordinary()), LEAN)
    _, finite, _ = hello_of(Question(("TLS 1.2",), (0x009E, 0x0033)), LEAN)

    assert not {0x009E, 0x0033} & set(chosen)
    assert {0x009E, 0x0033} < set(finite)


@pytest.mark.parametrize(("end", "newer"), [(b"DOWNGRD\x01", True), (b"DOWNGRD\x00", False), (bytes(8), False)])
def test_the_mark_of_a_downgrade_is_read_where_it_means_tls13(end: bytes, newer: bool) -> None:
    def reply(version: int) -> Message:
        return Message(2, version.to_bytes(2) + bytes(24) + end + b"\0\xc0\x2f\0")

    assert server_hello(reply(0x0303)).speaks_13 is newer
    assert server_hello(reply(0x0302)).speaks_13 is False


@pytest.mark.parametrize("shape", [FULL, LEAN])
def test_the_curves_of_certificates_are_always_among_the_groups(shape: codec.Shape) -> None:
    _, _, extensions = hello_of(Question(("TLS 1.2",), ALL), shape)

    groups = Reader(extensions[10]).vector(2)
    assert {0x0017, 0x0018, 0x0019, 0x001D} <= {groups.number(2) for _ in range(len(groups) // 2)}


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::1"])
def test_an_address_is_never_a_server_name(address: str) -> None:
    assert sni(address) == ""
    assert sni("www.gov.example.") == "www.gov.example"
    assert 0 not in hello_of(Question(("TLS 1.2",), ALL, sni(address)))[2]


def test_ssl3_has_no_extensions_and_says_so_in_the_record() -> None:
    question = Question(("SSL 3.0",), offers.ssl3())

    assert client_hello(question, FULL, RANDOM)[1:3] == b"\x03\x00"
    assert hello_of(question)[0::2] == (0x0300, {})


def test_old_versions_are_offered_as_the_newest() -> None:
    assert hello_of(Question(("TLS 1.0",), ALL))[0] == 0x0301
    assert hello_of(Question(("TLS 1.1",), ALL))[0] == 0x0302


def test_a_question_about_groups_and_signatures_offers_those_and_nothing_else() -> None:
    question = Question(("TLS 1.2",), ALL, groups=(0x0015,), signatures=(0x0201, 0x0203), fallback=True)

    for shape in (FULL, LEAN):
        _, chosen, extensions = hello_of(question, shape)
        assert extensions[10] == b"\x00\x02\x00\x15"
        assert extensions[13] == b"\x00\x04\x02\x01\x02\x03"
        assert len(extensions[50]) > 20, "certificates may be signed as ever"
        assert chosen[-1] == 0x5600


@pytest.mark.parametrize("shape", [FULL, LEAN])
def test_a_question_about_hybrids_sends_no_key(shape: codec.Shape) -> None:
    _, _, extensions = hello_of(Question(("TLS 1.3",), offers.tls13(), groups=(0x11EC, 0x11EB, 0x11ED)), shape)

    assert extensions[10] == b"\x00\x06\x11\xec\x11\xeb\x11\xed"
    assert extensions[51] == b"\x00\x00"


@pytest.mark.parametrize(("shape", "offered"), [(FULL, b"\x01\x00"), (LEAN, b"\x00")])
def test_compression_is_offered_in_the_full_shape_only(shape: codec.Shape, offered: bytes) -> None:
    flight = Flight()
    flight.feed(client_hello(Question(("TLS 1.2",), ALL, compressions=(1, 0)), shape, RANDOM))
    body = Reader(flight.messages[0].body)
    body.take(34)
    body.vector(1)
    body.vector(2)

    assert body.vector(1).take_all() == offered


def test_old_hellos_leave_out_finite_field_groups_and_ask_for_a_staple_and_timestamps() -> None:
    _, _, extensions = hello_of(Question(("TLS 1.2",), ALL))

    groups = Reader(extensions[10]).vector(2)
    assert not {0x0100, 0x0101, 0x11EC} & {groups.number(2) for _ in range(len(groups) // 2)}
    assert extensions[5] == b"\x01\x00\x00\x00\x00"
    assert extensions[18] == b""


def test_the_parameters_of_a_finite_field_exchange_are_read_without_leading_zeros() -> None:
    body = (
        vector(2, b"\0\0\xfb" + b"p" * 127) + vector(2, b"\2") + vector(2, b"y" * 128) + b"\x04\x01" + vector(2, b"s")
    )

    said = key_exchange(Message(12, body), "DHE", signed=True)

    assert said == Exchange(0, b"\xfb" + b"p" * 127, b"\2", 0x0401)
    assert key_exchange(Message(12, body), "DHE", signed=False).signature == 0


def test_the_curve_of_an_elliptic_exchange_is_read() -> None:
    body = b"\3\0\x17" + vector(1, b"\4" + b"k" * 64) + b"\x02\x03" + vector(2, b"s")

    assert key_exchange(Message(12, body), "ECDHE", signed=True) == Exchange(0x17, signature=0x0203)
    with pytest.raises(CodecError):
        key_exchange(Message(12, b"\1" + body[1:]), "ECDHE", signed=True)


@pytest.mark.parametrize("prime", [b"", b"\0\0", b"p" * 2049])
def test_a_prime_of_an_impossible_length_is_no_answer(prime: bytes) -> None:
    with pytest.raises(CodecError):
        key_exchange(Message(12, vector(2, prime) + vector(2, b"\2") + vector(2, b"y")), "DHE", signed=False)


def test_a_staple_is_read_and_one_too_long_is_dropped() -> None:
    assert certificate_status(Message(22, b"\1" + vector(3, b"DER"))) == b"DER"
    assert certificate_status(Message(22, b"\1" + vector(3, bytes(20_001)))) == b""


@given(st.integers(0, 255), st.binary(max_size=300), st.sampled_from(["DHE", "ECDHE", "DH", "ECDH"]), st.booleans())
def test_any_body_is_an_exchange_or_a_status_or_a_codec_error(
    kind: int, body: bytes, exchange: str, sign: bool
) -> None:
    for number in (kind, 12, 22):
        with contextlib.suppress(CodecError):
            key_exchange(Message(number, body), exchange, signed=sign)
        with contextlib.suppress(CodecError):
            certificate_status(Message(number, body))


@given(st.lists(st.binary(max_size=400), max_size=6))
def test_any_bytes_are_records_or_a_codec_error(pieces: list[bytes]) -> None:
    flight = Flight()
    with contextlib.suppress(CodecError):
        for piece in pieces:
            flight.feed(piece)


@given(st.integers(0, 255), st.binary(max_size=300))
def test_any_body_is_a_message_or_a_codec_error(kind: int, body: bytes) -> None:
    for parse in (server_hello, certificate_chain):
        for sent in (Message(kind, body), Message(2, body), Message(11, body), Message(2, b"\x03\x03" + body)):
            with contextlib.suppress(CodecError):
                parse(sent)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_ssl2_answer_or_a_codec_error(data: bytes) -> None:
    for sent in (data, b"\x80\x20\x04" + data):
        with contextlib.suppress(CodecError):
            codec.ssl2_server_hello(sent)


@given(st.integers(1, 40))
def test_a_flight_is_the_same_however_it_is_cut(size: int) -> None:
    body = b"\x03\x03" + RANDOM[:32] + b"\x00\xc0\x2f\x00"
    certificates = vector(3, vector(3, b"a" * 70) + vector(3, b"b" * 30))
    handshake = message(2, body) + message(11, certificates)
    wire = record(HANDSHAKE, 0x0303, handshake[:50]) + record(HANDSHAKE, 0x0303, handshake[50:])
    flight = Flight()

    for start in range(0, len(wire), size):
        flight.feed(wire[start : start + size])

    assert server_hello(flight.messages[0]) == codec.ServerHello("TLS 1.2", 0xC02F)
    assert certificate_chain(flight.messages[1]).certificates == (b"a" * 70, b"b" * 30)
    assert not flight.midway


def test_a_hello_retry_request_is_tls13() -> None:
    extension = b"\x00\x2b\x00\x02\x03\x04"
    retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    body = b"\x03\x03" + retry + b"\x00\x13\x01\x00" + vector(2, extension)

    said = server_hello(Message(2, body))

    assert (said.version, said.suite, said.retry, said.group) == ("TLS 1.3", 0x1301, True, 0)


@pytest.mark.parametrize(("share", "group"), [(b"\x11\xec", 0x11EC), (b"\x00\x1d" + vector(2, b"k" * 32), 0x001D)])
def test_the_group_of_tls13_is_read_from_a_retry_and_from_a_choice(share: bytes, group: int) -> None:
    extensions = b"\x00\x2b\x00\x02\x03\x04" + b"\x00\x33" + vector(2, share)
    body = b"\x03\x03" + RANDOM[:32] + b"\x00\x13\x01\x00" + vector(2, extensions)

    assert server_hello(Message(2, body)).group == group


def test_what_a_server_echoes_is_kept_by_number() -> None:
    coded = b"\xff\x01\x00\x01\x00" + b"\x00\x17\x00\x00" + b"\x00\x17\x00\x01x"
    body = b"\x03\x03" + RANDOM[:32] + b"\x00\xc0\x2f\x01" + vector(2, coded)

    said = server_hello(Message(2, body))

    assert said.extensions == {0xFF01: b"\0", 23: b""}
    assert said.compression == 1


def test_a_warning_may_precede_the_server_hello() -> None:
    flight = Flight()

    flight.feed(record(ALERT, 0x0303, b"\x01\x70") + record(HANDSHAKE, 0x0303, message(2, b"")))

    assert flight.alert == ""
    assert len(flight.messages) == 1


def test_long_chains_are_cut_and_say_so() -> None:
    assert len(codec.capped([b"x"] * 21).certificates) == 20
    assert codec.capped([b"x"] * 21).cut
    assert codec.capped([b"x" * 60_000, b"y" * 60_000]) == codec.Chain((b"x" * 60_000,), cut=True)
    assert not codec.capped([b"x"] * 20).cut


def test_names_and_numbers_are_those_of_openssl() -> None:
    argv = [need("openssl", "openssl"), "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    theirs = {line.split()[2]: int(line.split()[0].replace("0x", "").replace(",", ""), 16) for line in lines}

    ours = {name: suite.number for name, suite in suites().items()}

    assert len(theirs) > 100
    assert {name: ours.get(name) for name in theirs} == theirs


def test_every_suite_with_a_certificate_is_offered_by_exactly_one_of_the_probes() -> None:
    offered = [*offers.ordinary(), *offers.broken(), *offers.tls13(), *offers.ssl2()]
    with_certificate = [s.number for s in suites().values() if s.certified or s.family in (SSL2, TLS13)]

    assert len(offered) == len(set(offered))
    assert set(with_certificate) <= set(offered)


@pytest.mark.parametrize(
    ("name", "weaknesses"),
    [
        ("TLS_RSA_EXPORT_WITH_RC4_40_MD5", ("EXPORT", "MD5", "RC4")),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", ("3DES",)),
        ("TLS_ECDH_anon_WITH_NULL_SHA", ("anon", "NULL")),
        ("TLS_DHE_DSS_EXPORT1024_WITH_DES_CBC_SHA", ("DES", "EXPORT")),
        ("SSL_CK_DES_192_EDE3_CBC_WITH_MD5", ("3DES", "MD5")),
        ("TLS_RSA_WITH_IDEA_CBC_SHA", ("IDEA",)),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", ()),
        ("TLS_RSA_WITH_SEED_CBC_SHA", ()),
    ],
)
def test_a_name_spells_out_its_weaknesses(name: str, weaknesses: tuple[str, ...]) -> None:
    assert suites()[name].broken == weaknesses
