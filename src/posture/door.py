"""The door to the network as its users see it: what net/ implements, what probes are given, what tests stand in for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType


class Stream(Protocol):
    """A TCP connection with an absolute deadline. All methods raise NotSeen (timeout, reset); use as a context manager."""

    async def read(self, limit: int = 65536) -> bytes:
        """At least one byte, or b"" at the end of the stream."""

    async def read_exactly(self, count: int) -> bytes:
        """NotSeen(TRUNCATED) when the stream ends first."""

    async def read_line(self, limit: int = 2048) -> bytes:
        """Up to and including LF; NotSeen(MALFORMED) when longer than ``limit``; b"" at a clean end."""

    async def write(self, data: bytes) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A usable DNS answer. ``status``: "noerror", "nodata" or "nxdomain".

    ``records`` are dnspython rdata of the type asked, sorted; ``name`` the owner after CNAMEs; ``chain`` the CNAMEs
    followed; ``signed`` whether RRSIGs came with the answer (or its denial); ``message`` the whole dns.message.Message.
    """

    status: str
    records: tuple[Any, ...]
    name: str
    chain: tuple[str, ...] = ()
    signed: bool = False
    message: Any = None


class Resolver(Protocol):
    """Our own resolver, with a cache shared by the whole run: equal questions at the same time are asked once."""

    async def ask(self, name: str, rdtype: str) -> Reply:
        """EDNS, DO and CD set; TCP on truncation; retries.

        Raises:
            NotSeen: TIMEOUT, TEMPORARY (SERVFAIL), REFUSED_BY_TARGET, TRUNCATED or MALFORMED.
        """

    async def addresses(self, name: str) -> tuple[str, ...]:
        """All A and AAAA of a name, sorted; () for a clear NXDOMAIN or NODATA of both. Raises NotSeen."""


class Door(Protocol):
    """A task's way to the network: every call is decided by the broker, rate-limited, and under the task's deadline."""

    resolver: Resolver

    async def connect(self, address: str, port: int, *, timeout: float = 5.0, brisk: bool = False) -> Stream:
        """A TCP connection to that very address; ``brisk``: to a server that says little, and at once.

        Raises:
            NotThere: CLOSED, the port answered RST.
            NotSeen: TIMEOUT, RATE_LIMITED, DEADLINE, or OUT_OF_SCOPE / NOT_GRANTED / BLACKOUT with the code of the refusal.
        """

    async def sweep(self, address: str, port: int, *, timeout: float = 1.0) -> str:
        """A connect of the port sweep (limits of its own): "open", "closed" or "filtered" after one attempt. Raises NotSeen."""

    async def ask_udp(self, address: str, port: int, payload: bytes, *, timeout: float = 2.0) -> bytes:
        """One datagram and its answer. Raises NotThere (CLOSED: ICMP unreachable) and NotSeen."""

    async def get(self, url: str, *, address: str | None = None, body_limit: int = 0) -> Response:
        """One HTTP GET without following redirects, at ``address`` when given, else at the name's granted addresses.

        The certificate is not verified here; ``Response.chain`` has it. Raises NotThere and NotSeen as connect() does.
        """

    def throttled(self, address: str) -> None:
        """The address wants to be left alone (421, 4xx of SMTP, a hang-up): all connections of the run to it wait, one
        second first, then twice as long each time. Resets and 429 and 503 of HTTP are noticed without being told."""


@dataclass(frozen=True, slots=True)
class Response:
    """``headers`` in order received, names lower case, values at most 8 kB; ``body`` at most the limit asked for;
    ``chain`` the DER certificates sent (https), leaf first; ``verified`` whether they verify for the name now."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    chain: tuple[bytes, ...] = ()
    verified: bool = False

    def header(self, name: str) -> Sequence[str]:
        return [value for key, value in self.headers if key == name]
