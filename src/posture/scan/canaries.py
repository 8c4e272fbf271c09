"""Canaries: the operator's own endpoints that must be reachable, or silence elsewhere says nothing about anybody.

Each is tried in its own protocol, all at the same time, with one question to each of its addresses: a TLS hello, an
HTTP request, a mail server's greeting, a DNS question, a connection. They are a second, listed kind of grant: no
authorisation covers them, the configuration lists them, and each address is on record before its first packet.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol

import dns.name
import dns.rdatatype

from posture.config import Canary
from posture.door import Resolver
from posture.inventory.names import is_address
from posture.inventory.special import special_purpose
from posture.model import NotSeen, NotThere, Reason
from posture.net import tcp, udp
from posture.net.asset import Deadline
from posture.net.guard import granted
from posture.net.resolver import make_query, parse_message
from posture.probes.tls.hello import LEAN, Question, client_hello
from posture.stop import OrdersNow, no_orders

SECONDS = 5.0  # for one address to connect and answer
SMTP_SECONDS = 10.0  # mail servers hesitate before they greet
MOST_ADDRESSES = 4
# Which of a scan's ports cannot be seen when a protocol's canaries are all silent. A name server's port 53 and a
# port of a tcp:// canary say nothing about others.
PORTS: Mapping[str, int] = {"smtp": 25, "http": 80, "https": 443}
_SUITES = (0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xC013, 0xC014, 0x009C, 0x002F)
_SERVER_HELLO = 2


class EndpointTrail(Protocol):
    """The audit trail, as far as the operator's own endpoints need it. If it raises, nothing is sent."""

    def endpoint(self, purpose: str, name: str, address: str, port: int, protocol: str) -> object: ...


