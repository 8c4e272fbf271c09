"""Servers that mean harm, or are merely broken: what a scanner meets on the internet, on loopback.

    async with HOSTILE["tls.drip"]() as (address, port): ...

The name begins with the protocol that the client believes it speaks: tls, http, smtp, dns (UDP), dnstcp (whose UDP side
sends everybody to TCP), banner, and cert and chain, whose handshakes are those of OpenSSL or, where OpenSSL would not
show such a certificate, records by hand. None of them ever waits for anything but its client, and all of them stop when
the block ends.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ssl import SSLContext
from typing import Protocol

from OpenSSL import SSL

from posture.range.listening import Conversation, Peer, TcpPort, bind_both
from tests.lab import hostile_certificates as certificates
from tests.lab.hostile_dns import DNS, DNS_TCP, dns_reply, framed
from tests.lab.misbehaviour import (
    INJECTION,
    after,
    deaf,
    drips,
    echo,
    floods,
    half_closes,
    hang_up,
    resets,
    says,
    silent,
    stays,
)

__all__ = ["ADDRESS", "DNS", "HOSTILE", "INJECTION", "Factory"]

ADDRESS = "127.0.20.66"
Standing = AbstractAsyncContextManager[tuple[str, int]]


class Factory(Protocol):
    """Lets a server stand at an address, with TLS around it where wanted; gives its address and port."""

    def __call__(self, address: str = ADDRESS, *, tls: SSLContext | None = None) -> Standing: ...


# ---- TLS: records by hand (RFC 8446 section 5.1, RFC 5246 section 7.4)


def record(kind: int, body: bytes, *, version: int = 0x0303, length: int | None = None) -> bytes:
    return struct.pack("!BHH", kind, version, len(body) if length is None else length) + body


def handshake(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    return bytes([kind]) + (len(body) if length is None else length).to_bytes(3, "big") + body


def server_hello(
    *,
    suite: int = 0xC02F,
    version: int = 0x0303,
    extensions: bytes = b"",
    random: bytes = b"r" * 32,
    compression: int = 0,
) -> bytes:
    body = struct.pack("!H", version) + random + b"\0" + struct.pack("!HB", suite, compression)
    return handshake(2, body + (struct.pack("!H", len(extensions)) + extensions if extensions else b""))


_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_RETRY_EXTENSIONS = bytes.fromhex("002b00020304" + "003300020017")  # TLS 1.3, group secp256r1
_CERTIFICATES = (10_000).to_bytes(3, "big") + b"\0\0\1x" * 2500
_FATAL = record(21, b"\x02\x28")
_SILLY_EXTENSIONS = struct.pack("!HH", 0xFF01, 0xFFFF) + b"x"


def in_turns(*parts: Conversation) -> Conversation:
    """One connection is met so, the next one so: several answers to one question."""
    turn = itertools.cycle(parts)

    async def converse(peer: Peer) -> None:
        await next(turn)(peer)

    return converse


async def _greet(peer: Peer) -> None:
    """A whole handshake, and a small page."""
    await peer.start_tls(certificates.context("cert.a_thousand_names"))
    await peer.read()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


async def _late(peer: Peer) -> None:
    await asyncio.sleep(0.5)
    await _greet(peer)


async def _renegotiates_without_end(peer: Peer) -> None:
    """Asks for another handshake whenever one is over (RFC 5246 section 7.4.1.1)."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    certificate, key = certificates.pair()
    context.use_certificate(certificate)
    context.use_privatekey(key)
    tls = SSL.Connection(context, None)
    tls.set_accept_state()
    over = False
    while not over:
        try:
            tls.do_handshake()
            tls.renegotiate()
        except SSL.WantReadError:
            pass
        except SSL.Error:  # the alert is still to be said
            over = True
        try:
            await peer.say(tls.bio_read(65536))
        except SSL.WantReadError:
            if over or not (data := await peer.read()):
                return
            tls.bio_write(data)


