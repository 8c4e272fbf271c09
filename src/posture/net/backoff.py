"""Leaving an address alone after it pushed us away: one second, two, four ..., the same every time.

What counts as a push is a connection reset after it was made, and a protocol's own "not now" (421 and 4xx of SMTP, 429
and 503 of HTTP). All connections of the run to that address wait; an answer makes peace again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from posture.model import NotSeen, Reason

FIRST_SECONDS = 1.0
MOST_SECONDS = 8.0


@dataclass(slots=True)
class _Distance:
    """``until`` on the loop's clock nothing is sent there; ``pushes`` in a row so far."""

    until: float = 0.0
    pushes: int = 0


class Backoff:
    """Of all addresses of a run.

    Args:
        now: the loop's clock (seconds); the running loop's when left out.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or asyncio.get_running_loop().time
        self._distances: defaultdict[str, _Distance] = defaultdict(_Distance)

    def pushed(self, address: str) -> None:
        """The address pushed us away. Several connections that it pushes away at once are one push."""
        distance = self._distances[address]
        if distance.until > self._now():
            return
        distance.until = self._now() + min(FIRST_SECONDS * 2**distance.pushes, MOST_SECONDS)
        distance.pushes += 1

    def answered(self, address: str) -> None:
        """The address took part in a conversation. A wait that has begun is kept to."""
        distance = self._distances.get(address)
        if distance and distance.until <= self._now():
            distance.pushes = 0

    async def wait(self, address: str, patience: float) -> float:
        """Returns the seconds waited once something may be sent there again.

        Args:
            patience: seconds after which waiting is given up.

        Raises:
            NotSeen: RATE_LIMITED, other connections were pushed away again and again meanwhile.
        """
        started = self._now()
        while (left := self._distances[address].until - self._now()) > 0:
            if self._now() + left - started > patience:
                raise NotSeen(Reason.RATE_LIMITED, f"{address} has pushed us away for {patience:.0f} s")
            await asyncio.sleep(left)
        return self._now() - started
