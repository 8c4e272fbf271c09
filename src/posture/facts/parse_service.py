"""What the first bytes of a service prove about its protocol. Pure and total: any bytes in, no exception out.

Every reader returns None for "not this protocol, or not enough of it yet".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

HEARD_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Recognised:
    """A protocol proved by its own bytes; the fields of posture.facts.service.PortAnswer of the same names."""

    service: str
    access: str = ""
    heard: str = ""
    why: str = ""


Reader = Callable[[bytes], Recognised | None]


def printable(data: bytes) -> str:
    """Bytes as ASCII with ``\\xNN`` escapes, at most 200 characters."""
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in data[:200])
    return shown[:HEARD_CHARACTERS]


def first_line(data: bytes) -> str:
    """The first line, without what changes by the hour (the date that mail servers put behind a semicolon)."""
    return printable(data.split(b"\n", 1)[0].split(b";", 1)[0].rstrip(b"\r "))


# ---- protocols in which the server speaks first, or that answer a wrong question in their own words

_TELNET = re.compile(rb"[\x07-\x0d\x20-\x7e]*((?:\xff[\xfb-\xfe].)+|\xff\xfa)", re.DOTALL)
_MYSQL_VERSION = re.compile(rb"([\x20-\x7e]{1,100})\x00")
_GREETINGS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"SSH-\d"), "ssh"),
    (re.compile(rb"HTTP/\d"), "http"),
    (re.compile(rb"RFB \d{3}\.\d{3}\n"), "vnc"),
    (re.compile(rb"220[ -][^\n]*\bE?SMTP\b", re.IGNORECASE), "smtp"),
    (re.compile(rb"220[ -][^\n]*ftp", re.IGNORECASE), "ftp"),
    (re.compile(rb"\+OK[ \r]"), "pop3"),
    (re.compile(rb"\* (?:OK|PREAUTH|BYE) "), "imap"),
    (re.compile(rb"@RSYNCD: \d"), "rsync"),
)


def recognise(data: bytes) -> Recognised | None:
    """The protocol of bytes that a server sent first, or in answer to whatever we said."""
    if known := mysql(data):
        return known
    for pattern, service in _GREETINGS:
        if pattern.match(data):
            return Recognised(service, heard=first_line(data))
    # After the greetings: bytes of option negotiation may stand in anybody's text.
    for read in (telnet, tls, redis, memcached, zookeeper):
        if known := read(data):
            return known
    return None


def telnet(data: bytes) -> Recognised | None:
    """Option negotiation: IAC WILL, WONT, DO, DONT or SB (RFC 854). A log-in prompt alone proves nothing."""
    found = _TELNET.match(data)
    return Recognised("telnet", "login", printable(found[1][:60])) if found else None


def mysql(data: bytes) -> Recognised | None:
    """The initial handshake packet, or an error in its place; 1130 means that our address is not allowed."""
    if len(data) < 7 or data[3] != 0 or int.from_bytes(data[:3], "little") < 3:
        return None
    if data[4] in (9, 10) and (version := _MYSQL_VERSION.match(data, 5)):
        return Recognised("mysql", "login", printable(version[1]))
    if data[4] == 0xFF and int.from_bytes(data[:3], "little") <= len(data) - 4:
        number = int.from_bytes(data[5:7], "little")
        if 1000 <= number < 4200:
            return Recognised("mysql", "denied" if number == 1130 else "", f"error {number}", "refused_by_target")
    return None


def tls(data: bytes) -> Recognised | None:
    """A handshake or alert record (RFC 8446 section 5.1)."""
    if (
        len(data) >= 5
        and data[1] == 3
        and data[2] <= 4
        and (data[0] == 0x16 or data[:1] + data[3:5] == b"\x15\x00\x02")
    ):
        return Recognised("tls")
    return None


def redis(data: bytes) -> Recognised | None:
    """The answer to PING. -DENIED is protected mode: our address is not allowed."""
    if data.startswith(b"+PONG\r\n"):
        return Recognised("redis", "open", "+PONG")
    for word, access in ((b"-NOAUTH", "login"), (b"-NOPERM", "login"), (b"-DENIED", "denied")):
        if data.startswith(word):
            return Recognised("redis", access, first_line(data))
    return None


def memcached(data: bytes) -> Recognised | None:
    """The answer to ``version``."""
    if re.match(rb"VERSION \d[^\r\n]{0,60}\r\n", data):
        return Recognised("memcached", "open", first_line(data))
    if data.startswith(b"CLIENT_ERROR unauthenticated"):
        return Recognised("memcached", "login", first_line(data))
    return None


def zookeeper(data: bytes) -> Recognised | None:
    """The answer to ``srvr``."""
    if data.startswith(b"Zookeeper version:"):
        return Recognised("zookeeper", "open", first_line(data.split(b",", 1)[0]))
    if data.startswith(b"srvr is not executed because"):
        return Recognised("zookeeper", "denied", first_line(data))
    return None


# ---- answers to a question in the protocol itself


def rdp(data: bytes) -> Recognised | None:
    """X.224 Connection Confirm (MS-RDPBCGR 2.2.1.2) to a request for TLS without network level authentication."""
    if len(data) < 11 or data[:2] != b"\x03\x00" or data[5] & 0xF0 != 0xD0:
        return None
    if len(data) < int.from_bytes(data[2:4], "big"):
        return None
    failure = int.from_bytes(data[15:19], "little") if len(data) >= 19 and data[11] == 3 else 0
    if failure == 5:  # HYBRID_REQUIRED_BY_SERVER
        return Recognised("rdp", "nla", "X.224 confirm, HYBRID_REQUIRED_BY_SERVER")
    return Recognised("rdp", "no_nla", f"X.224 confirm, failure {failure}" if failure else "X.224 confirm")


def smb2(data: bytes) -> Recognised | None:
    """SMB2 NEGOTIATE response (MS-SMB2 2.2.4); heard is the dialect revision."""
    if len(data) >= 74 and data[4:8] == b"\xfeSMB" and data[16:18] == b"\x00\x00":
        return Recognised("smb", "", f"SMB2 dialect 0x{int.from_bytes(data[72:74], 'little'):04x}")
    return smb1(data)


def smb1(data: bytes) -> Recognised | None:
    """SMB_COM_NEGOTIATE response (MS-CIFS 2.2.4.52): access "smb1" when a dialect was chosen."""
    if len(data) < 39 or data[4:9] != b"\xffSMB\x72":
        return None
    chosen = data[9:13] == b"\0\0\0\0" and data[36] > 0 and data[37:39] != b"\xff\xff"
    return Recognised("smb", "smb1" if chosen else "", "SMB1 dialect NT LM 0.12" if chosen else "SMB1 refused")


def netbios(data: bytes) -> Recognised | None:
    """Positive or negative session response (RFC 1002 section 4.3)."""
    if data == b"\x82\x00\x00\x00" or (len(data) == 5 and data[:4] == b"\x83\x00\x00\x01"):
        return Recognised("netbios", "", printable(data))
    return None


def msrpc(data: bytes) -> Recognised | None:
    """bind_ack or bind_nak of DCE/RPC 5.0 (C706 chapter 12)."""
    if len(data) >= 16 and data[:2] == b"\x05\x00" and data[2] in (12, 13):
        return Recognised("msrpc", "", "bind_ack" if data[2] == 12 else "bind_nak")
    return None


def postgresql(data: bytes) -> Recognised | None:
    """The one byte that answers SSLRequest."""
    return Recognised("postgresql", "login", data.decode()) if data in (b"S", b"N") else None


def mssql(data: bytes) -> Recognised | None:
    """PRELOGIN response (MS-TDS 2.2.6.5): a tabular result whose first option is VERSION."""
    if len(data) < 9 or data[0] != 4 or data[8] != 0 or len(data) < int.from_bytes(data[2:4], "big"):
        return None
    offset = 8 + int.from_bytes(data[9:11], "big")
    major, minor, build = struct.unpack(">BBH", data[offset : offset + 4].ljust(4, b"\0"))
    return Recognised("mssql", "login", f"version {major}.{minor}.{build}")


_TNS = {2: "accept", 4: "refuse", 5: "redirect", 11: "resend"}


def oracle(data: bytes) -> Recognised | None:
    """A TNS packet that answers CONNECT."""
    if len(data) < 8 or data[2:4] != b"\0\0" or data[6:8] != b"\0\0" or data[4] not in _TNS:
        return None
    return Recognised("oracle", "login", f"TNS {_TNS[data[4]]}")


_CQL = {2: "open", 3: "login"}  # READY, AUTHENTICATE


def cassandra(data: bytes) -> Recognised | None:
    """The frame that answers STARTUP (CQL binary protocol v4 section 4.2); an ERROR proves the protocol only."""
    if len(data) < 9 or data[0] not in (0x83, 0x84, 0x85) or data[4] not in (0, 2, 3):
        return None
    return Recognised(
        "cassandra", _CQL.get(data[4], ""), f"CQL opcode {data[4]}", "" if data[4] else "refused_by_target"
    )
