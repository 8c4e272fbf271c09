"""A CONNECT proxy on loopback (RFC 9110 section 9.3.6), for a child that must talk to one port of one address.

    async with connect_proxy(door, "www.finance.gov.example", "198.51.100.7", 443, budget=40) as proxy:
        ...                                      # give the child proxy.url, not as an argument: others could read it

Every tunnel goes through the task's door: decided, paced, recorded, counted, with the byte caps and deadlines of any
connection of ours. The proxy knows one target and one secret; it ends with the door.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

from posture.door import Stream
from posture.model import NotSeen, NotThere, Reason
from posture.net.broker import CONNECT_SECONDS, BrokerDoor
from posture.net.tunnel import End, Observer, Tunnel

LOOPBACK = "127.0.0.1"
HEAD_BYTES = 4096
HEAD_SECONDS = 10.0
_CHUNK = 65_536
# After so many tunnels in which the target said nothing at all, there are no more: it would not answer the next either.
_MUTE = 2
_USER = "posture"
_REASONS = {
    200: "Connection established",
    400: "Bad Request",
    403: "Forbidden",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    429: "Too Many Requests",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass(slots=True)
class ConnectProxy:
    """A proxy at work.

    ``tunnels`` counts connections asked of the door, at most ``budget``; ``refused`` what was asked for otherwise;
    ``unseen`` why tunnels were not to be had: a child that met one of them knows less than it says. ``log``: every tunnel
    that has ended. ``pause``: seconds before the target's first words are handed on; some clients read them together with
    our answer otherwise, and drop them.
    """

    door: BrokerDoor
    name: str
    address: str
    port: int
    budget: int
    pause: float = 0.0
    listening: int = 0
    tunnels: int = 0
    refused: int = 0
    unseen: list[NotSeen] = field(default_factory=list)
    log: list[Tunnel] = field(default_factory=list)
    _secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    @property
    def url(self) -> str:
        """With the secret in it."""
        return f"http://{_USER}:{self._secret}@{LOOPBACK}:{self.listening}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, to its end."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            await _answer(writer, 400)
            return
        status = self._judge(head)
        if status != 200:
            self.refused += 1
            if status == 429:
                self.unseen.append(NotSeen(Reason.RATE_LIMITED, f"the budget of {self.budget} connections is used up"))
                self.log.append(Tunnel(End.UNSEEN))
            elif status == 504:
                self.log.append(Tunnel(End.SILENCE))
            await _answer(writer, status)
            return
        self.tunnels += 1
        stream = await self._dial(reader, writer)
        if stream is not None:
            async with stream:
                await _answer(writer, 200)
                await self._carry(reader, writer, stream)

    def _judge(self, head: bytes) -> int:
        """200 when this client may have a tunnel now."""
        request, *lines = head.split(b"\r\n")
        fields = [line.partition(b":") for line in lines if line]
        given = [value.strip() for name, _, value in fields if name.lower() == b"proxy-authorization"]
        expected = b"Basic " + base64.b64encode(f"{_USER}:{self._secret}".encode())
        # Who does not know the secret learns nothing else.
        if len(given) != 1 or not hmac.compare_digest(given[0], expected):
            return 407
        words = request.split(b" ")
        if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            return 400
        if words[0] != b"CONNECT":
            return 405
        host, _, port = words[1].decode("latin-1").rpartition(":")
        if host.removeprefix("[").removesuffix("]").lower() not in (self.name, self.address) or port != str(self.port):
            return 403
        if len(self.log) >= _MUTE and all(one.end is End.SILENCE and not one.answered for one in self.log):
            return 504
        return 200 if self.tunnels < self.budget else 429

    async def _dial(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Stream | None:
        """The connection to the target; None when there is none, and the client was told so or has left."""
        dialling = asyncio.ensure_future(self.door.connect(self.address, self.port, timeout=CONNECT_SECONDS))
        # A client speaks only after our answer: whatever it does now, it has given up waiting.
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({dialling, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not dialling.done():
                self.log.append(Tunnel(End.LEFT))
                return None
            return dialling.result()
        except NotThere:
            self.log.append(Tunnel(End.CLOSED))
            await _answer(writer, 502)
        except NotSeen as fault:
            self.unseen.append(fault)
            self.log.append(Tunnel(_end(fault)))
            await _answer(writer, _status(fault))
        finally:
            leaving.cancel()
            if not dialling.done():
                dialling.cancel()
                await asyncio.gather(dialling, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
        return None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream) -> None:
        """Bytes both ways until either side ends; the stream has its own caps and deadlines."""
        now = asyncio.get_running_loop().time
        observer = Observer(now())
        upwards = asyncio.ensure_future(_upwards(reader, stream, observer))
        downwards = asyncio.ensure_future(_downwards(stream, writer, observer, self.pause))
        end = End.UNSEEN
        try:
            await asyncio.wait({upwards, downwards}, return_when=asyncio.FIRST_COMPLETED)
            end = End.TARGET if downwards.done() else End.CLIENT
        finally:
            for way in (upwards, downwards):
                way.cancel()
            ends = await asyncio.gather(upwards, downwards, return_exceptions=True)
            # The client only sees the tunnel end, and a reset as one.
            faults = [fault for fault in ends if isinstance(fault, NotSeen)]
            self.unseen += faults
            self.log.append(observer.ended(_end(faults[0]) if faults else end, now()))
            if end is not End.UNSEEN and any(fault.reason is Reason.RESET for fault in faults):
                _reset(writer)


@asynccontextmanager
async def connect_proxy(
    door: BrokerDoor, name: str, address: str, port: int, *, budget: int, pause: float = 0.0
) -> AsyncIterator[ConnectProxy]:
    """A proxy to one target, for the length of the block.

    Args:
        name: what the child calls the target; ``address`` is what is dialled, and must be one of the task's.
        budget: tunnels in all.
        pause: as of :class:`ConnectProxy`.

    Raises:
        NotSeen: OUT_OF_SCOPE, the address is none of the task's; VANTAGE_LIMITED, nothing can listen here.
    """
    door.must_be_ours(address)
    proxy = ConnectProxy(door, name.lower(), address, port, budget, pause)
    clients: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.ensure_future(proxy.serve(reader, writer))
        clients.add(client)
        client.add_done_callback(clients.discard)
        # Also of one that is cancelled before it began.
        client.add_done_callback(lambda done: _hang_up(done, writer))

    try:
        listener = socket.create_server((LOOPBACK, 0), backlog=16)
        proxy.listening = listener.getsockname()[1]
        server = await asyncio.start_server(accepted, sock=listener, limit=HEAD_BYTES)
    except OSError as fault:
        raise NotSeen(Reason.VANTAGE_LIMITED, f"no proxy can listen here: {fault.strerror}") from fault

    def end() -> None:
        server.close()
        for client in tuple(clients):
            client.cancel()

    with ExitStack() as held:
        door.hold(end, held)
        try:
            yield proxy
        finally:
            end()
            await asyncio.gather(*clients, return_exceptions=True)


def _hang_up(client: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
    """What the target said last still arrives, unless the door was closed."""
    if client.cancelled():
        writer.transport.abort()
    else:
        writer.close()


async def _answer(writer: asyncio.StreamWriter, status: int) -> None:
    """A head without a body; one that the client does not wait for is not missed."""
    challenge = 'Proxy-Authenticate: Basic realm="posture"\r\n' if status == 407 else ""
    length = "" if status == 200 else "Content-Length: 0\r\nConnection: close\r\n"
    with contextlib.suppress(ConnectionError):
        writer.write(f"HTTP/1.1 {status} {_REASONS[status]}\r\n{challenge}{length}\r\n".encode("ascii"))
        await writer.drain()


def _status(fault: NotSeen) -> int:
    if fault.code is not None and fault.reason is not Reason.RATE_LIMITED:
        return 403
    return {Reason.TIMEOUT: 504, Reason.DEADLINE: 504, Reason.RESET: 502}.get(fault.reason, 503)


def _end(fault: NotSeen) -> End:
    return {Reason.TIMEOUT: End.TIMEOUT, Reason.RESET: End.RESET}.get(fault.reason, End.UNSEEN)


def _reset(writer: asyncio.StreamWriter) -> None:
    """The client's connection ends as the target's did: some programs draw conclusions from it."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _upwards(reader: asyncio.StreamReader, stream: Stream, observer: Observer) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            observer.saw(data, up=True, at=asyncio.get_running_loop().time())
            await stream.write(data)


async def _downwards(stream: Stream, writer: asyncio.StreamWriter, observer: Observer, pause: float) -> None:
    await asyncio.sleep(pause)
    with contextlib.suppress(ConnectionError):
        while data := await stream.read():
            observer.saw(data, up=False, at=asyncio.get_running_loop().time())
            writer.write(data)
            await writer.drain()
