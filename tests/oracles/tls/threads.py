"""Something asynchronous that stands in a thread of its own while the test does other things."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 30.0


@contextmanager
def standing(what: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Entered and left on a loop of its own; gives what it gives."""
    up: Future[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def stand() -> None:
        end = asyncio.Event()
        try:
            async with what as value:
                up.set_result((value, asyncio.get_running_loop(), end))
                await end.wait()
        except Exception as fault:
            if up.done():
                raise
            up.set_exception(fault)

    thread = threading.Thread(target=lambda: asyncio.run(stand()), name=type(what).__name__)
    thread.start()
    value, loop, end = up.result(PATIENCE)
    try:
        yield value
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(PATIENCE)
