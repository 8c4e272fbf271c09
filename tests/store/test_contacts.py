"""What was sent lately, from one process to the next."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posture.errors import StoreError
from posture.inventory.records import Limits
from posture.model import NotSeen, Reason
from posture.net.governor import Governor, Traffic
from posture.store import Store
from posture.store.contacts import ContactLedger
from tests.net.warp import now, warped

MX, HOST = "198.51.100.25", "198.51.100.7"
AT = 1_795_500_000.0


class Clock:
    """Unix time and the machine's own seconds, set by hand."""

    def __init__(self, wall: float = AT) -> None:
        self.wall = wall
        self.seconds = 0.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.seconds += seconds


@contextmanager
def ledger(path: Path, clock: Clock) -> Iterator[ContactLedger]:
    with (
        Store.open(path, write=True, shipped={}) as store,
        ContactLedger(store, wall=lambda: clock.wall, monotonic=lambda: clock.seconds) as contacts,
    ):
        yield contacts


def rows(path: Path) -> list[tuple[str, str, float, int]]:
    """What another process would find."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT kind, address, at, count FROM contact ORDER BY 1, 2, 3").fetchall()
    finally:
        connection.close()


def test_a_mail_connection_is_on_disk_before_it_is_made(tmp_path: Path) -> None:
    path, clock = tmp_path / "p.db", Clock()
    with ledger(path, clock) as contacts:
        contacts.record("smtp", MX, AT)
        assert rows(path) == [("smtp", MX, AT, 1)]
        contacts.record("smtp", MX, AT)
        assert rows(path) == [("smtp", MX, AT, 2)], "two at one instant are two"


def test_sweeps_are_written_once_a_second_and_at_the_end(tmp_path: Path) -> None:
    path, clock = tmp_path / "p.db", Clock()
    with ledger(path, clock) as contacts:
        for number in range(10):
            contacts.record("sweep", HOST, AT + number / 20)
        assert rows(path) == []
        assert contacts.sent("sweep", HOST) == [(AT + 9 / 20, 10)], "this process knows of them all the same"
        clock.pass_(1.0)
        contacts.record("sweep", MX, AT + 1)
        assert rows(path) == [("sweep", MX, AT + 1, 1), ("sweep", HOST, AT + 9 / 20, 10)]
        contacts.record("sweep", HOST, AT + 1.1)
        assert len(rows(path)) == 2
        contacts.flush()
        assert rows(path)[-1] == ("sweep", HOST, AT + 1.1, 1)


def test_what_no_longer_counts_is_dropped(tmp_path: Path) -> None:
    path, clock = tmp_path / "p.db", Clock()
    with ledger(path, clock) as contacts:
        contacts.record("smtp", MX, AT)
        contacts.record("sweep", HOST, AT)
        contacts.flush()
    clock.pass_(61.0)
    with ledger(path, clock):
        assert rows(path) == [("smtp", MX, AT, 1)]
    clock.pass_(3600.0)
    with ledger(path, clock):
        assert rows(path) == []


def test_what_lies_in_the_future_counts_from_now_and_no_longer_than_its_time(tmp_path: Path) -> None:
    path, clock = tmp_path / "p.db", Clock()
    with ledger(path, clock) as contacts:
        for second in range(3):
            contacts.record("smtp", MX, AT + second)
    clock.wall = AT - 86_400.0
    with ledger(path, clock) as contacts:
        assert contacts.sent("smtp", MX) == [(AT - 86_400.0, 3)]
    clock.pass_(3601.0)
    with ledger(path, clock) as contacts:
        assert contacts.sent("smtp", MX) == []


def _wall() -> float:
    return AT + now()


def test_an_exchanger_that_had_its_share_of_one_process_gets_nothing_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "p.db"

    async def connections(count: int, patience: float) -> None:
        with Store.open(path, write=True, shipped={}) as store:
            governor = Governor(wall=_wall, ledger=ContactLedger(store, wall=_wall, monotonic=now))
            for _ in range(count):
                lease = await governor.admit(Traffic.CONNECTION, MX, 25, Limits(), lab=False, patience=patience)
                lease.release()

    async def scenario() -> None:
        await connections(4, 0.0)
        await connections(2, 0.0)
        with pytest.raises(NotSeen) as caught:
            await connections(1, 59.0)
        assert (caught.value.reason, caught.value.code) == (Reason.RATE_LIMITED, "E-SCOPE-030")
        assert now() == 0.0
        await asyncio.sleep(60.0)
        await connections(1, 0.0)

    warped(scenario())


def test_a_database_that_cannot_be_written_admits_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.db"

    async def scenario() -> None:
        with Store.open(path, write=True, shipped={}) as store:
            governor = Governor(ledger=ContactLedger(store))
            store.connection.execute("PRAGMA query_only = ON")
            with pytest.raises(StoreError):
                await governor.admit(Traffic.CONNECTION, MX, 25, Limits(), lab=False, patience=1.0)
            assert governor.open == 0

    warped(scenario())
