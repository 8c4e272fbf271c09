"""Politeness: how many connections at once and how many new ones a second, to an address, a prefix, and in all.

Waiting is first come, first served, and bounded by the caller's patience. Limits of an authorisation may lower the
defaults; only a lab may raise them. Of several limits met at one address the lowest holds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from posture.inventory.records import Limits
from posture.model import NotSeen, Reason

SMTP_PORTS = frozenset({25, 465, 587})
DEFAULTS = Limits()
MINUTE = 60.0
HOUR = 3600.0


class Traffic(StrEnum):
    """What is about to be sent; each kind has limits of its own per address."""

    CONNECTION = "connection"
    SWEEP = "sweep"
    DATAGRAM = "datagram"


class SmtpLedger(Protocol):
    """When each mail exchanger was last connected to: remembered across processes, because its owner remembers too."""

    def since(self, address: str, start: float) -> Sequence[float]:
        """Unix times of connections to ``address`` at or after ``start``, oldest first."""

    def record(self, address: str, at: float) -> None: ...


class MemorySmtpLedger:
    """The ledger of one process."""

    def __init__(self) -> None:
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def since(self, address: str, start: float) -> Sequence[float]:
        times = self._times[address]
        while times and times[0] <= start:
            times.popleft()
        return tuple(times)

    def record(self, address: str, at: float) -> None:
        self._times[address].append(at)


class Bucket:
    """A token bucket that starts full. Only who holds its line waits for a token and takes it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.line = asyncio.Lock()
        self._now = now
        self._rate = float("inf")
        self._burst = float("inf")
        self._tokens = float("inf")
        self._updated = now()

    async def ready(self, rate: float, burst: float) -> None:
        """Returns when a token is there. The lowest ``rate`` (tokens a second) and ``burst`` ever asked for hold."""
        self._rate, self._burst = min(self._rate, rate), max(1.0, min(self._burst, burst))
        if (missing := 1.0 - self._refill()) > 0:
            await asyncio.sleep(missing / self._rate)

    def take(self) -> None:
        self._tokens = self._refill() - 1.0

    def _refill(self) -> float:
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        # A sleep may end a rounding error early; a millionth of a token is a token.
        return self._tokens if self._tokens < 1.0 - 1e-6 else max(self._tokens, 1.0)


class Slots:
    """A count of things held at once, handed on in the order of asking."""

    def __init__(self) -> None:
        self.held = 0
        self._limit = 1_000_000
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()

    async def acquire(self, limit: int) -> None:
        async with self._line:
            self._limit = max(1, min(self._limit, limit))
            while self.held >= self._limit:
                self._freed.clear()
                await self._freed.wait()
            self.held += 1

    def release(self) -> None:
        self.held -= 1
        self._freed.set()


@dataclass(slots=True)
class Lease:
    """The right to have one connection open. ``waited``: seconds until it was given."""

    waited: float = 0.0
    _slots: list[Slots] = field(default_factory=list)

    async def hold(self, slots: Slots, limit: int) -> None:
        await slots.acquire(limit)
        self._slots.append(slots)

    def release(self) -> None:
        """Gives everything back; more than once does no harm."""
        while self._slots:
            self._slots.pop().release()


@dataclass(frozen=True, slots=True)
class _Pace:
    """The limits of one kind of traffic at one address; ``pending`` None counts only new ones."""

    pending: int | None
    rate: float
    burst: float
    counts_in_prefix: bool


def _pace(traffic: Traffic, limits: Limits) -> _Pace:
    match traffic:
        case Traffic.CONNECTION:
            rate, burst = limits.new_connections_per_second, limits.new_connections_burst
            return _Pace(limits.connections_per_address, rate, burst, counts_in_prefix=True)
        case Traffic.SWEEP:
            rate, burst = limits.sweep_per_second, limits.sweep_pending
            return _Pace(limits.sweep_pending, rate, burst, counts_in_prefix=True)
        case Traffic.DATAGRAM:
            return _Pace(None, limits.dns_per_second, limits.dns_burst, counts_in_prefix=False)


