"""The first words of our own in each protocol: the smallest true question, never a log-in, never an exploit."""

from __future__ import annotations

import struct

TELNET_DO_SUPPRESS_GO_AHEAD = b"\xff\xfd\x03"  # RFC 858; every Telnet answers WILL or WONT
REDIS_PING = b"PING\r\n"
MEMCACHED_VERSION = b"version\r\n"
ZOOKEEPER_SRVR = b"srvr"
POSTGRESQL_SSL_REQUEST = struct.pack(">II", 8, 80877103)
HTTP_GET = b"GET / HTTP/1.0\r\n\r\n"

# X.224 Connection Request that asks for TLS only: a server that insists on network level authentication says so.
RDP_NEGOTIATION = bytes.fromhex("030000130ee000000000000100080001000000")


def _netbios_frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


def _smb2_negotiate() -> bytes:
    """MS-SMB2 2.2.3 with dialects 2.0.2 to 3.0.2."""
    dialects = (0x0202, 0x0210, 0x0300, 0x0302)
    header = b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ", 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + bytes(16)
    body = struct.pack("<HHHHI", 36, len(dialects), 1, 0, 0) + bytes(16) + bytes(8)
    return _netbios_frame(header + body + struct.pack(f"<{len(dialects)}H", *dialects))


def _smb1_negotiate() -> bytes:
    """MS-CIFS 2.2.4.52 with the one dialect that is SMB 1."""
    dialect = b"\x02NT LM 0.12\x00"
    header = b"\xffSMB\x72" + struct.pack("<IBH", 0, 0x18, 0xC801) + bytes(12) + struct.pack("<HHHH", 0xFFFF, 1, 0, 0)
    return _netbios_frame(header + b"\0" + struct.pack("<H", len(dialect)) + dialect)


def _netbios_name(name: bytes, suffix: int) -> bytes:
    """First-level encoding (RFC 1001 section 14.1)."""
    padded = name.ljust(15) + bytes([suffix])
    return b"\x20" + b"".join(bytes([0x41 + (byte >> 4), 0x41 + (byte & 15)]) for byte in padded) + b"\0"


def _netbios_session() -> bytes:
    names = _netbios_name(b"*SMBSERVER", 0x20) + _netbios_name(b"POSTURE", 0)
    return b"\x81\x00" + struct.pack(">H", len(names)) + names


def _msrpc_bind() -> bytes:
    """A bind to the endpoint mapper, the one interface that always exists."""
    mapper = bytes.fromhex("0883afe11f5dc91191a408002b14a0fa") + struct.pack("<HH", 3, 0)
    ndr = bytes.fromhex("045d888aeb1cc9119fe808002b104860") + struct.pack("<I", 2)
    body = struct.pack("<HHIBxxxHBx", 4280, 4280, 0, 1, 0, 1) + mapper + ndr
    return struct.pack("<BBBBIHHI", 5, 0, 11, 3, 0x10, 16 + len(body), 0, 1) + body


def _mssql_prelogin() -> bytes:
    options = struct.pack(">BHHBHHB", 0, 11, 6, 1, 17, 1, 0xFF) + bytes(6) + b"\x02"  # encryption not supported
    return struct.pack(">BBHHBB", 0x12, 1, 8 + len(options), 0, 0, 0) + options


def _oracle_connect() -> bytes:
    data = b"(CONNECT_DATA=(COMMAND=version))"
    head = struct.pack(">HHHHHHHHHHIBB", 0x136, 0x12C, 0, 0x800, 0x7FFF, 0x7F08, 0, 1, len(data), 58, 0, 0, 0)
    body = head.ljust(50, b"\0") + data
    return struct.pack(">HHBBH", 8 + len(body), 0, 1, 0, 0) + body


def _cassandra_startup() -> bytes:
    body = struct.pack(">H", 1) + b"".join(struct.pack(">H", len(word)) + word for word in (b"CQL_VERSION", b"3.0.0"))
    return struct.pack(">BBHBI", 4, 0, 0, 1, len(body)) + body


def _client_hello() -> bytes:
    """TLS 1.0 to 1.3 in one hello without a key share: any TLS server answers with a record."""
    extensions = b"".join(
        struct.pack(">HH", kind, len(body)) + body
        for kind, body in (
            (10, bytes.fromhex("0004001d0017")),
            (11, bytes.fromhex("0100")),
            (13, bytes.fromhex("000a04030804040105010201")),
            (43, bytes.fromhex("080304030303020301")),
            (51, bytes.fromhex("0000")),
        )
    )
    suites = bytes.fromhex("13011302c02bc02fc030009c002f0035")
    body = b"\x03\x03" + bytes(32) + b"\0" + struct.pack(">H", len(suites)) + suites + b"\x01\x00"
    body += struct.pack(">H", len(extensions)) + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(handshake)) + handshake


SMB2_NEGOTIATE = _smb2_negotiate()
SMB1_NEGOTIATE = _smb1_negotiate()
NETBIOS_SESSION = _netbios_session()
MSRPC_BIND = _msrpc_bind()
MSSQL_PRELOGIN = _mssql_prelogin()
ORACLE_CONNECT = _oracle_connect()
CASSANDRA_STARTUP = _cassandra_startup()
CLIENT_HELLO = _client_hello()
