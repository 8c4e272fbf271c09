"""Servers with holes that no packaged server has any more: real OpenSSL, behind a front that answers some records itself.

    async with front([behind], Front(heartbeat=leak)) as place: ...

The front hands on what it does not know: handshakes are OpenSSL's own. What it does know is answered as the vulnerable,
the mended, or the merely unwilling server would, record by record.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from posture.probes.tls.records import record
from tests.doors import Place
from tests.probes.tls.asking import NAME

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, HEARTBEAT = 20, 21, 22, 23, 24
CLIENT_KEY_EXCHANGE = 16
TLS12 = 0x0303
BAD_RECORD_MAC, UNEXPECTED, DECRYPT_ERROR, UNRECOGNIZED_NAME = 20, 10, 51, 112


def alert(description: int) -> bytes:
    return record(ALERT, TLS12, bytes([2, description]))


@dataclass
class Connection:
    """One client, and the real server behind."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    behind: asyncio.StreamWriter
    flown: asyncio.Event = field(default_factory=asyncio.Event)  # the server's flight has gone to the client
    encrypted: bool = False
    renegotiations: int = 0

    async def answer(self, data: bytes) -> None:
        """After the flight, as a server that reads record by record does."""
        async with asyncio.timeout(10):
            await self.flown.wait()
        self.writer.write(data)
        await self.writer.drain()

    async def swallow(self) -> None:
        """Says nothing until the client leaves."""
        while await self.reader.read(65_536):
            pass

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Reaction = Callable[[Connection], Awaitable[None]]


async def hang_up(connection: Connection) -> None:
    """Closes, once its flight has gone."""
    await connection.answer(b"")


async def refuse(connection: Connection) -> None:
    """Alert unexpected_message, as OpenSSL says today."""
    await connection.answer(alert(UNEXPECTED))


async def say_nothing(connection: Connection) -> None:
    """RFC 6520 section 4: discarded silently. Or something on the path swallowed it: nobody can tell."""
    await connection.answer(b"")
    await connection.swallow()


async def reset(connection: Connection) -> None:
    """RST, once its flight has gone."""
    await connection.answer(b"")
    connection.reset()


async def leak(connection: Connection) -> None:
    """Heartbleed: as many bytes as the request claims to have."""
    await connection.answer(record(HEARTBEAT, TLS12, b"\x02\x3f\xfd" + b"\x01" * 2000))


async def decrypt_early(connection: Connection) -> None:
    """CVE-2014-0224: the record behind ChangeCipherSpec is decrypted, and its code is wrong."""
    await connection.answer(alert(BAD_RECORD_MAC))


@dataclass
class Front:
    """What it does itself; all else is the real server's. ``times``: how often ``heartbeat`` is reacted to that way,
    before it refuses. ``oracle``: paddings (by name, see ``padding``) that get an alert of their own at once.
    ``renegotiations``: so many that a client begins are let through, then it hangs up. ``needs_name``: hellos without
    SNI are refused. ``imap``: TLS begins after STARTTLS.
    """

    heartbeat: Reaction = refuse
    early: Reaction = refuse
    times: int = 1000
    oracle: frozenset[str] = frozenset()
    wrong: Reaction | None = None
    key: Path | None = None
    renegotiations: int | None = None
    needs_name: bool = False
    imap: bool = False
    connections: int = 0

    async def client(self, connection: Connection) -> None:
        """Records from the client, each handed on or answered."""
        if self.imap:
            await _imap(connection)
        keys = 0
        while True:
            head = await connection.reader.readexactly(5)
            body = await connection.reader.readexactly(int.from_bytes(head[3:]))
            kind = head[0]
            if kind == HEARTBEAT:
                self.times -= 1
                return await (self.heartbeat if self.times >= 0 else refuse)(connection)
            if kind == HANDSHAKE and not connection.encrypted:
                if body[0] == 1 and self.needs_name and NAME.encode() not in body:
                    connection.writer.write(alert(UNRECOGNIZED_NAME))
                    return None
                if body[0] == CLIENT_KEY_EXCHANGE:
                    keys += 1
                    if self.oracle and padding(body, self.private) in self.oracle:
                        return await (self.wrong or _at_once)(connection)
            if kind == CHANGE_CIPHER_SPEC:
                if not keys and body == b"\x01" and not await _is_13(connection):
                    return await self.early(connection)
                connection.encrypted = True
            elif kind == HANDSHAKE and connection.encrypted:
                connection.renegotiations += 1  # the first one is Finished
                if self.renegotiations is not None and connection.renegotiations > 1 + 3 * self.renegotiations:
                    return None
            connection.behind.write(head + body)
            await connection.behind.drain()

    @property
    def private(self) -> RSAPrivateKey:
        assert self.key is not None
        loaded = load_pem_private_key(self.key.read_bytes(), None)
        assert isinstance(loaded, RSAPrivateKey)
        return loaded


async def _at_once(connection: Connection) -> None:
    await connection.answer(alert(DECRYPT_ERROR))


async def _is_13(connection: Connection) -> bool:
    """Whether the real server is in TLS 1.3, where ChangeCipherSpec is a courtesy: its flight does not end in the clear."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await connection.flown.wait()
    return not connection.flown.is_set()


def padding(body: bytes, key: RSAPrivateKey) -> str:
    """What is wrong with the encrypted secret of a ClientKeyExchange (RFC 8017 section 7.2.2): "right" or the fault."""
    numbers, size = key.private_numbers(), (key.key_size + 7) // 8
    plain = pow(int.from_bytes(body[6:]), numbers.d, numbers.public_numbers.n).to_bytes(size)
    if plain[:2] != b"\0\2":
        return "type"
    end = plain.find(b"\0", 2)
    if end < 0:
        return "endless"
    if size - end - 1 != 48:
        return "length"
    return "right" if plain[end + 1 : end + 3] == b"\3\3" else "version"


ANY_WRONG = frozenset({"type", "endless", "length", "version"})


async def _imap(connection: Connection) -> None:
    """RFC 3501 section 6.2.1."""
    connection.writer.write(b"* OK ready\r\n")
    words = (await connection.reader.readuntil(b"\r\n")).split()
    connection.writer.write(words[0] + b" OK begin TLS now\r\n")
    await connection.writer.drain()


@asynccontextmanager
async def front(behind: Sequence[Place], script: Front) -> AsyncIterator[Place]:
    """A front in front of servers, which get a client each in turn (``openssl s_server`` has but one at a time)."""
    idle: asyncio.Queue[Place] = asyncio.Queue()
    for place in behind:
        idle.put_nowait(place)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.connections += 1
        place = await idle.get()
        back, forth = await asyncio.open_connection(*place)
        connection = Connection(reader, writer, forth)
        ways = [asyncio.ensure_future(script.client(connection)), asyncio.ensure_future(_server(back, connection))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.close()
            idle.put_nowait(place)
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2]


async def _server(back: asyncio.StreamReader, connection: Connection) -> None:
    """Bytes from the real server; notes when its flight has gone (ServerHelloDone ends it)."""
    with contextlib.suppress(ConnectionError):
        while data := await back.read(65_536):
            connection.writer.write(data)
            await connection.writer.drain()
            if data.endswith(b"\x0e\0\0\0"):
                connection.flown.set()
