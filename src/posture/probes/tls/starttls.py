"""What a client says before TLS on ports that start in clear. Each dialogue ends where the ClientHello may follow.

Every dialogue raises NotSeen: RATE_LIMITED (421), TEMPORARY (other 4xx), REFUSED_BY_TARGET (5xx), MALFORMED (another
protocol); NotThere (NOT_OFFERED) where the server lists what it offers and TLS is not among it, or says that it does not
know the request, or has no TLS.
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
# MS-RDPBCGR section 2.2.1.2: an X.224 connection confirm, and the failure code SSL_NOT_ALLOWED_BY_SERVER.
_CONNECTION_CONFIRM, _TLS_FORBIDDEN = 0xD, b"\x02"


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
        raise _not_offered("STARTTLS is not offered")
    await stream.write(b"STARTTLS\r\n")
    await _reply(stream, "220")


async def _ftp(stream: Stream, _name: str, _ehlo: str) -> None:
    """RFC 4217."""
    await _reply(stream, "220")
    await stream.write(b"AUTH TLS\r\n")
    await _reply(stream, "234", unknown=("500", "502", "504"))


async def _reply(stream: Stream, wanted: str, unknown: tuple[str, ...] = ()) -> list[str]:
    """The lines, upper case, of a whole SMTP or FTP reply (RFC 5321 section 4.2.1, RFC 959 section 4.2).

    Args:
        unknown: codes that say that there is no such command.
    """
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
    if code in unknown:
        raise _not_offered(f"the server said {code}")
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
        if line.startswith("p1 BAD"):
            raise _not_offered("the server does not know STARTTLS")
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
    if b"\x0a\x01\x02" in result[:8]:  # protocolError: no such operation
        raise _not_offered("the server does not know StartTLS")
    _accept(b"\x0a\x01\x00" in result[:8])


async def _postgres(stream: Stream, _name: str, _ehlo: str) -> None:
    """PostgreSQL's SSLRequest."""
    await stream.write(bytes.fromhex("0000000804d2162f"))
    answer = await stream.read_exactly(1)
    if answer == b"N":
        raise _not_offered("the server has no TLS")
    if answer != b"S":
        raise NotSeen(Reason.MALFORMED, "not PostgreSQL")


async def _xmpp_client(stream: Stream, name: str, _ehlo: str) -> None:
    await _xmpp(stream, name, "jabber:client")


async def _xmpp_server(stream: Stream, name: str, _ehlo: str) -> None:
    await _xmpp(stream, name, "jabber:server")


async def _xmpp(stream: Stream, name: str, namespace: str) -> None:
    """RFC 6120 section 5. A server that does not serve ``name`` says so before it offers anything."""
    await stream.write(
        f"<?xml version='1.0'?><stream:stream to={quoteattr(name)} version='1.0' xmlns='{namespace}' "
        "xmlns:stream='http://etherx.jabber.org/streams'>".encode()
    )
    features = await _until(stream, b"</stream:features>", b"</stream:error>")
    if b"<stream:features" not in features:
        unknown = b"host-unknown" in features
        said = "the server does not serve that name" if unknown else "the server ended the stream with an error"
        raise NotSeen(Reason.REFUSED_BY_TARGET, said)
    if b"<starttls" not in features:
        raise _not_offered("STARTTLS is not offered")
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
    if body[1] >> 4 != _CONNECTION_CONFIRM:
        raise NotSeen(Reason.MALFORMED, "not RDP")
    answered, chosen = body[7:8], body[11:12]
    if answered == b"\x03" and chosen != _TLS_FORBIDDEN:  # a failure for another reason
        _accept(False)
    # A confirm without a negotiation response comes from a server that knows only RDP's own encryption.
    if answered != b"\x02" or chosen == b"\x00":
        raise _not_offered("the server has no TLS")


def _not_offered(what: str) -> NotThere:
    return NotThere(AbsentCause.NOT_OFFERED, what)


def _accept(accepted: bool) -> None:
    if not accepted:
        raise NotSeen(Reason.REFUSED_BY_TARGET, "the server declined to start TLS")


async def _line(stream: Stream) -> str:
    line = await stream.read_line()
    if not line:
        raise NotSeen(Reason.TRUNCATED, "the connection ended before TLS")
    return line.decode("ascii", "replace").rstrip("\r\n")


async def _until(stream: Stream, *ends: bytes) -> bytes:
    seen = b""
    while not any(end in seen for end in ends):
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
    "xmpp": _xmpp_client,
    "xmpp-server": _xmpp_server,
    "rdp": _rdp,
}
