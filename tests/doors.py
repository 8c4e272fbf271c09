"""A small real door on loopback: what probes are given in tests. Every answer comes from a real socket.

    door = LoopbackDoor({("198.51.100.7", 443): ("127.0.0.1", 41234)})

An address and port that is not mapped answers as a closed port does; ``beyond`` names hosts that are out of scope.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.probes.base import Response

T = TypeVar("T")

Place = tuple[str, int]
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class LoopbackStream:
    """posture.probes.base.Stream over an asyncio connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> None:
        self._reader = reader
        self._writer = writer
        self._patience = patience

    async def read(self, limit: int = 65536) -> bytes:
        return await self._timely(self._reader.read(limit))

    async def read_exactly(self, count: int) -> bytes:
        try:
            return await self._timely(self._reader.readexactly(count))
        except asyncio.IncompleteReadError as fault:
            raise NotSeen(Reason.TRUNCATED) from fault

    async def read_line(self, limit: int = 2048) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            if len(line) >= limit:
                raise NotSeen(Reason.MALFORMED)
            byte = await self.read(1)
            if not byte:
                if line:
                    raise NotSeen(Reason.TRUNCATED)
                return b""
            line += byte
        return line

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._timely(self._writer.drain())

    async def _timely(self, operation: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._patience):
                return await operation
        except TimeoutError as fault:
            raise NotSeen(Reason.TIMEOUT) from fault
        except OSError as fault:
            raise NotSeen(Reason.RESET) from fault

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


@dataclass
class LoopbackDoor:
    """posture.probes.base.Door on loopback.

    Args:
        places: (address, port) as the probe says it -> (loopback address, port) where a server listens.
        beyond: host names that a grant does not cover.
        silent: (address, port) that answer nothing to a connect.
        roots: PEM file that https servers are verified against; without it nothing verifies.
        patience: seconds that one read may take.
        resolver: what the probe finds as ``door.resolver``.
    """

    places: Mapping[Place, Place] = field(default_factory=dict)
    beyond: frozenset[str] = frozenset()
    silent: frozenset[Place] = frozenset()
    roots: Path | None = None
    patience: float = 3.0
    resolver: Any = None
    connections: list[Place] = field(default_factory=list)
    sweeps: list[Place] = field(default_factory=list)
    pushes: list[str] = field(default_factory=list)

    def throttled(self, address: str) -> None:
        """Kept; a door on loopback does not wait."""
        self.pushes.append(address)

    async def connect(self, address: str, port: int, *, timeout: float = 5.0, brisk: bool = False) -> LoopbackStream:
        return await self._open(address, port, min(timeout, self.patience))

    async def _open(
        self, address: str, port: int, patience: float, context: ssl.SSLContext | None = None, name: str | None = None
    ) -> LoopbackStream:
        self.connections.append((address, port))
        if (address, port) in self.silent:
            raise NotSeen(Reason.TIMEOUT)
        if (address, port) not in self.places:
            raise NotThere(AbsentCause.CLOSED)
        try:
            async with asyncio.timeout(patience):
                reader, writer = await asyncio.open_connection(
                    *self.places[address, port], ssl=context, server_hostname=name
                )
        except ConnectionRefusedError as fault:
            raise NotThere(AbsentCause.CLOSED) from fault
        except TimeoutError as fault:
            raise NotSeen(Reason.TIMEOUT) from fault
        return LoopbackStream(reader, writer, patience)

    async def sweep(self, address: str, port: int, *, timeout: float = 1.0) -> str:
        self.sweeps.append((address, port))
        if (address, port) in self.silent:
            return "filtered"
        try:
            _, writer = await asyncio.open_connection(*self.places[address, port])
        except (KeyError, ConnectionRefusedError):
            return "closed"
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return "open"

    async def ask_udp(self, address: str, port: int, payload: bytes, *, timeout: float = 2.0) -> bytes:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()

        class Once(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                if not answer.done():
                    answer.set_result(data)

            def error_received(self, exc: Exception) -> None:
                if not answer.done():
                    answer.set_exception(NotThere(AbsentCause.CLOSED))

        if (address, port) not in self.places:
            raise NotThere(AbsentCause.CLOSED)
        transport, _ = await loop.create_datagram_endpoint(Once, remote_addr=self.places[address, port])
        try:
            transport.sendto(payload)
            async with asyncio.timeout(min(timeout, self.patience)):
                return await answer
        except TimeoutError as fault:
            raise NotSeen(Reason.TIMEOUT) from fault
        finally:
            transport.close()

    async def get(self, url: str, *, address: str | None = None, body_limit: int = 0) -> Response:
        """A minimal HTTP/1.1 GET; the first address that has a place for the port is asked."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if host in self.beyond:
            raise NotSeen(Reason.OUT_OF_SCOPE, host, "E-SCOPE-010")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = address or next((known for known, number in self.places if number == port), "192.0.2.1")
        verified = False
        chain: tuple[bytes, ...] = ()
        if parts.scheme == "https":
            verified, chain = await self._certificate(address, port, host)
        stream = await self._open(
            address, port, self.patience, _careless() if parts.scheme == "https" else None, host if chain else None
        )
        async with stream:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            await stream.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return await _response(stream, url, body_limit, chain, verified)

    async def _certificate(self, address: str, port: int, host: str) -> tuple[bool, tuple[bytes, ...]]:
        """Whether the server's chain verifies against ``roots`` for the host, and its leaf."""
        verified = False
        if self.roots:
            try:
                strict = ssl.create_default_context(cafile=str(self.roots))
                async with await self._open(address, port, self.patience, strict, host):
                    verified = True
            except ssl.SSLError:
                verified = False
        try:
            careless = await self._open(address, port, self.patience, _careless(), host)
        except OSError as fault:
            raise NotSeen(Reason.RESET) from fault
        async with careless:
            leaf = careless._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return verified, (leaf,)


def _careless() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _response(
    stream: LoopbackStream, url: str, body_limit: int, chain: tuple[bytes, ...], verified: bool
) -> Response:
    start = (await stream.read_line()).split(b" ", 2)
    if len(start) < 2 or not start[0].startswith(b"HTTP/"):
        raise NotSeen(Reason.MALFORMED)
    headers = []
    while (line := (await stream.read_line(8192)).strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name.lower(), value.strip()))
    body = b""
    while len(body) < body_limit and (more := await stream.read(body_limit - len(body))):
        body += more
    return Response(url, int(start[1]), tuple(headers), body, chain, verified)


@asynccontextmanager
async def scripted(conversation: Conversation, context: ssl.SSLContext | None = None) -> AsyncIterator[Place]:
    """A server that talks to every client as ``conversation`` says; gives its (address, port)."""
    tasks: set[asyncio.Task[Any]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]  # a handler always runs in a task
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await conversation(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