class NoEndpoints:
    """Writes nothing down: for tests of other things."""

    def endpoint(self, purpose: str, name: str, address: str, port: int, protocol: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """How one canary answered. ``why`` says in words why it did not; ``stopped``: because it may not be asked."""

    canary: Canary
    reached: bool
    why: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Trials:
    """All canaries of a run."""

    trials: tuple[Trial, ...] = ()

    @property
    def quarantine(self) -> str:
        """Why nothing of the run may be believed, or ""; names the canaries and ends with the next step."""
        tried = [trial for trial in self.trials if not trial.stopped]
        if not tried or any(trial.reached for trial in tried):
            return ""
        told = "; ".join(f"{trial.canary.text}: {trial.why}" for trial in tried)
        return (
            f"none of the canaries was reached ({told}): the line from here is down or filtered. "
            "Mend the line or correct canaries in posture.toml, then scan again"
        )

    def limited(self, port: int | None) -> str:
        """Why a port cannot be seen from here, or "": all canaries of its protocol were silent while others answered."""
        tried = [trial for trial in self.trials if not trial.stopped]
        silent = [trial for trial in tried if port is not None and PORTS.get(trial.canary.protocol) == port]
        if not silent or any(trial.reached for trial in silent) or not any(trial.reached for trial in tried):
            return ""
        return f"our canary {silent[0].canary.text} is not reached from here on that port"


@dataclass(frozen=True, slots=True)
class Lookout:
    """What trying canaries needs.

    ``only_special``: the operator's contact is a placeholder, so that nothing but special-purpose addresses is asked.
    """

    resolver: Resolver
    user_agent: str
    trail: EndpointTrail = field(default_factory=NoEndpoints)
    orders: OrdersNow = no_orders
    only_special: bool = False
    seconds: float = SECONDS
    smtp_seconds: float = SMTP_SECONDS

    async def try_all(self, canaries: Sequence[Canary], stop: asyncio.Event) -> Trials:
        """Every canary once, unless ``stop`` comes first. Whatever the trail raises comes through."""
        trying = [asyncio.ensure_future(self._try(canary)) for canary in canaries]
        everything, stopping = asyncio.gather(*trying), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((everything, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not everything.done():
                return Trials(tuple(Trial(canary, False, "interrupted", stopped=True) for canary in canaries))
            return Trials(tuple(everything.result()))
        finally:
            for task in (*trying, stopping):
                task.cancel()
            await asyncio.gather(*trying, stopping, everything, return_exceptions=True)

    async def _try(self, canary: Canary) -> Trial:
        try:
            addresses = (canary.host,) if is_address(canary.host) else await self.resolver.addresses(canary.host)
        except NotSeen as unseen:
            return Trial(canary, False, f"its name was not resolved ({unseen.reason})")
        if not addresses:
            return Trial(canary, False, "its name has no address")
        trial = Trial(canary, False)
        for address in addresses[:MOST_ADDRESSES]:
            trial = await self._try_at(canary, address)
            if trial.reached or trial.stopped:
                break
        return trial

    async def _try_at(self, canary: Canary, address: str) -> Trial:
        if self.orders().about_address(address):
            return Trial(canary, False, f"{address} is stopped", stopped=True)
        if self.only_special and not special_purpose(ip_address(address)):
            return Trial(canary, False, f"{address} is not asked in the name of a placeholder contact")
        protocol = "udp" if canary.protocol == "dns" else "tcp"
        self.trail.endpoint("canary", canary.host, address, canary.port, protocol)
        try:
            with granted(address, canary.port):
                await _WAYS[canary.protocol](self, canary, address)
        except NotThere as absent:
            return Trial(canary, False, f"{address} says {absent.cause}")
        except NotSeen as unseen:
            return Trial(canary, False, f"{address}: {unseen.reason}")
        return Trial(canary, True)

    async def _stream(self, canary: Canary, address: str, seconds: float) -> tcp.TcpStream:
        deadline = Deadline(asyncio.get_running_loop().time() + seconds, Reason.TIMEOUT)
        connection = await tcp.dial(address, canary.port, deadline)
        return tcp.TcpStream(connection, deadline, idle=seconds, on_close=_nothing)

    async def tcp(self, canary: Canary, address: str) -> None:
        (await self._stream(canary, address, self.seconds)).close()

    async def http(self, canary: Canary, address: str) -> None:
        host = f"[{canary.host}]" if ":" in canary.host else canary.host
        port = "" if canary.port == 80 else f":{canary.port}"
        lines = (
            f"GET {canary.path} HTTP/1.1",
            f"Host: {host}{port}",
            f"User-Agent: {self.user_agent}",
            "Connection: close",
        )
        async with await self._stream(canary, address, self.seconds) as stream:
            await stream.write("".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii", "replace"))
            _expect((await stream.read_exactly(5)) == b"HTTP/", "no HTTP")

    async def https(self, canary: Canary, address: str) -> None:
        """A ServerHello is enough; a server that answers in plain HTTP is reached as well."""
        name = "" if is_address(canary.host) else canary.host
        hello = client_hello(Question(("TLS 1.3", "TLS 1.2"), _SUITES, name), LEAN, os.urandom(64))
        async with await self._stream(canary, address, self.seconds) as stream:
            await stream.write(hello)
            start = await stream.read_exactly(6)
            shaken = start[:2] == b"\x16\x03" and start[5] == _SERVER_HELLO
            _expect(shaken or start.startswith(b"HTTP/"), "no TLS")

    async def smtp(self, canary: Canary, address: str) -> None:
        async with await self._stream(canary, address, self.smtp_seconds) as stream:
            line = await stream.read_line()
            await stream.write(b"QUIT\r\n")
            _expect(line[:1] == b"2" and line[:3].isdigit(), "no greeting")

    async def dns(self, canary: Canary, address: str) -> None:
        """Any answer to the root's SOA, asked twice at most."""
        query = make_query(dns.name.root, dns.rdatatype.SOA, recursion=True, dnssec=False)
        loop = asyncio.get_running_loop()
        for last in (False, True):
            deadline = Deadline(loop.time() + self.seconds / 2, Reason.TIMEOUT)
            try:
                parse_message(query, await udp.exchange(address, canary.port, query.to_wire(), deadline))
                return
            except NotSeen as unseen:
                if last or unseen.reason is not Reason.TIMEOUT:
                    raise


_WAYS: Mapping[str, Callable[[Lookout, Canary, str], Awaitable[None]]] = {
    "tcp": Lookout.tcp,
    "http": Lookout.http,
    "https": Lookout.https,
    "smtp": Lookout.smtp,
    "dns": Lookout.dns,
}


def _expect(met: bool, what: str) -> None:
    if not met:
        raise NotSeen(Reason.MALFORMED, what)


def _nothing() -> None:
    """A connection to a canary holds no lease."""
