"""What the connections of one asset share: a clock that runs only while something is on the wire, its silent addresses,
and the bytes that it may make us read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from posture.door import Reply, Resolver
from posture.model import NotSeen, NotThere, Reason

T = TypeVar("T")
Now = Callable[[], float]

ASSET_SECONDS = 60.0
# Two ports that say nothing, dialled side by side, cost one time-out; then the address is taken for dead.
SILENT_PORTS = 2
# A port of a living address that lets nobody in, twice, is left alone: a firewall drops what is sent there.
SILENT_CONNECTS = 2
# A sweep of a dead address still gets one window of pending connects: something may answer where nobody looked.
SILENT_SWEEPS = 20
# An endpoint that reset so many connections, and never said anything, resets the next one too.
MOST_RESETS = 4
# What one asset may send us in a run, a lab's too. An ordinary scan of a host reads a tenth of it.
BYTES_PER_ASSET = 5_000_000


class Deadline(NamedTuple):
    """An instant on the loop's clock and the reason to give when it passes."""

    at: float
    reason: Reason


class Stopwatch:
    """Seconds during which at least one of its users was running. Nested use counts once.

    Args:
        limit: seconds; None counts without a limit.
        parent: another stopwatch that runs whenever this one does (a probe's and its asset's).
        now: the loop's clock.
    """

    def __init__(self, limit: float | None = None, parent: Stopwatch | None = None, now: Now | None = None) -> None:
        self._limit = limit
        self._parent = parent
        self._now = now or asyncio.get_running_loop().time
        self._users = 0
        self._since = 0.0
        self._spent = 0.0

    @property
    def running(self) -> bool:
        return self._users > 0

    @property
    def elapsed(self) -> float:
        return self._spent + (self._now() - self._since if self._users else 0.0)

    @property
    def remaining(self) -> float:
        """Seconds left of the limit here and of every parent; infinite without limits."""
        left = float("inf") if self._limit is None else self._limit - self.elapsed
        return left if self._parent is None else min(left, self._parent.remaining)

    def start(self) -> None:
        if self._users == 0:
            self._since = self._now()
        self._users += 1
        if self._parent:
            self._parent.start()

    def stop(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._spent += self._now() - self._since
        if self._parent:
            self._parent.stop()

    @contextmanager
    def measured(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self.stop()

    def deadline(self, seconds: float) -> Deadline:
        """``seconds`` from now with TIMEOUT, or the end of the clock with DEADLINE, whichever comes first."""
        left = self.remaining
        if left < seconds:
            return Deadline(self._now() + left, Reason.DEADLINE)
        return Deadline(self._now() + seconds, Reason.TIMEOUT)


class ByteBudget:
    """Bytes that may still be received. They are set aside before a read, so that reads at the same time share them.

    Args:
        total: bytes in all.
    """

    def __init__(self, total: int = BYTES_PER_ASSET) -> None:
        self.left = total

    def set_aside(self, wanted: int) -> int:
        """At most ``wanted`` bytes, at least one, for one read; what it does not use is to be given back.

        Raises:
            NotSeen: RATE_LIMITED, nothing is left.
        """
        if self.left <= 0:
            raise NotSeen(Reason.RATE_LIMITED, f"this asset's {BYTES_PER_ASSET // 1_000_000} MB are used up")
        granted = min(wanted, self.left)
        self.left -= granted
        return granted

    def give_back(self, unused: int) -> None:
        self.left += unused


@dataclass(slots=True)
class Liveness:
    """What one address of an asset has shown so far. Anything it sends, a RST too, is a sign of life."""

    answered: bool = False
    silent_ports: Counter[int] = field(default_factory=Counter)
    open_ports: set[int] = field(default_factory=set)
    silent_sweeps: int = 0
    heard_ports: set[int] = field(default_factory=set)
    mute_ports: set[int] = field(default_factory=set)
    finished_ports: set[int] = field(default_factory=set)
    unfinished_ports: set[int] = field(default_factory=set)
    reached_ports: set[int] = field(default_factory=set)
    resets: Counter[int] = field(default_factory=Counter)
    _gates: dict[int, asyncio.Lock] = field(default_factory=dict)

    def dead_for_connect(self, port: int) -> bool:
        """Whether another connect to ``port`` would only cost another time-out.

        A port that lets us in and then says nothing (a tarpit), or has little to say and never comes to an end, costs one
        time-out too, unless it ever spoke, or came to one. One of an address that answers elsewhere, and never let anybody
        in, costs two.
        """
        if port in self.mute_ports - self.heard_ports or port in self.unfinished_ports - self.finished_ports:
            return True
        if port not in self.open_ports and self.silent_ports[port] >= SILENT_CONNECTS:
            return True
        return not self.answered and (port in self.silent_ports or len(self.silent_ports) >= SILENT_PORTS)

    @asynccontextmanager
    async def first_contact(self, port: int) -> AsyncIterator[None]:
        """Until the first connect to ``port`` is over, the others wait: where nothing answers, one of them finds out."""
        gate = self._gates.setdefault(port, asyncio.Lock())
        async with gate:
            first = port not in self.reached_ports
            if first:
                try:
                    yield
                finally:
                    self.reached_ports.add(port)
        if not first:
            yield

    def resets_all(self, port: int) -> bool:
        """Whether ``port`` let us in several times and only ever reset the connection."""
        return port not in self.heard_ports and self.resets[port] >= MOST_RESETS

    def admitted(self, port: int) -> None:
        """A connect to ``port`` went through."""
        self.answered = True
        self.open_ports.add(port)

    def refused(self, port: int, fault: NotSeen | NotThere) -> None:
        """A connect to ``port`` came to nothing."""
        if isinstance(fault, NotThere) or fault.reason is Reason.RESET:
            self.answered = True
        elif fault.reason is Reason.TIMEOUT:
            self.silent_ports[port] += 1

    def ended(self, port: int, *, received: int, timed_out: bool, reset: bool = False, brisk: bool = False) -> None:
        """A connection to ``port`` is over; ``brisk``: it was to have little to say."""
        if received:
            self.heard_ports.add(port)
            if timed_out and brisk:
                self.unfinished_ports.add(port)
            elif not timed_out:
                self.finished_ports.add(port)
        elif timed_out:
            self.mute_ports.add(port)
        self.resets[port] += reset

    def dead_for_sweep(self) -> bool:
        return not self.answered and bool(self.silent_ports) and self.silent_sweeps >= SILENT_SWEEPS


class AssetContext:
    """One per asset and run.

    Args:
        seconds: the asset's clock.
    """

    def __init__(self, seconds: float = ASSET_SECONDS, now: Now | None = None) -> None:
        self.clock = Stopwatch(seconds, now=now)
        self._liveness: dict[str, Liveness] = {}

    def liveness(self, address: str) -> Liveness:
        return self._liveness.setdefault(address, Liveness())


class ClockedResolver:
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
