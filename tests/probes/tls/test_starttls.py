"""What is said before TLS: dialogues with scripted servers, and a mail exchanger in front of a real TLS server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.probes.tls.starttls import DIALOGUES, start_tls
from tests.doors import LoopbackDoor, Place, scripted
from tests.probes.tls.asking import ADDRESS, answers, observe, openssl_server

LDAP_YES = bytes.fromhex("300c02010178070a010004000400")
LDAP_NO = bytes.fromhex("300c02010178070a013404000400")
LDAP_WHAT = bytes.fromhex("300c02010178070a010204000400")
RDP_YES = bytes.fromhex("030000130ed000001234000200080001000000")
RDP_NO = bytes.fromhex("030000130ed000001234000300080005000000")
RDP_NEVER = bytes.fromhex("030000130ed000001234000300080002000000")
RDP_OLD = bytes.fromhex("0300000b06d00000123400")
RDP_STANDARD = bytes.fromhex("030000130ed000001234000200080000000000")
FEATURES = b"<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
HOST_UNKNOWN = b"<stream:stream><stream:error><host-unknown/></stream:error></stream:stream>"

# protocol -> turns of the server; b"" waits for the client first. The last turn says yes.
HAPPY: dict[str, Sequence[bytes]] = {
    "smtp": [b"220 mail ready\r\n", b"", b"250-mail\r\n250-SIZE 1\r\n250 STARTTLS\r\n", b"", b"220 go ahead\r\n"],
    "ftp": [b"220-welcome\r\n220 ready\r\n", b"", b"234 go\r\n"],
    "imap": [b"* OK ready\r\n", b"", b"* CAPABILITY x\r\np1 OK begin\r\n"],
    "pop3": [b"+OK ready\r\n", b"", b"+OK begin\r\n"],
    "ldap": [b"", LDAP_YES],
    "postgres": [b"", b"S"],
    "xmpp": [b"", FEATURES, b"", b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"],
    "xmpp-server": [b"", FEATURES, b"", b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"],
    "rdp": [b"", RDP_YES],
}
UNHAPPY: list[tuple[str, Sequence[bytes], Reason]] = [
    ("smtp", [b"421 too busy\r\n"], Reason.RATE_LIMITED),
    ("smtp", [b"554 no\r\n"], Reason.REFUSED_BY_TARGET),
    ("smtp", [b"220 mail\r\n", b"", b"250 STARTTLS\r\n", b"", b"454 later\r\n"], Reason.TEMPORARY),
    ("smtp", [b"SSH-2.0-x\r\n"], Reason.MALFORMED),
    ("smtp", [b"220-a\r\n"], Reason.TRUNCATED),
    ("smtp", [b"220-a\r\n" * 101], Reason.MALFORMED),
    ("smtp", [b"2" * 5000], Reason.MALFORMED),
    ("ftp", [b"220 ready\r\n", b"", b"530 no\r\n"], Reason.REFUSED_BY_TARGET),
    ("imap", [b"* BYE\r\n"], Reason.REFUSED_BY_TARGET),
    ("imap", [b"220 mail\r\n"], Reason.MALFORMED),
    ("imap", [b"* OK\r\n", b"", b"p1 NO not now\r\n"], Reason.REFUSED_BY_TARGET),
    ("pop3", [b"+OK\r\n", b"", b"-ERR no\r\n"], Reason.REFUSED_BY_TARGET),
    ("pop3", [b"HTTP/1.1 200\r\n"], Reason.MALFORMED),
    ("ldap", [b"", LDAP_NO], Reason.REFUSED_BY_TARGET),
    ("ldap", [b"", b"HTTP/1.1 400 "], Reason.MALFORMED),
    ("postgres", [b"", b"E"], Reason.MALFORMED),
    ("xmpp", [b"", b"<" * 20_000], Reason.MALFORMED),
    ("xmpp", [b"", FEATURES, b"", b"<failure/>"], Reason.REFUSED_BY_TARGET),
    ("xmpp", [b"", HOST_UNKNOWN], Reason.REFUSED_BY_TARGET),
    ("xmpp-server", [b"", HOST_UNKNOWN], Reason.REFUSED_BY_TARGET),
    ("rdp", [b"", RDP_NO], Reason.REFUSED_BY_TARGET),
    ("rdp", [b"", b"\3\0\0\x0b\6\xe0\0\0\x12\x34\0"], Reason.MALFORMED),
    ("rdp", [b"", b"HTTP/1.1"], Reason.MALFORMED),
]


WITHOUT: list[tuple[str, Sequence[bytes]]] = [
    ("smtp", [b"220 mail\r\n", b"", b"250-mail\r\n250 SIZE 1\r\n"]),
    ("ftp", [b"220 ready\r\n", b"", b"502 what\r\n"]),
    ("imap", [b"* OK\r\n", b"", b"p1 BAD what\r\n"]),
    ("ldap", [b"", LDAP_WHAT]),
    ("postgres", [b"", b"N"]),
    ("xmpp", [b"", b"<stream:features></stream:features>"]),
    ("rdp", [b"", RDP_NEVER]),
    ("rdp", [b"", RDP_OLD]),
    ("rdp", [b"", RDP_STANDARD]),
]


async def converse(protocol: str, turns: Sequence[bytes]) -> list[bytes]:
    """Speaks with a server that says these turns; returns what it heard."""
    heard: list[bytes] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for turn in turns:
            if turn:
                writer.write(turn)
                await writer.drain()
            else:
                heard.append(await reader.read(1000))
        writer.write_eof()
        await reader.read(1000)

    async with scripted(server) as place:
        door = LoopbackDoor({(ADDRESS, 25): place})
        async with await door.connect(ADDRESS, 25) as stream:
            await start_tls(stream, protocol, "chat.gov.example", "cert.gov.example")
    return heard


def test_every_dialogue_has_a_happy_end_here() -> None:
    assert set(HAPPY) == set(DIALOGUES)


@pytest.mark.parametrize("protocol", HAPPY)
def test_a_server_that_agrees_waits_for_tls(protocol: str) -> None:
    heard = asyncio.run(converse(protocol, HAPPY[protocol]))

    assert len(heard) == sum(turn == b"" for turn in HAPPY[protocol])
    assert all(heard)


@pytest.mark.parametrize(("protocol", "turns", "reason"), UNHAPPY)
def test_a_server_that_declines_is_not_seen(protocol: str, turns: Sequence[bytes], reason: Reason) -> None:
    with pytest.raises(NotSeen) as unseen:
        asyncio.run(converse(protocol, turns))

    assert unseen.value.reason is reason


@pytest.mark.parametrize(("protocol", "turns"), WITHOUT)
def test_a_server_that_lists_what_it_offers_clearly_has_no_tls(protocol: str, turns: Sequence[bytes]) -> None:
    with pytest.raises(NotThere) as absent:
        asyncio.run(converse(protocol, turns))

    assert absent.value.cause is AbsentCause.NOT_OFFERED


def test_we_greet_with_the_operators_name() -> None:
    assert asyncio.run(converse("smtp", HAPPY["smtp"])) == [b"EHLO cert.gov.example\r\n", b"STARTTLS\r\n"]


def exchanger(behind: Place) -> object:
    """An SMTP server that hands the connection to a TLS server after STARTTLS."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.gov.example ESMTP\r\n")
        await reader.readline()
        writer.write(b"250-mail.gov.example\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go ahead\r\n")
        tls_reader, tls_writer = await asyncio.open_connection(*behind)
        await asyncio.gather(pump(reader, tls_writer), pump(tls_reader, writer))

    return server


