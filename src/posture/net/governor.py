"""Politeness: how many connections at once and how many new ones a second, to an address, a prefix, and in all.

Waiting is first come, first served, and bounded by the caller's patience. Limits of an authorisation may lower the
defaults; only a lab may raise them. Of several limits met at one address the lowest holds. What must outlive a process
(SMTP and sweep connections) is remembered by a :class:`ContactLedger`; within a process only the loop's clock counts,
so that setting the machine's clock opens no gate.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import chain, repeat
from typing import Protocol

from posture.inventory.records import Limits
from posture.model import NotSeen, Reason

SMTP_PORTS = frozenset({25, 465, 587})
DEFAULTS = Limits()
SECOND = 1.0
MINUTE = 60.0
HOUR = 3600.0
# The code of a refusal of our own because a limit was met.
RATE = "E-SCOPE-030"


class Traffic(StrEnum):
    """What is about to be sent; each kind has limits of its own per address."""

    CONNECTION = "connection"
    SWEEP = "sweep"
    DATAGRAM = "datagram"
    CHILD = "child"  # a process of somebody else's that makes its connections itself, one at a time


Calm = Callable[[], Awaitable[object]]


async def _is_calm() -> None:
    """Nobody ever pushes us away: for tests of other things."""


class ContactLedger(Protocol):
    """What was sent lately, remembered across processes, because its owner remembers too.

    ``kind`` is "smtp" or "sweep". Raises StoreError when it cannot be written: then nothing is sent.
    """

    def sent(self, kind: str, address: str) -> Sequence[tuple[float, int]]:
        """(Unix time, how many) of what earlier processes sent, as far as it may still count; in any order."""

    def record(self, kind: str, address: str, at: float) -> None:
        """One more, at a Unix time. An SMTP connection is on disk when this returns."""


class NoLedger:
    """Remembers nothing beyond this process: for tests of other things."""

    def sent(self, kind: str, address: str) -> Sequence[tuple[float, int]]:  # noqa: ARG002
        return ()

    def record(self, kind: str, address: str, at: float) -> None: ...


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


class Window:
    """So many in any span of seconds, by the times at which they were sent. Only who holds its line waits and takes.

    Args:
        earlier: ages in seconds of what was sent before this window was made.
    """

    def __init__(self, now: Callable[[], float], earlier: Sequence[float] = ()) -> None:
        self.line = asyncio.Lock()
        self._now = now
        self._times = deque(sorted(now() - age for age in earlier))

    def wait(self, spans: Sequence[tuple[int, float]]) -> float:
        """Seconds until one more leaves every span with at most its count; ``spans``: (count, seconds)."""
        now = self._now()
        return max(
            (self._times[-count] + seconds - now for count, seconds in spans if len(self._times) >= count), default=0.0
        )

    async def ready(self, spans: Sequence[tuple[int, float]]) -> None:
        while (wait := self.wait(spans)) > 0:  # noqa: ASYNC110 - it is time itself that is waited for
            await asyncio.sleep(wait)

    def take(self) -> None:
        self._times.append(self._now())
        while self._times[0] < self._now() - HOUR:
            self._times.popleft()


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


class Governor:
    """Hands out leases.

    Args:
        now: the loop's clock (seconds); the running loop's when left out.
        wall: Unix time, for the ledger.
        ledger: what earlier processes sent.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
        ledger: ContactLedger | None = None,
    ) -> None:
        self._now = now or asyncio.get_running_loop().time
        self._wall = wall
        self._began = wall() - self._now()
        self._ledger = ledger or NoLedger()
        self._slots: defaultdict[tuple[Traffic, str], Slots] = defaultdict(Slots)
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._windows: dict[tuple[str, str], Window] = {}
        self._lowest: dict[str, Limits] = {}
        self._everything = Slots()

    @property
    def open(self) -> int:
        """Leases held now."""
        return self._everything.held

    async def admit(
        self,
        traffic: Traffic,
        address: str,
        port: int,
        limits: Limits,
        *,
        lab: bool,
        patience: float,
        calm: Calm = _is_calm,
    ) -> Lease:
        """Waits for a turn.

        Args:
            patience: seconds after which waiting is given up.
            calm: waits until the address may be spoken to again (:class:`posture.net.backoff.Backoff`); asked at the
                head of the address's line, so that a push is heeded by those who stood in it already.

        Raises:
            NotSeen: RATE_LIMITED, with the code E-SCOPE-030; what ``calm`` raises.
            StoreError: what must be remembered cannot be written down.
        """
        limits = self._lowest_at(address, effective(limits, lab=lab))
        started = self._now()
        lease = Lease()
        given = False
        try:
            async with asyncio.timeout(patience):
                if traffic is Traffic.DATAGRAM:
                    await self._datagram(lease, address, limits, calm)
                elif port in SMTP_PORTS:
                    await self._mail(lease, traffic, address, limits, patience, calm)
                else:
                    await self._tcp(lease, traffic, address, limits, calm)
            given = True
        except TimeoutError as fault:
            raise _no_turn(traffic, address, limits, patience) from fault
        finally:
            if not given:
                lease.release()
        lease.waited = self._now() - started
        return lease

    # Taken in this order: a slot at the address, a token of the address, a token of the prefix, a slot in all; so that
    # nobody holds what a whole prefix shares while waiting for one slow address.

    async def _tcp(self, lease: Lease, traffic: Traffic, address: str, limits: Limits, calm: Calm) -> None:
        if traffic is Traffic.SWEEP:
            await lease.hold(self._slots[traffic, address], limits.sweep_pending)
            window = self._window("sweep", address)
            async with window.line:
                await window.ready(_sweep_spans(limits))
                await calm()
                await self._beyond_the_address(lease, address, limits)
                self._remember("sweep", address, window)
            return
        # To the address a child's connection is one like any other.
        await lease.hold(self._slots[Traffic.CONNECTION, address], limits.connections_per_address)
        bucket = self._bucket(Traffic.CONNECTION, address)
        async with bucket.line:
            await bucket.ready(limits.new_connections_per_second, limits.new_connections_burst)
            await calm()
            await self._beyond_the_address(lease, address, limits)
            bucket.take()

    async def _mail(
        self, lease: Lease, traffic: Traffic, address: str, limits: Limits, patience: float, calm: Calm
    ) -> None:
        """The exchanger's line is held until the connection may be made: what is counted is what is on the wire."""
        window = self._window("smtp", address)
        async with window.line:
            if (wait := window.wait(_smtp_spans(limits))) > patience:
                raise _no_more_mail(address, limits, wait)
            await window.ready(_smtp_spans(limits))
            await self._tcp(lease, traffic, address, limits, calm)
            self._remember("smtp", address, window)

    async def _datagram(self, lease: Lease, address: str, limits: Limits, calm: Calm) -> None:
        bucket = self._bucket(Traffic.DATAGRAM, address)
        async with bucket.line:
            await bucket.ready(limits.dns_per_second, limits.dns_burst)
            await calm()
            await lease.hold(self._everything, limits.connections)
            bucket.take()

    async def _beyond_the_address(self, lease: Lease, address: str, limits: Limits) -> None:
        shared = self._bucket("prefix", prefix(address))
        async with shared.line:
            await shared.ready(limits.prefix_per_second, limits.prefix_burst)
            await lease.hold(self._everything, limits.connections)
            shared.take()

    def _remember(self, kind: str, address: str, window: Window) -> None:
        # A clock that was set back meanwhile must not make this look older than it is.
        self._ledger.record(kind, address, max(self._wall(), self._began + self._now()))
        window.take()

    def _bucket(self, kind: str, key: str) -> Bucket:
        return self._buckets.setdefault((kind, key), Bucket(self._now))

    def _window(self, kind: str, address: str) -> Window:
        """What earlier processes sent counts by its age; what lies in the future was sent just now at the earliest."""
        if (kind, address) not in self._windows:
            wall = self._wall()
            sent = self._ledger.sent(kind, address)
            ages = chain.from_iterable(repeat(max(0.0, wall - at), count) for at, count in sent)
            self._windows[kind, address] = Window(self._now, tuple(ages))
        return self._windows[kind, address]

    def _lowest_at(self, address: str, limits: Limits) -> Limits:
        before = self._lowest.get(address)
        if before is not None and before != limits:
            limits = _lower(before, limits)
        self._lowest[address] = limits
        return limits