class Governor:
    """Hands out leases.

    Args:
        now: the loop's clock (seconds); the running loop's when left out.
        wall: Unix time, for the SMTP ledger.
        ledger: remembered SMTP connections.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
        ledger: SmtpLedger | None = None,
    ) -> None:
        self._now = now or asyncio.get_running_loop().time
        self._wall = wall
        self._ledger = ledger or MemorySmtpLedger()
        self._slots: defaultdict[tuple[Traffic, str], Slots] = defaultdict(Slots)
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._smtp_lines: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._everything = Slots()

    @property
    def open(self) -> int:
        """Leases held now."""
        return self._everything.held

    async def admit(
        self, traffic: Traffic, address: str, port: int, limits: Limits, *, lab: bool, patience: float
    ) -> Lease:
        """Waits for a turn.

        Args:
            patience: seconds after which waiting is given up.

        Raises:
            NotSeen: RATE_LIMITED.
        """
        limits = effective(limits, lab=lab)
        started = self._now()
        lease = Lease()
        given = False
        try:
            async with asyncio.timeout(patience):
                if traffic is not Traffic.DATAGRAM and port in SMTP_PORTS:
                    await self._smtp_turn(address, limits, patience)
                await self._turn(lease, traffic, address, limits)
            given = True
        except TimeoutError as fault:
            raise NotSeen(Reason.RATE_LIMITED, f"no turn for {address} within {patience:.0f} s") from fault
        finally:
            if not given:
                lease.release()
        lease.waited = self._now() - started
        return lease

    async def _turn(self, lease: Lease, traffic: Traffic, address: str, limits: Limits) -> None:
        """A slot at the address, a token of the address, a token of the prefix, a slot in all: taken in that order,
        so that nobody holds what a whole prefix shares while waiting for one slow address."""
        pace = _pace(traffic, limits)
        if pace.pending is not None:
            await lease.hold(self._slots[traffic, address], pace.pending)
        own = self._bucket(traffic, address)
        async with own.line:
            await own.ready(pace.rate, pace.burst)
            if pace.counts_in_prefix:
                shared = self._bucket("prefix", prefix(address))
                async with shared.line:
                    await shared.ready(limits.prefix_per_second, limits.prefix_burst)
                    await lease.hold(self._everything, limits.connections)
                    shared.take()
            else:
                await lease.hold(self._everything, limits.connections)
            own.take()

    def _bucket(self, kind: str, key: str) -> Bucket:
        return self._buckets.setdefault((kind, key), Bucket(self._now))

    async def _smtp_turn(self, address: str, limits: Limits, patience: float) -> None:
        async with self._smtp_lines[address]:
            while (wait := self._smtp_wait(address, limits)) > 0:
                if wait > patience:
                    raise NotSeen(
                        Reason.RATE_LIMITED,
                        f"{address} has had its {limits.smtp_per_minute} SMTP connections a minute "
                        f"or {limits.smtp_per_hour} an hour",
                    )
                await asyncio.sleep(wait)
            self._ledger.record(address, self._wall())

    def _smtp_wait(self, address: str, limits: Limits) -> float:
        """Seconds until neither the minute's nor the hour's count is full."""
        now = self._wall()
        times = self._ledger.since(address, now - HOUR)
        waits = [
            times[-count] + span - now
            for count, span in ((limits.smtp_per_minute, MINUTE), (limits.smtp_per_hour, HOUR))
            if len(times) >= count
        ]
        return max(waits, default=0.0)


def effective(limits: Limits, *, lab: bool) -> Limits:
    """An authorisation's limits, never above the defaults except in a lab."""
    if lab:
        return limits
    return Limits(**{name: min(getattr(limits, name), getattr(DEFAULTS, name)) for name in Limits.names()})


@lru_cache(maxsize=4096)
def prefix(address: str) -> str:
    """The /24 or /56 around an address: about what one owner's equipment sees as one neighbourhood."""
    length = 56 if ":" in address else 24
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))
