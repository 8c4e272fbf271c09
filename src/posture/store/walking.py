"""The years of all assets, one after the other in this process, or some at a time in several that only read.

A process of its own is worth its start for a large history alone. It is told what to judge under, opens the history for
reading, and sends back what differs; the one that writes stays the only one. Each hangs on a pipe of its own, whose other
end nobody else holds: so whichever of the two dies, and however, the other one sees the end of it, and ends too. (What a
process is started with is short: more than a pipe holds would wait for ever for one that dies before it reads it.)
"""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from posture.checks import catalogue
from posture.errors import PostureError, StoreError
from posture.model import AssetKey
from posture.store.answers import Texts
from posture.store.asset_years import AssetYears, Change, Ground, Terms
from posture.store.database import connect_read, store_error

TEXTS_KEPT = 50_000  # texts that stay in memory while a history is walked through
WORTH_IT = 100_000  # assets times runs from which on other processes are started
_AT_ONCE = 20  # assets that another process is given at a time
_WAITING = 2  # such parts that wait for each process, so that none is idle and few results are held
_MOST = 4  # processes; each keeps records of its own in memory

Asset = tuple[int, AssetKey, int]  # number, key, bit
Changes = tuple[Asset, list[Change]]


def processes_for(assets: int, runs: int) -> int:
    """How many processes to judge in; 0 for this one."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, _MOST) if cores > 1 and assets * runs >= WORTH_IT else 0


def walk_here(ground: Ground, assets: Sequence[Asset]) -> Generator[Changes]:
    """What each asset's years tell that was not told before, in this process."""
    for one in assets:
        yield one, _changes(ground, one)


def walk_in_processes(workers: Sequence[Worker], terms: Terms, assets: Sequence[Asset]) -> Generator[Changes]:
    """As :func:`walk_here`, by the rules of the shipped catalogue, in processes that :func:`started` gave.

    Raises:
        StoreError: one of them was killed, or cannot read the history.
    """
    parts = [assets[place : place + _AT_ONCE] for place in range(0, len(assets), _AT_ONCE)]
    try:
        for one in workers:
            one.send(terms)
        for place, part in enumerate(parts[: len(workers) * _WAITING]):
            workers[place % len(workers)].send(part)
        for place, part in enumerate(parts):
            one = workers[place % len(workers)]
            changes = one.receive()
            following = place + len(workers) * _WAITING
            if following < len(parts):
                one.send(parts[following])
            yield from zip(part, changes, strict=True)
    finally:
        for one in workers:
            one.end()


@dataclass(frozen=True, slots=True)
class Worker:
    """Another process that reads the history at a path, seen from this one."""

    process: SpawnProcess
    pipe: Connection
    path: Path

    def send(self, what: Terms | Sequence[Asset]) -> None:
        try:
            self.pipe.send(what)
        except OSError as fault:
            raise self._killed() from fault

    def receive(self) -> list[list[Change]]:
        try:
            found: list[list[Change]] | str = self.pipe.recv()
        except (EOFError, OSError) as fault:
            raise self._killed() from fault
        if isinstance(found, str):
            raise StoreError(found)
        return found

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()  # it only reads
        self.process.join()

    def _killed(self) -> StoreError:
        return StoreError(f"a process that judges {self.path} was killed, perhaps for want of memory. Try again.")


def started(path: Path, processes: int) -> list[Worker]:
    """As many processes as wanted, or as the system lets us start: none when its limits are reached."""
    workers: list[Worker] = []
    with suppress(OSError):
        for _ in range(processes):
            workers.append(_start(path))  # noqa: PERF401 - those that did start are kept
    return workers


def _start(path: Path) -> Worker:
    context = get_context("spawn")
    here, there = context.Pipe()
    with there:
        process = context.Process(target=_work, args=(path, there), daemon=True)
        try:
            process.start()
        except OSError:
            here.close()
            raise
    return Worker(process, here, path)


def _changes(ground: Ground, one: Asset) -> list[Change]:
    years = AssetYears(ground, *one)
    years.walk()
    ground.texts.trim(TEXTS_KEPT)
    return years.changes()


# ---- in a process of its own


def _work(path: Path, pipe: Connection) -> None:
    """Judges assets for as long as somebody sends some."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the one that writes, which then ends this one
    gc.set_threshold(100_000)  # records of evidence stay by the thousand, and hold nothing that refers to itself
    try:
        terms = pipe.recv()
        with closing(connect_read(path)) as connection:
            ground = Ground(connection, Texts(connection), catalogue(), terms)
            while True:
                pipe.send([_changes(ground, one) for one in pipe.recv()])
    except (EOFError, OSError):
        return  # the one that writes has ended
    except PostureError as fault:
        pipe.send(str(fault))
    except sqlite3.Error as fault:
        pipe.send(str(store_error(path, fault)))