def effective(limits: Limits, *, lab: bool) -> Limits:
    """An authorisation's limits, never above the defaults except in a lab."""
    return limits if lab else _lower(limits, DEFAULTS)


def _lower(one: Limits, other: Limits) -> Limits:
    return Limits(**{name: min(getattr(one, name), getattr(other, name)) for name in Limits.names()})


def _smtp_spans(limits: Limits) -> tuple[tuple[int, float], ...]:
    return (max(1, limits.smtp_per_minute), MINUTE), (max(1, limits.smtp_per_hour), HOUR)


def _sweep_spans(limits: Limits) -> tuple[tuple[int, float], ...]:
    """Never more than the rate in a second, and no faster than a full load of pending ones at that rate."""
    pending, rate = max(1, limits.sweep_pending), max(1, limits.sweep_per_second)
    return (pending, pending / rate), (rate, SECOND)


def _no_turn(traffic: Traffic, address: str, limits: Limits, patience: float) -> NotSeen:
    connections = (
        f"{limits.connections_per_address} connections at once, {limits.new_connections_per_second} new ones a second"
    )
    rule = {
        Traffic.CONNECTION: connections,
        Traffic.CHILD: connections,
        Traffic.SWEEP: f"{limits.sweep_pending} ports at once, {limits.sweep_per_second} a second",
        Traffic.DATAGRAM: f"{limits.dns_per_second} questions a second",
    }[traffic]
    text = f"no turn for {address} within {patience:.0f} s ({rule}). Nothing was sent. Scan again when less is asked of it."
    return NotSeen(Reason.RATE_LIMITED, text, RATE)


def _no_more_mail(address: str, limits: Limits, wait: float) -> NotSeen:
    text = (
        f"{address} has had its {limits.smtp_per_minute} SMTP connections a minute or {limits.smtp_per_hour} an hour, "
        f"earlier scans included. Nothing was sent. Scan again in {-(-wait // MINUTE):.0f} min."
    )
    return NotSeen(Reason.RATE_LIMITED, text, RATE)


@lru_cache(maxsize=4096)
def prefix(address: str) -> str:
    """The /24 or /56 around an address: about what one owner's equipment sees as one neighbourhood."""
    length = 56 if ":" in address else 24
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))
