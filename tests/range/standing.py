"""A practice range for the length of a block, on a loop of its own so that blocking clients can talk to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from posture.range import PracticeRange

PATIENCE = 30.0


@dataclass(frozen=True)
class Standing:
    practice: PracticeRange
    loop: asyncio.AbstractEventLoop

    def change(self) -> None:
        asyncio.run_coroutine_threadsafe(self.practice.change(), self.loop).result(PATIENCE)

    def dialled(self, name: str, port: int) -> tuple[str, int]:
        return self.practice.dialled(name, port)

    def server(self, address: str) -> int:
        """The number behind port 53 of a name server's address."""
        return next(p.to for p in self.practice.lab_ports if (p.address, p.port) == (address, 53))


@contextmanager
def standing_range() -> Iterator[Standing]:
    up: Future[Standing] = Future()
    done: list[asyncio.Event] = []

    async def stand() -> None:
        try:
            async with PracticeRange() as practice:
                done.append(asyncio.Event())
                up.set_result(Standing(practice, asyncio.get_running_loop()))
                await done[0].wait()
        except Exception as fault:
            if up.done():
                raise
            up.set_exception(fault)

    faults: list[Any] = []

    def run() -> None:
        try:
            asyncio.run(stand())
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=run, name="practice range")
    thread.start()
    try:
        standing = up.result(PATIENCE)
        try:
            yield standing
        finally:
            standing.loop.call_soon_threadsafe(done[0].set)
    finally:
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert faults == []
