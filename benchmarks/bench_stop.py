"""How soon a scan in 50 tarpits is silent after ``posture stop``: seconds until the last connection is closed.

50 servers on 127.0.22.1 to .50 accept, read everything and say nothing. ``posture range up`` gives the resolver, the trust
store and the DNSSEC anchor. Once each tarpit holds a connection of ``posture scan --lab --check tls``, ``posture stop`` runs
as a process of its own; the clock starts when its file is in place and ends with the last open connection, as the servers
see it. Afterwards no connection may be accepted, and the scan must end with 3. ROUNDS times: ``bench_stop.py [ROUNDS]``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measure import console_script, lab_inventory, median, say

TARPITS = 50
ROUNDS = 5
GOAL = 2.0  # seconds: the promise
PATIENCE = 60.0
AFTER = 3.0  # seconds in which nothing more may come


@dataclass
class Tarpits:
    """``ports``: address -> number behind its port 443. ``open`` and ``accepted`` count connections."""

    ports: dict[str, int] = field(default_factory=dict)
    open: int = 0
    accepted: int = 0
    held: set[str] = field(default_factory=set)

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.accepted += 1
        self.held.add(writer.get_extra_info("sockname")[0])
        try:
            while await reader.read(65536):
                pass
        except OSError:
            return
        finally:
            self.open -= 1
            writer.close()


@contextmanager
def tarpits() -> Iterator[Tarpits]:
    """Servers on a loop of their own, until the block ends."""
    pits, ready = Tarpits(), threading.Event()
    loop = asyncio.new_event_loop()

    async def listen() -> None:
        for number in range(1, TARPITS + 1):
            server = await asyncio.start_server(pits.hold, f"127.0.22.{number}", 0)
            address, port = server.sockets[0].getsockname()
            pits.ports[address] = port
        ready.set()

    def run() -> None:
        loop.run_until_complete(listen())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    ready.wait(PATIENCE)
    try:
        yield pits
    finally:
        loop.call_soon_threadsafe(loop.stop)


@contextmanager
def practice_range(folder: Path) -> Iterator[None]:
    """A practice range for its resolver and DNSSEC anchor; leaves its configuration in ``folder``."""
    command = [console_script("posture"), "range", "up"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder) as child:
        try:
            assert child.stdout
            ready = next((line for line in child.stdout if line.startswith("READY ")), "")
            if not ready:
                sys.exit("posture range up did not get ready")
            made = Path(ready.removeprefix("READY ").strip()).parent
            for name in ("posture.toml", "ca.pem", "root-anchor.txt"):
                (folder / name).write_bytes((made / name).read_bytes())
            yield
        finally:
            child.terminate()


def write_inventory(folder: Path, ports: dict[str, int]) -> Path:
    text = lab_inventory("127.0.22.0/24", [443])
    for number, (address, port) in enumerate(ports.items(), 1):
        text += f'[[ministry.asset]]\nname = "h{number}.bench.gov.example"\nports = [443]\naddresses = ["{address}"]\n'
        text += f'[[lab_port]]\naddress = "{address}"\nport = 443\nto = {port}\nproto = "tcp"\n'
    path = folder / "inventory.toml"
    path.write_text(text, "utf-8")
    return path


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit("bench_stop: nothing happened within a minute")
        time.sleep(0.002)


def one_round(folder: Path, inventory: Path, number: int, pits: Tarpits) -> float:
    """Seconds from the order to the last connection's end."""
    database = folder / f"{number}.db"
    common = [console_script("posture"), "--config", str(folder / "posture.toml"), "--db", str(database)]
    pits.held.clear()
    command = [*common, "scan", str(inventory), "--lab", "-q", "--check", "tls"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as scan:
        until(lambda: len(pits.held) == TARPITS and pits.open >= TARPITS)
        with subprocess.Popen([*common, "stop", "--reason", "bench"], stdout=subprocess.DEVNULL) as stop:
            until(database.with_name(f"{database.name}.stop").exists)
            began = time.monotonic()
            until(lambda: pits.open == 0)
            seconds = time.monotonic() - began
            accepted = pits.accepted
            time.sleep(AFTER)
            if pits.accepted != accepted:
                sys.exit(f"{pits.accepted - accepted} connections after the order")
        if (codes := (scan.wait(PATIENCE), stop.returncode)) != (3, 0):
            sys.exit(f"the scan and the order ended with {codes}")
    return seconds


def main(rounds: int = ROUNDS) -> int:
    print(f"bench_stop: {TARPITS} tarpits, {rounds} scans stopped by another process")
    with tempfile.TemporaryDirectory() as made, tarpits() as pits:
        folder = Path(made)
        with practice_range(folder):
            inventory = write_inventory(folder, pits.ports)
            measured = [one_round(folder, inventory, number, pits) for number in range(rounds)]
    say("order to last connection closed, median", f"{median(measured):.2f} s")
    say("order to last connection closed, slowest", f"{max(measured):.2f} s", f"at most {GOAL:.0f} s")
    return int(max(measured) > GOAL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
