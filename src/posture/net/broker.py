"""No packet without a grant: decide, wait for a turn, record, then dial that very literal address.

broker = Broker(scope, Governor(), clock=utcnow, user_agent="...", resolver=resolver, roots=pem)
door = broker.door(task)        # posture.door.Door: all that a probe ever sees of the network
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial

from OpenSSL import SSL, crypto

from posture.door import Resolver, Response, Stream
from posture.inventory.records import LabPort
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.net import guard, http, tcp, tls, udp
from posture.net.asset import AssetContext, ByteBudget, Liveness, Stopwatch
from posture.net.backoff import Backoff
from posture.net.decisions import Account, Decider, Decision, NoTrail, Request, Trail
from posture.net.governor import Governor, Traffic
from posture.net.location import Location, parse_url
from posture.net.resolver import Clocks, for_task
from posture.scope import Grant, Refusal
from posture.task import Task

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 30.0
# Of the time given to connect: how long one read may take, and how long the whole connection may last.
IDLE_FACTOR = 2.0
LIFETIME_FACTOR = 4.0
# Silence and length of a connection to a server that says little, and at once: a flight of TLS.
BRISK_FACTORS = (1.0, 1.6)
PATIENCE_SECONDS = 300.0
# What a web server says when it wants to be left alone (RFC 6585 section 4, RFC 9110 section 15.6.4).
BUSY = frozenset({429, 503})
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

    ``backoff`` is where all tasks of the run learn that an address wants to be left alone.
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
        self.backoff = Backoff()
        self._budgets: defaultdict[Hashable, ByteBudget] = defaultdict(ByteBudget)
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

    def budget(self, task: Task) -> ByteBudget:
        """What the task's asset may still send in this run."""
        return self._budgets[task.ministry, task.key]

    def decide(self, task: Task, request: Request) -> Grant | Refusal:
        """Whether a task may send that. Nothing is written down."""
        own = request.name == task.name
        # A name server is asked about the zone, but it is its own name that may be excluded.
        server = task.params.get("server") if own else None
        return self.scope.decide(
            ministry=task.ministry,
            name=server or request.name,
            address=request.address or None,
            port=request.port if request.address else None,
            protocol=request.protocol,
            probe_class=task.probe_class,
            at=self.clock(),
            nameserver_of=task.params.get("nameserver_of") if own else None,
            mx_of=task.params.get("mx_of") if own else None,
        )

    def record(self, task: Task, request: Request, outcome: Grant | Refusal) -> int:
        """Writes a decision down; the number of its record."""
        return self.trail.decided(
            Decision(
                at=self.clock(),
                task=task,
                traffic=request.traffic,
                name=request.name,
                address=request.address,
                port=request.port,
                protocol=request.protocol,
                outcome=outcome,
                connections=request.connections,
            )
        )

    def leans(self, task: Task, requests: Iterable[Request]) -> bool:
        """Whether a task may use what was learnt by ``requests`` for another: its own authority must permit each.

        Then the trail gets a record of each, of no connection; else none, and nothing may be used.
        """
        decisions = [(request, self.decide(task, request)) for request in (replace(r, connections=0) for r in requests)]
        if any(isinstance(outcome, Refusal) for _, outcome in decisions):
            return False
        for request, outcome in decisions:
            self.record(task, request, outcome)
        return True

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
        self.task = task
        self._asset = asset
        # What it asked for, so that what it learns can serve another task whose authority says the same.
        self.granted: dict[Request, None] = {}
        self.refused = False
        self._seconds = seconds
        self.clock = Stopwatch(seconds, parent=asset.clock)
        self.waited = Stopwatch()
        self.resolver = for_task(broker.resolver, Clocks(self.clock, self.waited))
        self._ends: set[Callable[[], None]] = set()
        self._closed = False
        # Under whose authority and with which address something is open, dialled or waited for, for the kill switch.
        self.engaged: list[tuple[str, str]] = []
        self.stopped: NotSeen | None = None  # the kill switch's first refusal of an address of the task

    async def connect(
        self, address: str, port: int, *, timeout: float = CONNECT_SECONDS, brisk: bool = False
    ) -> Stream:
        """A connection to that very address; it may last four times ``timeout``, and be silent for twice; less when ``brisk``.

        Raises:
            NotThere: CLOSED.
            NotSeen: TIMEOUT, RATE_LIMITED, DEADLINE, VANTAGE_LIMITED, or the reason and code of a refusal.
        """
        self.must_be_ours(address)
        return await self._connect(self.task.name, address, port, timeout, brisk=brisk)

    async def sweep(self, address: str, port: int, *, timeout: float = 1.0) -> str:
        """Says "open", "closed" or "filtered" after one attempt. Raises NotSeen."""
        self.must_be_ours(address)
        liveness = self._asset.liveness(address)
        with ExitStack() as held:
            request = Request(Traffic.SWEEP, self.task.name, address, port, "tcp")
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
        self.must_be_ours(address)
        with ExitStack() as held:
            request = Request(Traffic.DATAGRAM, self.task.name, address, port, "udp")
            dialled, account = await self.turn(request, held, lambda: False)
            account.sent = len(payload)
            try:
                deadline, budget = self.clock.deadline(timeout), self._broker.budget(self.task)
                answer = await udp.exchange(address, dialled, payload, deadline, budget=budget)
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
        addresses = await self._addresses(location)
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

    @property
    def asset_is_spent(self) -> bool:
        """Whether the asset's time or bytes are used up, and not by this task alone: another asset would have some."""
        of_time = self._asset.clock.remaining <= 0 and self.clock.elapsed < self._seconds
        return of_time or self._broker.budget(self.task).left <= 0

    def throttled(self, address: str) -> None:
        """The address said "not now": whatever goes there next waits, longer each time; see :mod:`posture.net.backoff`."""
        self._broker.backoff.pushed(address)

    def close(self) -> None:
        """Closes whatever the probe left open, and the door itself: nothing can be sent through it any more."""
        self._closed = True
        for end in tuple(self._ends):
            end()

    def hold(self, end: Callable[[], None], held: ExitStack) -> None:
        """``end`` is called when the door is closed, as by the kill switch, unless ``held`` ended first."""
        self._ends.add(end)
        held.callback(self._ends.discard, end)

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
        if response.status in BUSY:
            self.throttled(address)
        if not response.chain:
            return response
        broker = self._broker
        verified = tls.verifies(response.chain, location.host, broker.trust_store, broker.clock())
        return Response(response.url, response.status, response.headers, response.body, response.chain, verified)

    async def _addresses(self, location: Location) -> tuple[str, ...]:
        """Where a host is: the task's own vetted addresses, a literal itself, else what our resolver says."""
        host = location.host
        if host == self.task.name:
            return self.task.addresses
        if tls.is_address(host):
            return (host,)
        # Whether the name may be asked about at all comes before the question where it is.
        self._decide(Request(Traffic.CONNECTION, host, "", location.port, "tcp"))
        return await self.resolver.addresses(host)

    async def _connect(self, name: str, address: str, port: int, timeout: float, *, brisk: bool = False) -> Stream:
        liveness = self._asset.liveness(address)
        with ExitStack() as held:
            request = Request(Traffic.CONNECTION, name, address, port, "tcp")
            if liveness.resets_all(port):
                self._decide(request)
                raise NotSeen(Reason.RESET, f"port {port} of {address} has reset every connection so far")
            async with liveness.first_contact(port):
                dialled, account = await self.turn(request, held, lambda: liveness.dead_for_connect(port))
                connection = await self._dial(request, dialled, account, liveness, timeout)
            kept = held.pop_all()
        stream = self._stream(connection, timeout, kept, brisk=brisk)

        def ended() -> None:
            account.sent, account.received = stream.sent, stream.received
            account.end = stream.end
            liveness.ended(
                port, received=stream.received, timed_out=stream.timed_out, reset=stream.was_reset, brisk=brisk
            )
            if stream.was_reset:
                self.throttled(address)
            elif stream.received:
                self._broker.backoff.answered(address)

        kept.callback(ended)
        return stream

    async def _dial(
        self, request: Request, dialled: int, account: Account, liveness: Liveness, timeout: float
    ) -> socket.socket:
        """A connected socket; how the address took it is remembered."""
        try:
            connection = await tcp.dial(request.address, dialled, self.clock.deadline(timeout))
        except (NotSeen, NotThere) as fault:
            account.end = _end(fault)
            liveness.refused(request.port, fault)
            if isinstance(fault, NotSeen) and fault.reason is Reason.RESET:
                self.throttled(request.address)
            raise
        liveness.admitted(request.port)
        return connection

    def _stream(self, connection: socket.socket, timeout: float, held: ExitStack, *, brisk: bool) -> tcp.TcpStream:
        """The stream of a connection; its lease and clock end with it."""
        idle, lifetime = BRISK_FACTORS if brisk else (IDLE_FACTOR, LIFETIME_FACTOR)
        stream = tcp.TcpStream(
            connection,
            self.clock.deadline(lifetime * timeout),
            idle=idle * timeout,
            on_close=held.close,
            budget=self._broker.budget(self.task),
        )
        self.hold(stream.close, held)
        return stream

    async def turn(self, request: Request, held: ExitStack, dead: Callable[[], bool]) -> tuple[int, Account]:
        """Decides, waits for a turn, records. What must be given back or written down afterwards is left to ``held``.

        Returns:
            The port to dial, and the account to fill in.

        Raises:
            NotSeen: a refusal, RATE_LIMITED, DEADLINE, or the silence of a dead address.
        """
        grant = self._engage(request, held)
        if dead():
            raise _dead(request.address)
        broker = self._broker
        with self.waited.measured():
            place, patience = (request.traffic, request.address, request.port), broker.patience
            calm = partial(broker.backoff.wait, request.address, patience)
            lease = await broker.governor.admit(*place, grant.limits, lab=grant.lab, patience=patience, calm=calm)
        held.callback(lease.release)
        if lease.waited > FRESH_SECONDS:
            grant = self._engage(request, held)
        if dead():
            raise _dead(request.address)
        if self._closed:
            raise NotSeen(Reason.STOPPED, "this task is over")
        if self.clock.remaining <= 0:
            raise NotSeen(Reason.DEADLINE, "the time for this asset is used up")
        return self._allow(request, grant, held)

    def beside(self, request: Request, held: ExitStack) -> tuple[int, Account]:
        """As turn(), for another port of an address whose turn ``held`` has: a child process is one for all of them."""
        return self._allow(request, self._engage(request, held), held)

    def _allow(self, request: Request, grant: Grant, held: ExitStack) -> tuple[int, Account]:
        broker = self._broker
        dialled = broker.real_port(grant, request.address, request.port, request.protocol)
        account = Account(broker.trail, broker.clock, broker.record(self.task, request, grant))
        held.callback(account.close)
        held.enter_context(self.clock.measured())
        held.enter_context(guard.granted(request.address, dialled))
        return dialled, account

    def _engage(self, request: Request, held: ExitStack) -> Grant:
        """The grant, known in ``engaged`` until ``held`` ends."""
        grant = self._decide(request)
        engagement = (grant.authorisation, request.address)
        self.engaged.append(engagement)
        held.callback(self.engaged.remove, engagement)
        return grant

    def _decide(self, request: Request) -> Grant:
        outcome = self._broker.decide(self.task, request)
        if isinstance(outcome, Grant):
            if request.address:
                self.granted[request] = None
            return outcome
        self.refused = True
        self._broker.record(self.task, request, outcome)
        refused = NotSeen(outcome.reason, outcome.text, outcome.code)
        if outcome.reason is Reason.STOPPED and request.address in self.task.addresses:
            self.stopped = self.stopped or refused
        raise refused

    def must_be_ours(self, address: str) -> None:
        """Raises NotSeen(OUT_OF_SCOPE) for an address that was not vetted for the task."""
        if address not in self.task.addresses:
            raise _stranger(address, self.task.name)


def _end(fault: NotSeen | NotThere) -> str:
    """How an attempt ended, for the record."""
    return str(fault.cause if isinstance(fault, NotThere) else fault.reason)


def _dead(address: str) -> NotSeen:
    return NotSeen(Reason.TIMEOUT, f"{address} did not answer there when it was asked before: it is left alone")


def _stranger(address: str, name: str) -> NotSeen:
    """An address that was not vetted for the name: it changed since, or a probe was led astray."""
    text = f"{address} is not among the planned addresses of {name}. Scan again to plan with its present addresses."
    return NotSeen(Reason.OUT_OF_SCOPE, text, "E-SCOPE-023")
