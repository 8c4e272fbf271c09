"""What an open port speaks, on scripted servers that say what the real ones say."""

from __future__ import annotations

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
import trustme

from posture.facts import parse_bson
from posture.facts.service import PortAnswer
from posture.model import Reason
from posture.probes import questions
from posture.probes.identify import Place, identify
from posture.probes.matrix import ICS_PORTS, MUTE_PORTS
from tests.doors import Conversation, LoopbackDoor, scripted

ADDRESS = "198.51.100.7"
NAME = "www.finance.gov.example"


def says(banner: bytes) -> Conversation:
    """Speaks first, then listens until the client goes."""

    async def converse(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(banner)
        await writer.drain()
        await reader.read()

    return converse


def answers(*pairs: tuple[bytes, bytes], banner: bytes = b"") -> Conversation:
    """Waits for each question in turn (by how it begins) and answers it; a wrong question ends the talk."""

    async def converse(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(banner)
        for question, answer in pairs:
            heard = await reader.read(4096)
            if not heard.startswith(question):
                return
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return converse


def by_path(pages: dict[str, tuple[int, str, bytes]]) -> Conversation:
    """HTTP: request target -> (status, one header line or "", body); anything else is 404."""

    async def converse(reader: StreamReader, writer: StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
        status, header, body = pages.get(target, (404, "", b"none"))
        head = f"HTTP/1.1 {status} X\r\n{header}{'' if not header else chr(13) + chr(10)}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return converse


def ask(
    port: int, conversation: Conversation, context: SSLContext | None = None, patience: float = 2.0
) -> tuple[PortAnswer, LoopbackDoor]:
    async def run() -> tuple[PortAnswer, LoopbackDoor]:
        async with scripted(conversation, context) as place:
            door = LoopbackDoor({(ADDRESS, port): place}, patience=patience)
            return await identify(Place(door, ADDRESS, port, NAME, banner_seconds=0.2)), door

    return asyncio.run(run())


def bson_reply(elements: bytes) -> bytes:
    document = struct.pack("<i", len(elements) + 5) + elements + b"\0"
    return parse_bson.op_msg(document)


def ok(value: float) -> bytes:
    return b"\x01ok\0" + struct.pack("<d", value)


def int32(name: str, value: int) -> bytes:
    return b"\x10" + name.encode() + b"\0" + struct.pack("<i", value)


HELLO_REPLY = bson_reply(
    b"\x03topologyVersion\0\x05\0\0\0\0\x09localTime\0" + bytes(8) + int32("maxWireVersion", 21) + ok(1)
)
NAMES_REPLY = bson_reply(b"\x04databases\0\x05\0\0\0\0" + ok(1))
UNAUTHORISED = bson_reply(ok(0) + parse_bson.text("errmsg", "requires authentication") + int32("code", 13))

MYSQL = b"\x4a\0\0\0\x0a8.0.36\0" + bytes(60)
MYSQL_1130 = (
    b"\x45\0\0\1".replace(b"\1", b"\0")
    + b"\xffj\x04Host '127.0.0.1' is not allowed to connect to this MySQL server\0\0\0"
)
SMB2_REPLY = b"\0\0\0\x80\xfeSMB" + bytes(8) + b"\0\0" + bytes(50) + b"\x41\0\1\0\x11\x03" + bytes(60)
SMB1_REPLY = b"\0\0\0\x30\xffSMB\x72" + bytes(27) + b"\x11\0\0" + bytes(20)
RDP_OK = bytes.fromhex("030000130ed000001234000201080001000000")
RDP_NLA = bytes.fromhex("030000130ed000001234000300080005000000")
MSSQL = (
    bytes.fromhex("0401002b00000100")
    + bytes.fromhex("00001a0006010020000102002100010300220000")
    + bytes.fromhex("04002200010000ff0f00103c000000")
)
TNS_REFUSE = b"\0\x30\0\0\x04\0\0\0" + b"\x22\0\0\x24(DESCRIPTION=(ERR=12514))"
SUPPORTED_LOGIN = bytes.fromhex("840000000300000000")
READY = bytes.fromhex("840000000200000000")
ES = b'{"name":"n","cluster_name":"records","version":{"number":"8.11.1"},"tagline":"You Know, for Search"}'
ES_401 = b'{"error":{"root_cause":[],"type":"security_exception"},"status":401}'


@pytest.mark.parametrize(
    ("port", "conversation", "service", "access"),
    [
        (22, says(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "ssh", ""),
        (5900, says(b"RFB 003.008\n"), "vnc", ""),
        (25, says(b"220 mail.gov.example ESMTP ready; Mon, 23 Nov 2026\r\n"), "smtp", ""),
        (23, says(b"\xff\xfd\x18\xff\xfd\x20"), "telnet", "login"),
        (23, answers((b"\xff\xfd\x03", b"\xff\xfb\x03"), banner=b"login: "), "telnet", "login"),
        (23, says(b"SSH-2.0-dropbear\r\n"), "ssh", ""),
        (3306, says(MYSQL), "mysql", "login"),
        (3306, says(MYSQL_1130), "mysql", "denied"),
        (3389, answers((questions.RDP_NEGOTIATION, RDP_OK)), "rdp", "no_nla"),
        (3389, answers((questions.RDP_NEGOTIATION, RDP_NLA)), "rdp", "nla"),
        (3389, answers((questions.RDP_NEGOTIATION, b"HTTP/1.1 400 Bad Request\r\n\r\n")), "http", ""),
        (445, answers((questions.SMB2_NEGOTIATE, SMB2_REPLY)), "smb", ""),
        (445, answers((b"\0\0\0", SMB1_REPLY)), "smb", "smb1"),
        (139, answers((b"\x81", b"\x82\0\0\0")), "netbios", ""),
        (135, answers((questions.MSRPC_BIND, b"\x05\0\x0c\x03" + bytes(56))), "msrpc", ""),
        (5432, answers((questions.POSTGRESQL_SSL_REQUEST, b"N")), "postgresql", "login"),
        (1433, answers((questions.MSSQL_PRELOGIN, MSSQL)), "mssql", "login"),
        (1521, answers((questions.ORACLE_CONNECT, TNS_REFUSE)), "oracle", "login"),
        (6379, answers((b"PING", b"+PONG\r\n")), "redis", "open"),
        (6379, answers((b"PING", b"-NOAUTH Authentication required.\r\n")), "redis", "login"),
        (6379, answers((b"PING", b"-DENIED Redis is running in protected mode\r\n")), "redis", "denied"),
        (11211, answers((b"version", b"VERSION 1.6.18\r\n")), "memcached", "open"),
        (2181, answers((b"srvr", b"Zookeeper version: 3.8.0-1, built on 2022\n")), "zookeeper", "open"),
        (9042, answers((questions.CASSANDRA_STARTUP, READY)), "cassandra", "open"),
        (9042, answers((questions.CASSANDRA_STARTUP, SUPPORTED_LOGIN)), "cassandra", "login"),
        (27017, answers((b"", HELLO_REPLY), (b"", NAMES_REPLY)), "mongodb", "open"),
        (27017, answers((b"", HELLO_REPLY), (b"", UNAUTHORISED)), "mongodb", "login"),
        (27017, answers((b"", HELLO_REPLY)), "mongodb", ""),
        (9200, by_path({"/": (200, "", ES)}), "elasticsearch", "open"),
        (9200, by_path({"/": (401, "", ES_401)}), "elasticsearch", "login"),
        (9200, by_path({"/": (200, "", b"<html>a proxy</html>")}), "http", ""),
        (5984, by_path({"/": (200, "", b'{"couchdb":"Welcome","version":"1.7"}'),
                        "/_session": (200, "", b'{"ok":true,"userCtx":{"name":null,"roles":["_admin"]}}')}), "couchdb", "open"),
        (5984, by_path({"/": (200, "", b'{"couchdb":"Welcome","version":"3.3"}'),
                        "/_session": (200, "", b'{"ok":true,"userCtx":{"name":null,"roles":[]}}')}), "couchdb", "login"),
        (2379, by_path({"/version": (200, "", b'{"etcdserver":"3.5.9"}'),
                        "/v3/auth/status": (200, "", b'{"header":{},"authRevision":"1"}')}), "etcd", "open"),
        (2379, by_path({"/version": (200, "", b'{"etcdserver":"3.5.9"}'),
                        "/v3/auth/status": (200, "", b'{"header":{},"enabled":true}')}), "etcd", "login"),
        (8086, by_path({"/ping": (204, "X-Influxdb-Version: 1.8.10", b""),
                        "/query?q=SHOW%20DIAGNOSTICS": (401, "", b"{}")}), "influxdb", "login"),
        (80, by_path({"/": (200, "Server: x", b"hello")}), "http", ""),
        (4321, by_path({"/": (200, "", b"hello")}), "http", ""),
        (4321, says(b"220 ProFTPD\r\n"), "ftp", ""),
    ],
)  # fmt: skip
def test_a_protocol_is_recognised_by_its_own_bytes(
    port: int, conversation: Conversation, service: str, access: str
) -> None:
    answer, _ = ask(port, conversation, patience=0.5)

    assert (answer.service, answer.access) == (service, access)


def ftp(feat: bytes, user: bytes, auth: bytes = b"500 what?\r\n", banner: bytes = b"220 ready\r\n") -> Conversation:
    async def converse(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(banner)
        while line := await reader.readline():
            word = line.split()[0]
            assert word != b"PASS"
            writer.write({b"FEAT": feat, b"USER": user, b"AUTH": auth}.get(word, b"221 bye\r\n"))
            await writer.drain()

    return converse


WITH_TLS = b"211-Features:\r\n AUTH TLS\r\n PBSZ\r\n211 End\r\n"
WITHOUT_TLS = b"211-Features:\r\n UTF8\r\n211 End\r\n"


@pytest.mark.parametrize(
    ("conversation", "access"),
    [
        (ftp(WITH_TLS, b"331 password?\r\n"), "tls_optional"),
        (ftp(WITH_TLS, b"530 TLS first\r\n"), "tls_required"),
        (ftp(WITH_TLS, b"421 busy\r\n"), ""),
        (ftp(WITH_TLS, b"421 cleartext sessions are not accepted\r\n"), "tls_required"),
        (ftp(WITH_TLS, b"534 policy\r\n"), "tls_required"),
        (ftp(WITH_TLS, b"530 no such user\r\n"), "tls_required"),
        (ftp(WITHOUT_TLS, b"331 password?\r\n"), "clear"),
        (ftp(WITHOUT_TLS, b"331 password?\r\n", auth=b"431 not now\r\n"), ""),
        (ftp(b"500 no FEAT\r\n", b"530 TLS first\r\n", auth=b"234 go on\r\n"), "tls_required"),
        (ftp(b"500 no FEAT\r\n", b"331 password?\r\n", banner=b"220-Welcome\r\n220 to FTP\r\n"), "clear"),
    ],
)
def test_ftp_is_asked_for_tls_and_never_for_a_password(conversation: Conversation, access: str) -> None:
    answer, door = ask(21, conversation)

    assert (answer.service, answer.access) == ("ftp", access)
    assert len(door.connections) == 1


async def garbage(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(bytes(range(128, 256)) * 8)
    await writer.drain()


async def endless(reader: StreamReader, writer: StreamWriter) -> None:
    while True:
        writer.write(b"login: " * 500)
        await writer.drain()


async def silent(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read()


async def goes_at_once(reader: StreamReader, writer: StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("port", [21, 22, 23, 80, 139, 443, 445, 1433, 3306, 3389, 5432, 6379, 9042, 9200, 27017, 4321])
@pytest.mark.parametrize("conversation", [garbage, endless, silent, goes_at_once])
def test_nothing_known_is_nothing_said_and_a_reason(port: int, conversation: Conversation) -> None:
    answer, door = ask(port, conversation, patience=0.3)

    assert (answer.service, answer.access) == ("", "")
    assert Reason(answer.why) in (Reason.MALFORMED, Reason.TIMEOUT, Reason.RESET, Reason.TRUNCATED)
    assert len(answer.heard) <= 200
    assert len(door.connections) <= 4


async def drips(reader: StreamReader, writer: StreamWriter) -> None:
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


def test_a_server_that_drips_is_left_in_time() -> None:
    async def run() -> PortAnswer:
        async with scripted(drips) as place:
            door = LoopbackDoor({(ADDRESS, 6379): place})
            return await identify(Place(door, ADDRESS, 6379, NAME, seconds=0.3))

    answer = asyncio.run(run())

    assert (answer.service, answer.why) == ("", Reason.TIMEOUT)


def test_silence_is_a_time_out_and_rubbish_is_malformed() -> None:
    assert ask(6379, silent, patience=0.2)[0].why == Reason.TIMEOUT
    assert ask(6379, garbage)[0].why == Reason.MALFORMED


@pytest.mark.parametrize("port", sorted(MUTE_PORTS | ICS_PORTS))
def test_printers_and_controllers_get_no_connection_of_ours(port: int) -> None:
    answer, door = ask(port, says(b"220 FTP\r\n"))

    assert answer.service == ""
    assert door.connections == []


@pytest.fixture(scope="module")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(NAME).configure_cert(context)
    return context


def test_a_port_that_wants_tls_is_recognised_by_its_record(server_context: SSLContext) -> None:
    answer, _ = ask(8443, by_path({}), server_context)

    assert answer.service == "tls"


def test_a_data_store_behind_tls_is_asked_over_tls(server_context: SSLContext) -> None:
    answer, _ = ask(9200, by_path({"/": (200, "", ES)}), server_context)

    assert (answer.service, answer.access, answer.heard) == ("elasticsearch", "open", "cluster_name records")


@pytest.mark.parametrize(
    ("server", "challenge", "service"),
    [
        ("Microsoft-HTTPAPI/2.0", "NTLM", "rd_gateway"),
        ("Microsoft-HTTPAPI/2.0", "Basic realm=x", "tls"),
        ("nginx", "NTLM", "tls"),
    ],
)
def test_a_remote_desktop_gateway_shows_itself_at_its_own_path(
    server_context: SSLContext, server: str, challenge: str, service: str
) -> None:
    header = f"Server: {server}\r\nWWW-Authenticate: {challenge}"
    answer, _ = ask(443, by_path({"/remoteDesktopGateway/": (401, header, b"")}), server_context)

    assert answer.service == service


def test_equal_servers_are_heard_equally_whatever_salt_they_add() -> None:
    first, _ = ask(3306, says(MYSQL))
    second, _ = ask(3306, says(MYSQL[:12] + b"\x09\0\0\0saltsalt" + MYSQL[24:]))

    assert first == second


def test_untrusted_text_is_escaped_and_capped(tmp_path: Path) -> None:
    answer, _ = ask(22, says(b"\x1b]0;owned\x07\\" + b"A" * 500))

    assert answer.heard.startswith("\\x1b]0;owned\\x07\\x5cAAA")
    assert len(answer.heard) == 200
