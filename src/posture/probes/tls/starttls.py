"""What a client says before TLS on ports that start in clear. Each dialogue ends where the ClientHello may follow.

Every dialogue raises NotSeen: RATE_LIMITED (421), TEMPORARY (other 4xx), REFUSED_BY_TARGET (5xx), MALFORMED (another
protocol); where the server lists what it offers and TLS is not among it, NotThere (NOT_OFFERED).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from xml.sax.saxutils import quoteattr

from posture.facts.smtp import is_masked
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.probes.base import Stream

Dialogue = Callable[[Stream, str, str], Awaitable[None]]
_MAX_LINES = 100
_MAX_XML = 16_384


async def start_tls(stream: Stream, protocol: str, name: str, ehlo: str) -> None:
    """Speaks ``protocol`` until the server waits for TLS.

    Args:
        protocol: a key of DIALOGUES.
        name: the server's name, for protocols that say it.
        ehlo: the name we greet with.

    Raises:
        KeyError: no such protocol.
        NotSeen: the server declined, for now or at all, or spoke something else.
        NotThere: the server offers no TLS.
    """
    await DIALOGUES[protocol](stream, name, ehlo)


async def _smtp(stream: Stream, _name: str, ehlo: str) -> None:
    """RFC 3207."""
    await _reply(stream, "220")
    await stream.write(f"EHLO {ehlo}\r\n".encode("ascii", "replace"))
    offered = await _reply(stream, "250")
    if not any(line[4:].split()[:1] == ["STARTTLS"] for line in offered):
        if any(is_masked(line[4:]) for line in offered[1:]):
            raise NotSeen(Reason.BLOCKED, "something on the path overwrites what the server offers")
        raise NotThere(AbsentCause.NOT_OFFERED, "STARTTLS is not offered")
    await stream.write(b"STARTTLS\r\n")
    await _reply(stream, "220")


async def _ftp(stream: Stream, _name: str, _ehlo: str) -> None:
    """RFC 4217."""
    await _reply(stream, "220")
    await stream.write(b"AUTH TLS\r\n")
    await _reply(stream, "234")


async def _reply(stream: Stream, wanted: str) -> list[str]:
    """The lines, upper case, of a whole SMTP or FTP reply (RFC 5321 section 4.2.1, RFC 959 section 4.2)."""
    lines: list[str] = []
    code = ""
    for _ in range(_MAX_LINES):
        line = await _line(stream)
        lines.append(line.upper())
        code = code or line[:3]
        if not (code.isascii() and code.isdigit() and len(code) == 3):
            raise NotSeen(Reason.MALFORMED, "not a reply with a code")
        if line[:3] == code and line[3:4] != "-":
            break
    else:
        raise NotSeen(Reason.MALFORMED, "a reply without end")
    if code == wanted:
        return lines
    reason = Reason.TEMPORARY if code.startswith("4") else Reason.REFUSED_BY_TARGET
    raise NotSeen(Reason.RATE_LIMITED if code == "421" else reason, f"the server said {code}")


async def _imap(stream: Stream, _name: str, _ehlo: str) -> None:
    """RFC 9051 section 6.2.1."""
    greeting = await _line(stream)
    if greeting.startswith("* BYE"):
        raise NotSeen(Reason.REFUSED_BY_TARGET, "the server said BYE")
    if not greeting.startswith("* "):
        raise NotSeen(Reason.MALFORMED, "not IMAP")
    await stream.write(b"p1 STARTTLS\r\n")
    for _ in range(_MAX_LINES):
        line = await _line(stream)
        if line.startswith("p1 "):
            return _accept(line.startswith("p1 OK"))
    raise NotSeen(Reason.MALFORMED, "no end of the IMAP reply")


async def _pop3(stream: Stream, _name: str, _ehlo: str) -> None:
    """RFC 2595 section 4."""
    if not (await _line(stream)).startswith("+OK"):
        raise NotSeen(Reason.MALFORMED, "not POP3")
    await stream.write(b"STLS\r\n")
    _accept((await _line(stream)).startswith("+OK"))


async def _ldap(stream: Stream, _name: str, _ehlo: str) -> None:
    """RFC 4511 section 4.14: an extended request, and its result code 0."""
    await stream.write(bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037")
    header = await stream.read_exactly(2)
    octets = header[1] & 0x7F if header[1] & 0x80 else 0
    if header[0] != 0x30 or octets > 2:
        raise NotSeen(Reason.MALFORMED, "not LDAP")
    length = int.from_bytes(await stream.read_exactly(octets)) if octets else header[1]
    body = await stream.read_exactly(length)
    _, extended, result = body.partition(b"\x78")
    if not extended:
        raise NotSeen(Reason.MALFORMED, "not an extended LDAP response")
    _accept(b"\x0a\x01\x00" in result[:8])


async def _postgres(stream: Stream, _name: str, _ehlo: str) -> None:
    """PostgreSQL's SSLRequest."""
    await stream.write(bytes.fromhex("0000000804d2162f"))
    answer = await stream.read_exactly(1)
    if answer not in (b"S", b"N"):
        raise NotSeen(Reason.MALFORMED, "not PostgreSQL")
    _accept(answer == b"S")


async def _xmpp(stream: Stream, name: str, _ehlo: str) -> None:
    """RFC 6120 section 5."""
    await stream.write(
        f"<?xml version='1.0'?><stream:stream to={quoteattr(name)} version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>".encode()
    )
    features = await _until(stream, b"</stream:features>")
    if b"<starttls" not in features:
        raise NotThere(AbsentCause.NOT_OFFERED, "STARTTLS is not offered")
    await stream.write(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    _accept(b"<proceed" in await _until(stream, b">"))


async def _rdp(stream: Stream, _name: str, _ehlo: str) -> None:
    """MS-RDPBCGR section 2.2.1.1: an X.224 connection request that asks for TLS or CredSSP."""
    await stream.write(bytes.fromhex("030000130ee000000000000100080003000000"))
    header = await stream.read_exactly(4)
    length = int.from_bytes(header[2:4])
    if header[:2] != b"\x03\x00" or not 11 <= length <= 512:
        raise NotSeen(Reason.MALFORMED, "not RDP")
    body = await stream.read_exactly(length - 4)
    # A confirm without a negotiation response comes from a server that knows only RDP's own encryption.
    _accept(len(body) > 7 and body[7] == 0x02)


def _accept(accepted: bool) -> None:
    if not accepted:
        raise NotSeen(Reason.REFUSED_BY_TARGET, "the server declined to start TLS")


async def _line(stream: Stream) -> str:
    line = await stream.read_line()
    if not line:
        raise NotSeen(Reason.TRUNCATED, "the connection ended before TLS")
    return line.decode("ascii", "replace").rstrip("\r\n")


async def _until(stream: Stream, end: bytes) -> bytes:
    seen = b""
    while end not in seen:
        data = await stream.read(4096)
        if not data:
            raise NotSeen(Reason.TRUNCATED, "the connection ended before TLS")
        seen += data
        if len(seen) > _MAX_XML:
            raise NotSeen(Reason.MALFORMED, "no end of the XMPP answer")
    return seen


DIALOGUES: dict[str, Dialogue] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "ftp": _ftp,
    "ldap": _ldap,
    "postgres": _postgres,
    "xmpp": _xmpp,
    "rdp": _rdp,
}
