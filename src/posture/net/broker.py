"""No packet without a grant: decide, wait for a turn, record, then dial that very literal address.

broker = Broker(scope, Governor(), clock=utcnow, user_agent="...", resolver=resolver, roots=pem)
door = broker.door(task)        # posture.door.Door: all that a probe ever sees of the network
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from OpenSSL import SSL, crypto

from posture.door import Reply, Resolver, Response, Stream
from posture.inventory.records import LabPort
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.net import http, tcp, tls, udp
from posture.net.asset import AssetContext, Stopwatch
from posture.net.decisions import Account, Decider, Decision, NoTrail, Request, Trail
from posture.net.governor import Governor, Traffic
from posture.net.location import Location, parse_url
from posture.scope import Grant, Refusal
from posture.task import Task

T = TypeVar("T")

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 30.0
# Of the time given to connect: how long one read may take, and how long the whole connection may last.
IDLE_FACTOR = 2.0
LIFETIME_FACTOR = 4.0
PATIENCE_SECONDS = 300.0
# A decision older than this is taken again before anything is sent: a blackout may have begun while waiting.
FRESH_SECONDS = 1.0


class Broker:
    """The only one who opens connections to scanned systems.

    Args:
        scope: decides every single connection.
        governor: limits, shared by the whole run.
        lab_ports: where a lab's ports really are; used only under a grant with ``lab``.
        clock: now, in UTC.
        user_agent: identifies us in HTTP.
        resolver: of the run.
        roots: PEM certificates that https is verified against.
        trail: each decision is written there before anything is sent; if it raises, nothing is.
        patience: seconds to wait for a turn before NotSeen(RATE_LIMITED).
    """

    def __init__(
        self,
        scope: Decider,
        governor: Governor,
        *,
        clock: Callable[[], datetime],
        user_agent: str,
        resolver: Resolver,
        roots: bytes,
        lab_ports: Iterable[LabPort] = (),
        trail: Trail | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.scope = scope
        self.governor = governor
        self.clock = clock
        self.user_agent = user_agent
        self.resolver = resolver
        self.patience = patience
        self._roots = roots
        self.trail = trail or NoTrail()
        self._lab_ports = {
            (entry.address, entry.port, protocol): entry.to for entry in lab_ports for protocol in _both(entry)
        }

    def door(self, task: Task, *, asset: AssetContext | None = None, seconds: float = PROBE_SECONDS) -> BrokerDoor:
        """A task's way to the network; close() it when the task is over.

        Args:
            asset: shared by the tasks of one asset; one of its own when left out.
            seconds: the probe's share of the asset's clock.
        """
        return BrokerDoor(self, task, asset or AssetContext(), seconds)

    @cached_property
    def tls_context(self) -> SSL.Context:
        return tls.client_context()

    @cached_property
    def trust_store(self) -> crypto.X509Store:
        return tls.trust_store(self._roots)

    def real_port(self, grant: Grant, address: str, port: int, protocol: str) -> int:
        """The port to dial."""
        return self._lab_ports.get((address, port, protocol), port) if grant.lab else port


def _both(entry: LabPort) -> tuple[str, ...]:
    return ("tcp", "udp") if entry.protocol == "both" else (entry.protocol,)


class BrokerDoor:
    """posture.door.Door for one task. ``waited`` counts the seconds spent waiting for limits."""

    def __init__(self, broker: Broker, task: Task, asset: AssetContext, seconds: float) -> None:
        self._broker = broker
        self._task = task
        self._asset = asset
        self.clock = Stopwatch(seconds, parent=asset.clock)
        self.waited = Stopwatch()
        self.resolver: Resolver = _ClockedResolver(broker.resolver, self.clock)
        self._streams: set[tcp.TcpStream] = set()
        self._closed = False

    async def connect(self, address: str, port: int, *, timeout: float = CONNECT_SECONDS) -> Stream:
        """A connection to that very address; it may last four times ``timeout``, and be silent for twice.

        Raises:
            NotThere: CLOSED.
            NotSeen: TIMEOUT, RATE_LIMITED, DEADLINE, VANTAGE_LIMITED, or the reason and code of a refusal.
        """
        self._must_be_ours(address)
        return await self._connect(self._task.name, address, port, timeout)

    async def sweep(self, address: str, port: int, *, timeout: float = 1.0) -> str:
        """Says "open", "closed" or "filtered" after one attempt. Raises NotSeen."""
        self._must_be_ours(address)
        liveness = self._asset.liveness(address)
        with ExitStack() as held:
            request = Request(Traffic.SWEEP, self._task.name, address, port, "tcp")
            dialled, account = await self.turn(request, held, liveness.dead_for_sweep)
            try:
                (await tcp.dial(address, dialled, self.clock.deadline(timeout))).close()
                state = "open"
            except NotThere:
                state = "closed"
            except NotSeen as fault:
                account.end = str(fault.reason)
                if fault.reason not in (Reason.TIMEOUT, Reason.RESET):
                    raise
                # One that lets us in and hangs up in the same breath is open.
                state = "open" if fault.reason is Reason.RESET else "filtered"
                liveness.silent_sweeps += fault.reason is Reason.TIMEOUT
            account.end = state
            liveness.answered |= state != "filtered"
        return state

    async def ask_udp(self, address: str, port: int, payload: bytes, *, timeout: float = 2.0) -> bytes:
        """One datagram and its answer. Raises NotThere (CLOSED: ICMP unreachable) and NotSeen."""
        self._must_be_ours(address)
        with ExitStack() as held:
            request = Request(Traffic.DATAGRAM, self._task.name, address, port, "udp")
            dialled, account = await self.turn(request, held, _never)
            account.sent = len(payload)
            try:
                answer = await udp.exchange(address, dialled, payload, self.clock.deadline(timeout))
            except (NotSeen, NotThere) as fault:
                account.end = _end(fault)
                raise
            account.end, account.received = "answered", len(answer)
            self._asset.liveness(address).answered = True
        return answer

    async def get(self, url: str, *, address: str | None = None, body_limit: int = 0) -> Response:
        """One GET, no redirect followed; another host than the task's is resolved and decided like any other.

        Raises:
            NotThere: CLOSED, or NXDOMAIN for a name without addresses.
            NotSeen: as connect(); MALFORMED or TRUNCATED for what is no whole HTTP answer.
        """
        location = parse_url(url)
        addresses = await self._addresses(location.host)
        if address is not None:
            if address not in addresses:
                raise _stranger(address, location.host)
            addresses = (address,)
        failures: list[NotSeen | NotThere] = []
        for candidate in addresses:
            try:
                return await self._get(location, candidate, body_limit)
            except (NotSeen, NotThere) as fault:
                failures.append(fault)
        if not failures:
            raise NotThere(AbsentCause.NXDOMAIN, f"{location.host} has no address")
        # What the wire said tells more than what we refused ourselves.
        raise next((fault for fault in failures if getattr(fault, "code", None) is None), failures[0])

    def close(self) -> None:
        """Closes whatever the probe left open, and the door itself: nothing can be sent through it any more."""
        self._closed = True
        for stream in tuple(self._streams):
            stream.close()

    async def _get(self, location: Location, address: str, body_limit: int) -> Response:
        async def dial() -> Stream:
            return await self._connect(location.host, address, location.port, CONNECT_SECONDS)

        response = await http.get(
            location.url,
            dial=dial,
            tls_context=self._broker.tls_context,
            user_agent=self._broker.user_agent,
            body_limit=body_limit,
        )
        if not response.chain:
            return response
        broker = self._broker
        verified = tls.verifies(response.chain, location.host, broker.trust_store, broker.clock())
        return Response(response.url, response.status, response.headers, response.body, response.chain, verified)

    async def _addresses(self, host: str) -> tuple[str, ...]:
        """Where a host is: the task's own vetted addresses, a literal itself, else what our resolver says."""
        if host == self._task.name:
            return self._task.addresses
        if tls.is_address(host):
            return (host,)
        # Whether the name may be asked about at all comes before the question where it is.
        refusal = self._broker.scope.decide(
            ministry=self._task.ministry,
            name=host,
            address=None,
            port=None,
            protocol="tcp",
            probe_class=self._task.probe_class,
            at=self._broker.clock(),
        )
        if isinstance(refusal, Refusal):
            raise NotSeen(refusal.reason, refusal.text, refusal.code)
        return await self.resolver.addresses(host)

    async def _connect(self, name: str, address: str, port: int, timeout: float) -> Stream:
        liveness = self._asset.liveness(address)
        with ExitStack() as held:
            request = Request(Traffic.CONNECTION, name, address, port, "tcp")
            dialled, account = await self.turn(request, held, lambda: liveness.dead_for_connect(port))
            try:
                connection = await tcp.dial(address, dialled, self.clock.deadline(timeout))
            except NotThere as fault:
                account.end = _end(fault)
                liveness.answered = True
                raise
            except NotSeen as fault:
                account.end = _end(fault)
                if fault.reason is Reason.TIMEOUT:
                    liveness.silent_ports.add(port)
                liveness.answered |= fault.reason is Reason.RESET
                raise
            liveness.answered = True
            kept = held.pop_all()
        stream = self._stream(connection, timeout, kept)

        def ended() -> None:
            account.sent, account.received = stream.sent, stream.received
            account.end = str(Reason.TIMEOUT) if stream.timed_out else "closed"
            liveness.ended(port, received=stream.received, timed_out=stream.timed_out)

        kept.callback(ended)
        return stream

    def _stream(self, connection: socket.socket, timeout: float, held: ExitStack) -> tcp.TcpStream:
        """The stream of a connection; its lease and clock end with it."""
        stream = tcp.TcpStream(
            connection, self.clock.deadline(LIFETIME_FACTOR * timeout), idle=IDLE_FACTOR * timeout, on_close=held.close
        )
        self._streams.add(stream)
        held.callback(self._streams.discard, stream)
        return stream

    async def turn(self, request: Request, held: ExitStack, dead: Callable[[], bool]) -> tuple[int, Account]:
        """Decides, waits for a turn, records. What must be given back or written down afterwards is left to ``held``.

        Returns:
            The port to dial, and the account to fill in.

        Raises:
            NotSeen: a refusal, RATE_LIMITED, DEADLINE, or the silence of a dead address.
        """
        grant = self._decide(request)
        if dead():
            raise _dead(request.address)
        broker = self._broker
        with self.waited.measured():
            lease = await broker.governor.admit(
                request.traffic, request.address, request.port, grant.limits, lab=grant.lab, patience=broker.patience
            )
        held.callback(lease.release)
        if lease.waited > FRESH_SECONDS:
            grant = self._decide(request)
        if dead():
            raise _dead(request.address)
        if self._closed:
            raise NotSeen(Reason.STOPPED, "this task is over")
        if self.clock.remaining <= 0:
            raise NotSeen(Reason.DEADLINE, "the time for this asset is used up")
        account = Account(broker.trail, broker.clock, self._record(request, grant))
        held.callback(account.close)
        held.enter_context(self.clock.measured())
        return broker.real_port(grant, request.address, request.port, request.protocol), account

    def _decide(self, request: Request) -> Grant:
        task, broker = self._task, self._broker
        own = request.name == task.name
        outcome = broker.scope.decide(
            ministry=task.ministry,
            name=request.name,
            address=request.address,
            port=request.port,
            protocol=request.protocol,
            probe_class=task.probe_class,
            at=broker.clock(),
            nameserver_of=task.params.get("nameserver_of") if own else None,
            mx_of=task.params.get("mx_of") if own else None,
        )
        if isinstance(outcome, Grant):
            return outcome
        self._record(request, outcome)
        raise NotSeen(outcome.reason, outcome.text, outcome.code)

    def _record(self, request: Request, outcome: Grant | Refusal) -> int:
        broker = self._broker
        return broker.trail.decided(
            Decision(
                at=broker.clock(),
                task=self._task,
                traffic=request.traffic,
                name=request.name,
                address=request.address,
                port=request.port,
                protocol=request.protocol,
                outcome=outcome,
                connections=request.connections,
            )
        )

    def _must_be_ours(self, address: str) -> None:
        if address not in self._task.addresses:
            raise _stranger(address, self._task.name)


