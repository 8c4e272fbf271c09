"""What the connections of one asset share: a clock that runs only while something is on the wire, and its silent addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from posture.model import Reason

Now = Callable[[], float]

ASSET_SECONDS = 60.0
# Two ports that say nothing, dialled side by side, cost one time-out; then the address is taken for dead.
SILENT_PORTS = 2
# A sweep of a dead address still gets one window of pending connects: something may answer where nobody looked.
SILENT_SWEEPS = 20


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


@dataclass(slots=True)
class Liveness:
    """What one address of an asset has shown so far. Anything it sends, a RST too, is a sign of life."""

    answered: bool = False
    silent_ports: set[int] = field(default_factory=set)
    silent_sweeps: int = 0
    heard_ports: set[int] = field(default_factory=set)
    mute_ports: set[int] = field(default_factory=set)

    def dead_for_connect(self, port: int) -> bool:
        """Whether another connect to ``port`` would only cost another time-out.

        A port that lets us in and then says nothing (a tarpit) costs one time-out too, unless it ever spoke.
        """
        if port in self.mute_ports and port not in self.heard_ports:
            return True
        return not self.answered and (port in self.silent_ports or len(self.silent_ports) >= SILENT_PORTS)

    def ended(self, port: int, *, received: int, timed_out: bool) -> None:
        """A connection to ``port`` is over."""
        if received:
            self.heard_ports.add(port)
        elif timed_out:
            self.mute_ports.add(port)

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
