"""One SIGINT or SIGTERM ends a run early and keeps what is finished; a second SIGINT aborts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from posture.errors import Interrupted
from posture.scan.stopping import nothing_because
from posture.stop import Order

T = TypeVar("T")


@dataclass(slots=True)
class Interruption:
    """Why a run ends early: ``signal``, or ``order``, which stopped everything."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    signal: signal.Signals | None = None
    order: Order | None = None

    def halt(self, order: Order) -> None:
        """The kill switch: everything is stopped."""
        self.order = order
        self.event.set()


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """SIGINT and SIGTERM ask for an early end; a second SIGINT is Python's own."""
    loop, asked = asyncio.get_running_loop(), Interruption()

    def ask(number: signal.Signals) -> None:
        asked.signal = asked.signal or number
        asked.event.set()
        loop.remove_signal_handler(signal.SIGINT)

    handled: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, ask, number)
            handled.append(number)
        except (ValueError, RuntimeError):  # not the main thread: whoever runs us handles signals
            break
    try:
        yield asked
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def unless(stop: Interruption, planning: Coroutine[Any, Any, T]) -> T:
    """What the work yields, unless a signal or an order of the kill switch comes first.

    Raises:
        Interrupted: a signal did.
        NothingToScan: an order did.
    """
    work, signalled = asyncio.ensure_future(planning), asyncio.ensure_future(stop.event.wait())
    await asyncio.wait({work, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if stop.event.is_set():
        work.cancel()
        await asyncio.wait({work})
        if stop.order:
            raise nothing_because(stop.order)
        raise Interrupted(stop.signal or signal.SIGINT)
    return work.result()