TLS: dict[str, Conversation] = {
    "silent": silent,
    "deaf": deaf,
    "hang_up": hang_up,
    "reset": resets(),
    "reset_at_once": resets(wait=False),
    "reset_midway": resets(record(22, server_hello())[:20]),
    "reset_after_hello": resets(record(22, server_hello())),
    "flaky": in_turns(says(_FATAL), resets()),
    "flaky_but_real": in_turns(_greet, resets()),
    "late": _late,
    "renegotiates_without_end": _renegotiates_without_end,
    "half_closes": half_closes,
    "drip": drips(record(22, server_hello(), length=16384)),
    "drip_alerts": drips(record(21, b"\x01\x00")),
    "echo": echo,
    "plain_http": says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "ssh_banner": stays(b"SSH-2.0-OpenSSH_9.2p1\r\n", wait=False),
    "truncated_hello": says(record(22, server_hello())[:-10]),
    "lying_record_length": stays(record(22, server_hello(), length=65535)),
    "lying_hello_length": stays(record(22, handshake(2, b"\3\3" + b"r" * 36, length=0xFFFFFF))),
    "short_hello": says(record(22, handshake(2, b"\3\3"))),
    "lying_extensions": says(record(22, server_hello(extensions=_SILLY_EXTENSIONS))),
    "suite_never_offered": says(record(22, server_hello(suite=0xFFFF))),
    "version_from_nowhere": says(record(22, server_hello(version=0x0909))),
    "record_type_from_nowhere": says(record(99, INJECTION)),
    "alert_from_nowhere": says(record(21, b"\xee\xee")),
    "retry_for_ever": floods(b"", record(22, server_hello(suite=0x1301, extensions=_RETRY_EXTENSIONS, random=_RETRY))),
    "warnings_for_ever": floods(b"", record(21, b"\x01\x5a")),
    "empty_records_for_ever": floods(b"", record(22, b"")),
    "fragments_for_ever": floods(record(22, handshake(2, b"", length=0xFFFFFF)), record(22, b"x")),
    "certificate_of_16_megabytes": floods(
        record(22, server_hello()) + record(22, handshake(11, b"\xff\xff\xfc", length=0xFFFFFF)),
        record(22, b"\0\0\1x" * 4096),
    ),
    "certificates_of_one_byte": stays(record(22, server_hello()) + record(22, handshake(11, _CERTIFICATES))),
    "compression_never_offered": says(record(22, server_hello(compression=1))),
    "hello_twice": stays(record(22, server_hello() + server_hello(suite=0x0005))),
}

# ---- HTTP (RFC 9112)

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_BOMB = gzip.compress(bytes(20_000_000), 9)
_BLOCK = b"x" * 65536


