"""Many tarpits on loopback, half under one authorisation and half under another, and a resolver that knows the root."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.net import servers
from tests.net.dnsd import NameServer, name_server
from tests.scan.wiring import only_the_root

PATIENCE = 30.0
ONE, TWO = "zz-one", "zz-two"
LIMITS = "connections_per_address = 50\nnew_connections_per_second = 1000\nnew_connections_burst = 1000\n"


@dataclass
class Tarpits:
    """``seen``: what each server saw, those of ``ONE`` first. ``release`` makes all of them hang up, now and ever after."""

    folder: Path
    seen: list[servers.Seen]
    resolver: NameServer
    release: Callable[[], object]

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.toml"

    @property
    def db(self) -> Path:
        return self.folder / "posture.db"

    def open(self, authorisation: str | None = None) -> int:
        """Connections open now."""
        half = len(self.seen) // 2
        chosen = {ONE: self.seen[:half], TWO: self.seen[half:], None: self.seen}[authorisation]
        return sum(one.open for one in chosen)

    @property
    def heard(self) -> tuple[int, int]:
        """Connections ever made to the tarpits, questions ever asked of the resolver."""
        return sum(one.connections for one in self.seen), len(self.resolver.queries)


def until(condition: Callable[[], bool]) -> None:
    """Waits for another process. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


@contextmanager
def tarpits(folder: Path, count: int) -> Iterator[Tarpits]:
    """Stands for the length of the block, with an inventory and a posture.toml in ``folder``."""
    up: Future[Tarpits] = Future()
    done: list[Callable[[], object]] = []

    async def stand() -> None:
        loop, released, over = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ended = [asyncio.ensure_future(servers.silent(reader, writer)), asyncio.ensure_future(released.wait())]
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                one.cancel()

        async with AsyncExitStack() as stack:
            addresses = [f"127.0.21.{number + 1}" for number in range(count)]
            seen = [await stack.enter_async_context(servers.tcp_server(hold, address)) for address in addresses]
            resolver = await stack.enter_async_context(name_server(only_the_root))
            _write(folder, dict(zip(addresses, seen, strict=True)), resolver.port)
            done.append(lambda: loop.call_soon_threadsafe(over.set))
            up.set_result(Tarpits(folder, seen, resolver, lambda: loop.call_soon_threadsafe(released.set)))
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(stand())
        except BaseException as fault:
            if up.done():
                raise
            up.set_exception(fault)

    thread = threading.Thread(target=run, name="tarpits")
    thread.start()
    try:
        yield up.result(PATIENCE)
    finally:
        for end in done:
            end()
        thread.join(PATIENCE)


def _write(folder: Path, places: dict[str, servers.Seen], resolver: int) -> None:
    today = datetime.now(UTC).date()
    text = 'format = "posture-inventory/1"\n[state]\ncode = "ZZ"\nname = "Example Islands"\ntimezone = "UTC"\n'
    text += '[operator]\nname = "CERT"\ncontact = "soc@cert.example"\n'
    for name in (ONE, TWO):
        text += (
            f'[[authorisation]]\nid = "{name}"\nowner = "Ministry {name}"\nofficer = "PS"\nbasis = "own"\n'
            f'reference = "Letter 1"\nnot_before = {today - timedelta(days=2)}\nnot_after = {today + timedelta(days=2)}\n'
            f'classes = ["passive", "client", "active"]\nzones = ["{name}.gov.example"]\nnetworks = ["127.0.21.0/24"]\n'
            f'ports = ["443"]\nlab = true\n[authorisation.limits]\n{LIMITS}'
        )
    addresses = list(places)
    half = len(addresses) // 2
    for name, own in ((ONE, addresses[:half]), (TWO, addresses[half:])):
        text += f'[[ministry]]\ncode = "{name}"\nname = "Ministry {name}"\nauthorisation = "{name}"\n'
        for address in own:
            text += f'[[ministry.asset]]\nname = "h{address.rpartition(".")[2]}.{name}.gov.example"\n'
            text += f'ports = [443]\naddresses = ["{address}"]\n'
    for address, seen in places.items():
        text += f'[[lab_port]]\naddress = "{address}"\nport = 443\nto = {seen.port}\nproto = "tcp"\n'
    (folder / "inventory.toml").write_text(text, "utf-8")
    (folder / "posture.toml").write_text(f'resolver = "127.0.0.1:{resolver}"\n', "utf-8")
