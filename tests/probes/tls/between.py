"""What stands between a client and a server: boxes that count connections, or take offence at a hello."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from posture.probes.tls.records import CodecError, Reader
from tests.doors import Place

HELLO_RECORD = 22


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes one way until there are no more."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def pass_on(
    behind: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, already_read: bytes = b""
) -> None:
    """Carries a conversation to the server behind, and its answers back."""
    inner, outer = await asyncio.open_connection(*behind)
    try:
        outer.write(already_read)
        await asyncio.gather(_carry(reader, outer), _carry(inner, writer))
    finally:
        outer.close()
        with contextlib.suppress(OSError):
            await outer.wait_closed()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Closing with this option set sends RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def turn_away(way: str, writer: asyncio.StreamWriter) -> None:
    """``way``: "reset", "silence" or "close"."""
    if way == "reset":
        await reset(writer)
    elif way == "silence":
        await asyncio.Event().wait()


@dataclass
class Ban:
    """Lets so many connections through to ``behind``, and turns away all that follow.

    Args:
        at_once: before they have said anything, as where the server speaks first.
    """

    behind: Place
    after: int
    way: str
    at_once: bool = False
    connections: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections > self.after:
            if not self.at_once:
                await reader.read(5)
            await turn_away(self.way, writer)
            return
        await pass_on(self.behind, reader, writer)


@dataclass
class Choosy:
    """Lets hellos through to ``behind`` that it does not mind, and turns away the others; ``minded`` counts those.

    Args:
        minds: told the whole handshake message, with its header of four octets.
    """

    behind: Place
    minds: Callable[[bytes], bool]
    way: str
    minded: int = 0
    lengths: list[int] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        body = b""
        if head[0] == HELLO_RECORD:
            body = await reader.readexactly(int.from_bytes(head[3:]))
            self.lengths.append(len(body))
            if self.minds(body):
                self.minded += 1
                await turn_away(self.way, writer)
                return
        await pass_on(self.behind, reader, writer, head + body)


def extensions_of(hello: bytes) -> set[int]:
    """The numbers of the extensions in a ClientHello."""
    body = Reader(hello)
    body.take(4 + 2 + 32)
    body.vector(1)
    body.vector(2)
    body.vector(1)
    found: set[int] = set()
    with contextlib.suppress(CodecError):
        listed = body.vector(2)
        while len(listed):
            found.add(listed.number(2))
            listed.vector(2)
    return found
