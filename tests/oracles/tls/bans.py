"""An intrusion prevention system before a server: after so many connections it goes on accepting, and lets nothing through."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from tests.doors import Place
from tests.net.servers import tcp_server


@asynccontextmanager
async def banning(behind: Place, after: Mapping[str, int]) -> AsyncIterator[Mapping[str, int]]:
    """By address, where to stand and after how many connections to fall silent; gives the ports."""
    async with AsyncExitStack() as stack:
        yield {address: await stack.enter_async_context(_one(behind, address, most)) for address, most in after.items()}


@asynccontextmanager
async def _one(behind: Place, address: str, most: int) -> AsyncIterator[int]:
    met = 0

    async def guard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        if met > most:
            await reader.read()  # until the client has had enough
            return
        inner_reader, inner_writer = await asyncio.open_connection(*behind)
        try:
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        finally:
            inner_writer.close()

    async with tcp_server(guard, address) as seen:
        yield seen.port


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
