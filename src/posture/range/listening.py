"""Ports of loopback addresses, opened and closed at will. The range listens; it never connects."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ssl import MemoryBIO, SSLContext, SSLError, SSLObject, SSLWantReadError, SSLZeroReturnError

PATIENCE = 60.0  # seconds that one conversation may last
HANDSHAKE = 10.0  # seconds for a client to finish its TLS handshake
GOODBYE = 1.0  # seconds for a client to see the end of the conversation
LONGEST = 65536  # bytes of one line or message
_BINDS = 50  # attempts to find one number that is free for TCP and UDP


class Peer:
    """One client that has connected, in clear or, after :meth:`start_tls`, encrypted.

    asyncio's own TLS drops the alert of a failed handshake; a client that asks which versions and suites we speak
    needs it, so that TLS is spoken here over memory buffers.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._wire = reader
        self._heard = bytearray()
        self._ended = False
        self._incoming, self._outgoing = MemoryBIO(), MemoryBIO()
        self._tls: SSLObject | None = None

    @classmethod
    async def welcome(cls, connection: socket.socket) -> Peer:
        """Takes over an accepted connection."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def start_tls(self, context: SSLContext) -> None:
        """The server's half of a handshake; what came in clear before it is forgotten (RFC 3207 section 6).

        Raises:
            OSError: no handshake (ssl.SSLError; the alert has been sent), or no client any more.
        """
        self._heard.clear()
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        async with asyncio.timeout(HANDSHAKE):
            while True:
                try:
                    tls.do_handshake()
                    break
                except SSLWantReadError:
                    await self._flush()
                    await self._receive()
                finally:
                    await self._flush()
        self._tls = tls

    async def say(self, data: bytes) -> None:
        if self._tls is None:
            self.writer.write(data)
            await self.writer.drain()
        elif data:
            self._tls.write(data)
            await self._flush()

    async def read(self, limit: int = 65536) -> bytes:
        """At least one byte, or b"" at the end."""
        while not self._heard and not self._ended:
            await self._listen()
        return self._take(min(limit, len(self._heard)))

    async def read_exactly(self, count: int) -> bytes:
        """Raises EOFError: the client left first. ValueError: more than anybody needs, or less than nothing."""
        if not 0 <= count <= LONGEST:
            raise ValueError(f"{count} bytes announced")
        while len(self._heard) < count:
            if self._ended:
                raise EOFError
            await self._listen()
        return self._take(count)

    async def line(self) -> bytes:
        """The next line without its ending; b"" also at the end (see :meth:`gone`). ValueError: an endless line."""
        while (end := self._heard.find(b"\n")) < 0 and not self._ended:
            if len(self._heard) > LONGEST:
                raise ValueError("an endless line")
            await self._listen()
        return self._take(len(self._heard) if end < 0 else end + 1).rstrip(b"\r\n")

    def gone(self) -> bool:
        """Whether the client has said its last, and all of it has been read."""
        return self._ended and not self._heard

    async def leave(self) -> None:
        """Says goodbye, briefly."""
        with suppress(OSError):
            if self._tls is not None:
                with suppress(SSLError):  # the client's own close_notify need not be waited for
                    self._tls.unwrap()
                await self._flush()
            self.writer.close()
            async with asyncio.timeout(GOODBYE):
                await self.writer.wait_closed()

    async def _listen(self) -> None:
        """Adds to what was heard, or finds that the client has ended."""
        if self._tls is None:
            data = await self._wire.read(65536)
        else:
            data = await self._decrypted(self._tls)
        self._heard += data
        self._ended = not data

    async def _decrypted(self, tls: SSLObject) -> bytes:
        while True:
            try:
                return tls.read(65536)
            except SSLWantReadError:
                await self._flush()
                try:
                    await self._receive()
                except EOFError:
                    return b""
            except SSLZeroReturnError:
                return b""

    async def _receive(self) -> None:
        data = await self._wire.read(65536)
        if not data:
            raise EOFError
        self._incoming.write(data)

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            self.writer.write(data)
            await self.writer.drain()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._heard[:count])
        del self._heard[:count]
        return taken


Conversation = Callable[[Peer], Awaitable[None]]


class TcpPort:
    """One TCP port, bound for as long as the range stands so that nobody else gets its number.

    Bound and not listening it answers RST; :meth:`open` and :meth:`close` go to and fro (Linux).

    Raises:
        OSError: the address is not on this machine, or ``number`` is taken.
        ValueError: the address is not a loopback address.
    """

    def __init__(self, address: str, number: int = 0) -> None:
        if not ipaddress.ip_address(address).is_loopback:
            raise ValueError(f"the practice range listens on loopback addresses only, not on {address}")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind((address, number))
        except OSError:
            self._socket.close()
            raise
        self.address = address
        self.number = int(self._socket.getsockname()[1])
        self._conversations: set[asyncio.Task[None]] = set()
        self._listening = False

    def open(self, conversation: Conversation, *, tls: SSLContext | None = None) -> None:
        """Accepts connections from now on; every one becomes a task."""
        self._socket.listen(100)
        self._listening = True
        asyncio.get_running_loop().add_reader(self._socket, self._accept, conversation, tls)

    def _accept(self, conversation: Conversation, tls: SSLContext | None) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # the client has gone again, or we are out of descriptors
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(_converse(connection, conversation, tls))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def close(self) -> None:
        """Back to RST; conversations under way are cut."""
        if self._listening:
            self._listening = False
            asyncio.get_running_loop().remove_reader(self._socket)
            # On Linux a listening socket that is shut down stays bound: the number remains ours.
            self._socket.shutdown(socket.SHUT_RDWR)
        await asyncio.sleep(0)  # a task cancelled before its first step would lose its socket
        under_way = list(self._conversations)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the loop's next round

    async def release(self) -> None:
        """Closes for good and gives the number back."""
        await self.close()
        self._socket.close()


async def _converse(connection: socket.socket, conversation: Conversation, tls: SSLContext | None) -> None:
    """One client from welcome to goodbye. Whatever it does to us ends the conversation and nothing else."""
    with suppress(OSError, EOFError, ValueError):  # resets, failed handshakes, time-outs; ends; endless lines
        peer = await Peer.welcome(connection)
        try:
            async with asyncio.timeout(PATIENCE):
                if tls is not None:
                    await peer.start_tls(tls)
                await conversation(peer)
            await peer.leave()
        except SSLError:
            await peer.leave()  # the alert is on its way
        finally:
            peer.writer.transport.abort()


class UdpPort(asyncio.DatagramProtocol):
    """One UDP port that answers datagrams by a function (None: no answer)."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, address: str, number: int) -> None:
        """Raises OSError: the number is taken."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(address, number))

    def datagram_received(self, data: bytes, address: tuple[str | int, ...]) -> None:
        reply = self._answer(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, address)

    async def release(self) -> None:
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)


async def bind_both(address: str, answer: Callable[[bytes], bytes | None]) -> tuple[TcpPort, UdpPort]:
    """A TCP port (still closed) and an answering UDP port with the same number.

    Raises:
        OSError: no common number was found.
    """
    for attempt in range(_BINDS):
        tcp, udp = TcpPort(address), UdpPort(answer)
        try:
            await udp.open(address, tcp.number)
        except OSError:
            await tcp.release()
            if attempt == _BINDS - 1:
                raise
        else:
            return tcp, udp
    raise AssertionError("the loop returns or raises")
