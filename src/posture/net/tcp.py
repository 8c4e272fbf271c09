"""TCP connections to literal addresses, with an absolute deadline and byte caps (no answer can keep us or fill us)."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import select
import socket
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.net.asset import ByteBudget, Deadline

T = TypeVar("T")

# One read: small enough that many at once leave an asset's byte budget to each other.
READ_BYTES = 16_384
BUFFER_BYTES = 262_144
# Far more than any single answer that is looked at; anything longer is an attempt to fill us.
TOTAL_BYTES = 2 * 1024 * 1024

# Our own side cannot send: no route, no address of that family, a local filter, no descriptor left.
_OURS = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
    }
)


def open_socket(address: str, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket of the family of a literal address.

    Raises:
        ValueError: ``address`` is not an IP address in its usual spelling; names are never looked up here.
        NotSeen: VANTAGE_LIMITED, this machine has no such family or no descriptor left.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    try:
        opened = socket.socket(family, kind)
    except OSError as fault:
        raise unreachable(fault, address) from fault
    opened.setblocking(False)
    return opened


def unreachable(fault: OSError, address: str) -> NotSeen:
    """What a failed send or connect (other than a refusal) means: our own limits, or silence of the other side."""
    if isinstance(fault, ConnectionResetError):
        return NotSeen(Reason.RESET, f"{address}: the connection was reset at once")
    reason = Reason.VANTAGE_LIMITED if fault.errno in _OURS else Reason.TIMEOUT
    return NotSeen(reason, f"{address}: {errno.errorcode.get(fault.errno or 0, 'no answer')}")


async def dial(address: str, port: int, deadline: Deadline) -> socket.socket:
    """A connected socket.

    Raises:
        NotThere: CLOSED, the port answered RST (or its host ICMP port unreachable).
        NotSeen: TIMEOUT, DEADLINE, or VANTAGE_LIMITED when this machine has no way there.
    """
    opened = open_socket(address, socket.SOCK_STREAM)
    connected = False
    try:
        async with asyncio.timeout_at(deadline.at):
            await asyncio.get_running_loop().sock_connect(opened, (address, port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected = True
    except ConnectionRefusedError as fault:
        raise NotThere(AbsentCause.CLOSED, address) from fault
    except TimeoutError as fault:
        # On a busy machine the timer may be read before the answer that came in time.
        if (late := _connect_state(opened)) is None:
            raise NotSeen(deadline.reason, f"no connection to {address}") from fault
        if late == errno.ECONNREFUSED:
            raise NotThere(AbsentCause.CLOSED, address) from fault
        if late:
            raise unreachable(OSError(late, "connect"), address) from fault
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected = True
    except OSError as fault:
        raise unreachable(fault, address) from fault
    finally:
        if not connected:
            opened.close()
    return opened


def _connect_state(opened: socket.socket) -> int | None:
    """The error number of a connect that is over (0: connected), None while it is under way, or when nobody can tell."""
    poll = select.poll()
    poll.register(opened, select.POLLOUT)
    if not poll.poll(0):
        return None
    error = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if not error:
        try:
            opened.getpeername()
        except OSError:  # the loop has read the error already, and an error can be read only once
            return None
    return error


class TcpStream:
    """A connection as posture.door.Stream describes it.

    Args:
        connection: connected, non-blocking; closed by this object.
        deadline: when the whole connection must be over.
        idle: seconds that one read or write may take at most.
        on_close: called once, when the socket is closed.
        budget: what the asset may still send; one of its own when left out.

    ``sent`` and ``received`` count bytes; ``timed_out`` says that a read or write took too long, ``was_reset`` that the
    peer ended the connection with RST.
    """

    def __init__(
        self,
        connection: socket.socket,
        deadline: Deadline,
        *,
        idle: float,
        on_close: Callable[[], None],
        budget: ByteBudget | None = None,
    ) -> None:
        self._socket = connection
        self._deadline = deadline
        self._idle = idle
        self._on_close = on_close
        self._budget = budget or ByteBudget()
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._closed = False
        self.sent = 0
        self.received = 0
        self.timed_out = False
        self.was_reset = False

    @property
    def end(self) -> str:
        """How it ended, for the record: reset, timeout or closed."""
        if self.was_reset:
            return str(Reason.RESET)
        return str(Reason.TIMEOUT) if self.timed_out else "closed"

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """At least one byte, or b"" at the end of the stream."""
        if self._buffer:
            return self._take(min(limit, len(self._buffer)))
        return await self._receive(limit)

    async def read_exactly(self, count: int) -> bytes:
        """Raises NotSeen(TRUNCATED) when the stream ends first, MALFORMED for more than the buffer may hold."""
        if count > BUFFER_BYTES:
            raise NotSeen(Reason.MALFORMED, f"the peer announces {count} bytes at once")
        while len(self._buffer) < count:
            if not await self._fill(count - len(self._buffer)):
                raise NotSeen(Reason.TRUNCATED, "the connection ended in the middle of an answer")
        return self._take(count)

    async def read_line(self, limit: int = 2048) -> bytes:
        """Up to and including LF; b"" at a clean end. Raises NotSeen(MALFORMED) when longer than ``limit``."""
        start = 0
        while (end := self._buffer.find(b"\n", start, limit)) < 0:
            if len(self._buffer) >= limit:
                raise NotSeen(Reason.MALFORMED, f"a line of more than {limit} bytes")
            start = len(self._buffer)
            if not await self._fill(READ_BYTES):
                if self._buffer:
                    raise NotSeen(Reason.TRUNCATED, "the connection ended in the middle of a line")
                return b""
        return self._take(end + 1)

    async def write(self, data: bytes) -> None:
        self.sent += len(data)
        await self._timely(self._loop.sock_sendall(self._socket, data))

    def close(self) -> None:
        """At once, without waiting for the peer; more than once does no harm."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._on_close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _fill(self, want: int) -> bool:
        data = await self._receive(want)
        self._buffer += data
        return bool(data)

    async def _receive(self, limit: int) -> bytes:
        if self.received >= TOTAL_BYTES:
            raise NotSeen(Reason.TRUNCATED, f"more than {TOTAL_BYTES} bytes from one connection")
        granted = self._budget.set_aside(max(1, min(limit, READ_BYTES)))
        data = b""
        try:
            data = await self._timely(self._loop.sock_recv(self._socket, granted))
        finally:
            self._budget.give_back(granted - len(data))
        self.received += len(data)
        return data

    async def _timely(self, operation: Coroutine[Any, Any, T]) -> T:
        """The operation's result, within the deadline and the idle time."""
        idle_end = self._loop.time() + self._idle
        until, reason = self._deadline if self._deadline.at <= idle_end else (idle_end, Reason.TIMEOUT)
        try:
            async with asyncio.timeout_at(until):
                # A peer that always has more to say would otherwise never let the timer, or anybody else, run.
                await asyncio.sleep(0)
                return await operation
        except TimeoutError as fault:
            self.timed_out = reason is Reason.TIMEOUT
            raise NotSeen(reason, "the connection said nothing more in time") from fault
        except OSError as fault:
            self.was_reset = True
            raise NotSeen(Reason.RESET, "the connection was reset") from fault
        finally:
            operation.close()