def _redirect(location: bytes) -> Conversation:
    return says(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")


_NUMBER = itertools.count()


async def _redirects_without_end(peer: Peer) -> None:
    await peer.read()
    await peer.say(b"HTTP/1.1 307 Next\r\nLocation: /%d\r\nContent-Length: 0\r\n\r\n" % next(_NUMBER))


HTTP: dict[str, Conversation] = {
    "silent": silent,
    "reset": resets(),
    "reset_in_headers": resets(_OK + b"Server: x"),
    "reset_in_body": resets(_OK + b"Content-Length: 100\r\n\r\nhalf"),
    "drip_headers": drips(_OK + b"X: y\r\n" * 1000),
    "drip_body": after(says(_OK + b"Content-Length: 100000\r\n\r\n"), drips(b"x", wait=False)),
    "status_line_for_ever": floods(b"HTTP/1.1 200 ", _BLOCK),
    "header_line_for_ever": floods(_OK + b"X: ", _BLOCK),
    "headers_for_ever": floods(_OK, b"X-Same: " + b"y" * 100 + b"\r\n"),
    "continue_for_ever": floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body_for_ever": floods(_OK + b"\r\n", _BLOCK),
    "chunks_for_ever": floods(_CHUNKED, b"10000\r\n" + _BLOCK + b"\r\n"),
    "trailers_for_ever": floods(_CHUNKED + b"0\r\n", b"X: y\r\n"),
    "chunk_size_of_a_megabyte": floods(_CHUNKED, b"f" * 65536),
    "negative_chunk": says(_CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
    "length_too_long": says(_OK + b"Content-Length: 1000000000000\r\n\r\nshort"),
    "length_negative": says(_OK + b"Content-Length: -1\r\n\r\nshort"),
    "two_lengths": says(_OK + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello"),
    "length_and_chunks": says(_OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    "gzip_bomb": says(_OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB),
    "status_from_nowhere": says(b"HTTP/1.1 999999999 \xff\xfe\r\n\r\n"),
    "version_from_nowhere": says(b"HTTP/9.9 200 OK\r\n\r\n"),
    "no_headers": says(b"<html>hello</html>"),
    "redirect_to_itself": _redirect(b"/"),
    "redirect_to_metadata": _redirect(b"http://169.254.169.254/latest/meta-data/"),
    "redirect_to_a_file": _redirect(b"file:///etc/passwd"),
    "redirect_to_nonsense": _redirect(b"http://[::1:x]:99999/\xff%%%"),
    "redirect_of_a_megabyte": _redirect(b"https://" + b"a" * 1_000_000 + b".test/"),
    "redirects_without_end": _redirects_without_end,
    "redirect_to_loopback_in_disguise": _redirect(b"http://[::ffff:127.0.0.1]:22/"),
    "half_closes": half_closes,
    "upgrade_never_asked": says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + INJECTION),
    "thousands_of_fields": says(_OK + b"X: y\r\n" * 5000 + b"\r\n"),
    "deflate_of_nonsense": says(_OK + b"Content-Encoding: deflate\r\nContent-Length: 9\r\n\r\n" + b"\xff" * 9),
    "injecting_headers": says(_OK + b"Server: " + INJECTION.replace(b"\x00", b"") + b"\r\nContent-Length: 0\r\n\r\n"),
    "nul_in_headers": says(_OK + b"Ser\x00ver: a\x00b\r\n\r\n"),
    "injecting_body": says(_OK + b"Content-Length: %d\r\n\r\n" % len(INJECTION) + INJECTION),
}


# ---- SMTP (RFC 5321, RFC 3207)

_GREETING = b"220 mx.test ESMTP\r\n"
_EHLO = b"250-mx.test\r\n250 STARTTLS\r\n"
_GO_AHEAD = b"220 Go ahead\r\n"

_TOO_MANY = b"421 4.7.0 Too many connections\r\n"

SMTP: dict[str, Conversation] = {
    "silent": silent,
    "hang_up": hang_up,
    "busy": says(b"421 4.3.2 Try again later\r\n", wait=False),
    "busy_after_ehlo": stays(_GREETING, _TOO_MANY, wait=False),
    "busy_after_starttls": stays(_GREETING, _EHLO, _TOO_MANY, wait=False),
    "pipelined_junk": stays(_GREETING + _EHLO + _GO_AHEAD + INJECTION + b"\r\n", wait=False),
    "nul_in_reply": stays(b"220 mx\0.test\r\n", b"250-mx\0.test\r\n250 START\0TLS\r\n", wait=False),
    "half_closes": half_closes,
    "starttls_answer_for_ever": after(says(_GREETING, _EHLO, wait=False), floods(b"", b"220-wait\r\n")),
    "rejecting": stays(b"554 5.7.1 Go away\r\n", wait=False),
    "drip_greeting": drips(b"220-mx.test\r\n", wait=False),
    "greeting_for_ever": floods(b"", b"220-mx.test is very pleased to meet you\r\n", wait=False),
    "line_for_ever": floods(b"220 ", _BLOCK, wait=False),
    "injecting_greeting": stays(b"220 " + INJECTION + b"\r\n", _EHLO, wait=False),
    "code_from_nowhere": stays(b"9x9 what\r\n", wait=False),
    "mixed_codes": stays(_GREETING, b"250-mx.test\r\n550 STARTTLS\r\n", wait=False),
    "ehlo_for_ever": after(says(_GREETING, wait=False), floods(b"", b"250-X-MORE\r\n")),
    "ehlo_cut": says(_GREETING, b"250-mx.test\r\n250-STAR", wait=False),
    "ehlo_reset": after(says(_GREETING, wait=False), resets(b"250-mx.test\r\n")),
    "masked_by_a_firewall": stays(
        b"220 ****************\r\n", b"250-mx.test\r\n250 XXXXXXXA\r\n", b"500 unknown\r\n", wait=False
    ),
    "starttls_refused": stays(_GREETING, _EHLO, b"454 4.7.0 TLS not available\r\n", wait=False),
    "starttls_then_silence": stays(_GREETING, _EHLO, _GO_AHEAD, wait=False),
    "starttls_then_reset": after(says(_GREETING, _EHLO, _GO_AHEAD, wait=False), resets()),
    "starttls_then_clear_text": stays(_GREETING, _EHLO, _GO_AHEAD, b"250 mx.test\r\n" * 50, wait=False),
    "starttls_with_injected_answer": stays(_GREETING, _EHLO, _GO_AHEAD + b"250 injected\r\n", _FATAL, wait=False),
}


# ---- what a port sweep hears

_NESTED_DOCUMENT = b"\x03a\0\xff\xff\0\0" * 5000
_NESTED_BSON = struct.pack("<iiiiIB", 21 + len(_NESTED_DOCUMENT), 1, 1, 2013, 0, 0) + _NESTED_DOCUMENT

BANNER: dict[str, Conversation] = {
    "silent": silent,
    "hang_up": hang_up,
    "reset_at_once": resets(wait=False),
    "drip": drips(b"220 hello ", wait=False),
    "for_ever": floods(b"", _BLOCK, wait=False),
    "zeros_for_ever": floods(b"", bytes(65536), wait=False),
    "injecting": stays(INJECTION * 20 + b"\r\n", wait=False),
    "echo": echo,
    "telnet_options_for_ever": floods(b"", b"\xff\xfd\x18\xff\xfb\x01", wait=False),
    "telnet_option_cut": says(b"\xff\xfa\x18", wait=False),
    "ftp_lines_for_ever": floods(b"220-", b"220-welcome\r\n", wait=False),
    "mysql_lying_length": stays(b"\xff\xff\xff\x00\x0a8.0", wait=False),
    "ssh_endless_version": floods(b"SSH-2.0-", _BLOCK, wait=False),
    "redis_lying_length": stays(b"$999999999999\r\nx"),
    "redis_negative_length": stays(b"$-99\r\n*-5\r\n"),
    "redis_nested_arrays": stays(b"*1\r\n" * 100_000),
    "mongodb_lying_length": stays(struct.pack("<iiii", 0x7FFFFFFF, 1, 1, 1) + b"x"),
    "rdp_half_an_answer": says(b"\x03\x00\x00\x13\x0e"),
    "half_closes": half_closes,
    "yes_to_everything": floods(b"", b"S", wait=True),
    "tls_alerts_for_ever": floods(b"", b"\x15\x03\x01\x00\x02\x01\x5a"),
    "mongodb_nested_documents": stays(_NESTED_BSON),
    "http_page_for_ever": floods(b"HTTP/1.0 200 OK\r\n\r\n", _BLOCK),
    "smtp_busy": stays(b"421 4.3.2 Try again later\r\n", wait=False),
    "smb_lying_length": stays(b"\x00\xff\xff\xff\xfeSMB"),
}


def _tcp(conversation: Conversation) -> Factory:
    @asynccontextmanager
    async def stand(address: str = ADDRESS, *, tls: SSLContext | None = None) -> AsyncIterator[tuple[str, int]]:
        port = TcpPort(address)
        port.open(conversation, tls=tls)
        try:
            yield port.address, port.number
        finally:
            await port.release()

    return stand


def _udp(answer: Callable[[bytes], bytes | None], over_tcp: Conversation | None = None) -> Factory:
    """A name server over UDP; over TCP it says the same, unless there is a conversation for that."""

    @asynccontextmanager
    async def stand(address: str = ADDRESS, *, tls: SSLContext | None = None) -> AsyncIterator[tuple[str, int]]:
        tcp, udp = await bind_both(address, answer)
        tcp.open(over_tcp or framed(answer), tls=tls)
        try:
            yield tcp.address, tcp.number
        finally:
            await udp.release()
            await tcp.release()

    return stand


def _ask_over_tcp(query: bytes) -> bytes:
    return dns_reply(query, flags=0x8380)


@asynccontextmanager
async def _never_accepts(address: str = ADDRESS, *, tls: SSLContext | None = None) -> AsyncIterator[tuple[str, int]]:
    """Listens with a backlog that is full: whoever comes now hears nothing at all, not even that they are refused."""
    del tls
    loop = asyncio.get_running_loop()
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind((address, 0))
        listening.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        await loop.sock_connect(first, listening.getsockname())
        yield listening.getsockname()


def _shown(name: str) -> Factory:
    """A certificate or chain, presented by OpenSSL."""

    @asynccontextmanager
    async def stand(address: str = ADDRESS, *, tls: SSLContext | None = None) -> AsyncIterator[tuple[str, int]]:
        del tls
        async with _tcp(_page)(address, tls=certificates.context(name)) as place:
            yield place

    return stand


async def _page(peer: Peer) -> None:
    await peer.read()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


def _by_hand(listed: Callable[[], list[bytes]]) -> Conversation:
    """A ServerHello and a Certificate in clear, then silence."""

    async def converse(peer: Peer) -> None:
        await peer.read()
        chain = b"".join(len(each).to_bytes(3) + each for each in listed())
        message = handshake(11, len(chain).to_bytes(3) + chain)
        flight = record(22, server_hello())
        for start in range(0, len(message), 16384):
            flight += record(22, message[start : start + 16384])
        await peer.say(flight)
        await silent(peer)

    return converse


HOSTILE: dict[str, Factory] = {
    **{f"tls.{name}": _tcp(conversation) for name, conversation in TLS.items()},
    "tls.never_accepts": _never_accepts,
    **{name: _shown(name) for name in certificates.SHOWN},
    **{name: _tcp(_by_hand(listed)) for name, listed in certificates.BY_HAND.items()},
    **{f"http.{name}": _tcp(conversation) for name, conversation in HTTP.items()},
    **{f"smtp.{name}": _tcp(conversation) for name, conversation in SMTP.items()},
    **{f"dns.{name}": _udp(answer) for name, answer in DNS.items()},
    **{f"dnstcp.{name}": _udp(_ask_over_tcp, conversation) for name, conversation in DNS_TCP.items()},
    **{f"banner.{name}": _tcp(conversation) for name, conversation in BANNER.items()},
}