def test_a_mail_exchanger_is_asked_at_most_six_times(rsa_files: tuple[Path, Path]) -> None:
    async def run(behind: Place) -> None:
        async with scripted(exchanger(behind)) as place:  # type: ignore[arg-type]  # a conversation as scripted() wants it
            door = LoopbackDoor({(ADDRESS, 25): place})
            facts = await observe("tls", door, 25, "mail.gov.example", starttls="smtp")
            legacy = await observe("tls_legacy", door, 25, "mail.gov.example", starttls="smtp")
        assert len(door.connections) <= 6
        assert facts.accepted == ("TLS 1.2", "TLS 1.3")
        assert facts.chain
        assert facts.starttls == "smtp"
        assert not facts.version("TLS 1.2").complete
        assert answers(legacy) == {"SSL 2.0": "refused", "SSL 3.0": "refused", "TLS 1.2": "refused"}

    with openssl_server(*rsa_files, "-min_protocol", "TLSv1.2") as behind:
        asyncio.run(run(behind))


def test_a_mail_exchanger_that_is_busy_says_nothing_about_tls() -> None:
    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"421 try again later\r\n")
        await writer.drain()

    async def run() -> None:
        async with scripted(busy) as place:
            door = LoopbackDoor({(ADDRESS, 25): place})
            with pytest.raises(NotSeen) as unseen:
                await observe("tls", door, 25, starttls="smtp")
            assert unseen.value.reason is Reason.RATE_LIMITED
            assert (len(door.connections), door.pushes) == (2, [ADDRESS]), "once more after a pause, and no third time"

    asyncio.run(run())
