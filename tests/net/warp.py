"""A loop whose clock jumps to the next timer whenever nothing is going on: time-outs of minutes cost no time.

Servers must live in the same loop, so that an idle selector means that really nobody has anything to do.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# The kernel hands loopback packets over within this many real seconds.
SETTLE_SECONDS = 0.003


class _WarpSelector(selectors.DefaultSelector):
    jumped = 0.0
    settle = SETTLE_SECONDS

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(self.settle)
        if not events:
            self.jumped += timeout
        return events


class WarpLoop(asyncio.SelectorEventLoop):
    def __init__(self, settle: float = SETTLE_SECONDS) -> None:
        self._warp = _WarpSelector()
        self._warp.settle = settle
        super().__init__(self._warp)

    def time(self) -> float:
        return self._warp.jumped


def warped(work: Coroutine[Any, Any, T], *, settle: float = SETTLE_SECONDS) -> T:
    """The result of a coroutine run on a jumping clock that starts at 0; ``settle`` 0 where nothing is sent at all."""
    with asyncio.Runner(loop_factory=lambda: WarpLoop(settle)) as runner:
        return runner.run(work)


def now() -> float:
    return asyncio.get_running_loop().time()