class _ClockedResolver:
    """Our resolver; waiting for its answers runs on the asset's clock."""

    def __init__(self, resolver: Resolver, clock: Stopwatch) -> None:
        self._resolver = resolver
        self._clock = clock

    async def ask(self, name: str, rdtype: str) -> Reply:
        return await self._timely(self._resolver.ask(name, rdtype))

    async def addresses(self, name: str) -> tuple[str, ...]:
        return await self._timely(self._resolver.addresses(name))

    async def _timely(self, question: Coroutine[Any, Any, T]) -> T:
        try:
            with self._clock.measured():
                async with asyncio.timeout(self._clock.remaining):
                    return await question
        except TimeoutError as fault:
            raise NotSeen(Reason.DEADLINE, "the time for this asset is used up") from fault


def _never() -> bool:
    return False


def _end(fault: NotSeen | NotThere) -> str:
    """How an attempt ended, for the record."""
    return str(fault.cause if isinstance(fault, NotThere) else fault.reason)


def _dead(address: str) -> NotSeen:
    return NotSeen(Reason.TIMEOUT, f"{address} has not answered there, nor on any other port that was tried")


def _stranger(address: str, name: str) -> NotSeen:
    """An address that was not vetted for the name: it changed since, or a probe was led astray."""
    text = f"{address} is not among the planned addresses of {name}. Scan again to plan with its present addresses."
    return NotSeen(Reason.OUT_OF_SCOPE, text, "E-SCOPE-023")
