"""The years of all assets, one after the other in this process, or some at a time in several that only read.

A process of its own is worth its start for a large history alone. It is told what to judge under, opens the history for
reading, and sends back what differs; the one that writes stays the only one. It ends with that one, however that ends.
"""

from __future__ import annotations

import gc
import os
import signal
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread

from posture.checks import catalogue
from posture.errors import StoreError
from posture.model import AssetKey
from posture.store.answers import Texts
from posture.store.asset_years import AssetYears, Change, Ground, Terms
from posture.store.database import connect_read

TEXTS_KEPT = 50_000  # texts that stay in memory while a history is walked through
WORTH_IT = 100_000  # assets times runs from which on other processes are started
_AT_ONCE = 25  # assets that another process is given at a time
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


def walk_in_processes(path: Path, terms: Terms, assets: Sequence[Asset], processes: int) -> Generator[Changes]:
    """As :func:`walk_here`, by the rules of the shipped catalogue, in processes that read the history at a path.

    Raises:
        StoreError: one of them was killed.
    """
    places = iter(range(0, len(assets), _AT_ONCE))
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(path, terms))
    try:
        going: deque[tuple[int, Future[list[list[Change]]]]] = deque()
        for place in islice(places, processes * _WAITING):
            going.append((place, pool.submit(_walk, assets[place : place + _AT_ONCE])))
        while going:
            place, found = going.popleft()
            changes = found.result()
            for following in islice(places, 1):
                going.append((following, pool.submit(_walk, assets[following : following + _AT_ONCE])))
            yield from zip(assets[place : place + _AT_ONCE], changes, strict=True)
    except BrokenProcessPool as fault:
        raise StoreError(f"a process that judges {path} was killed, perhaps for want of memory. Try again.") from fault
    finally:
        pool.shutdown(cancel_futures=True)


def _changes(ground: Ground, one: Asset) -> list[Change]:
    years = AssetYears(ground, *one)
    years.walk()
    ground.texts.trim(TEXTS_KEPT)
    return years.changes()


# ---- in a process of its own

_GROUND: list[Ground] = []  # of this process, set once at its start


def _begin(path: Path, terms: Terms) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the one that writes, which then ends this one
    Thread(target=_end_with_parent, daemon=True).start()
    gc.set_threshold(100_000)  # records of evidence stay by the thousand, and hold nothing that refers to itself
    connection = connect_read(path)
    _GROUND[:] = [Ground(connection, Texts(connection), catalogue(), terms)]


def _walk(assets: Sequence[Asset]) -> list[list[Change]]:
    return [_changes(_GROUND[0], one) for one in assets]


def _end_with_parent() -> None:
    parent = parent_process()
    with suppress(OSError):
        wait([parent.sentinel] if parent else [])
    os._exit(1)
