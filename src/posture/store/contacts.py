"""What was sent lately, kept in the history's file: limits by the hour must outlive a process.

    with ContactLedger(store) as contacts:       # of the writer, in its only thread; writes the rest at the end
        governor = Governor(ledger=contacts)

An SMTP connection is on disk before it is made. Those of a port sweep are written together, once a second and at the
end: after a crash the ledger is short of at most one second of a sweep.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from posture.store.database import store_error
from posture.store.writer import Store

SMTP, SWEEP = "smtp", "sweep"
# How long a contact may still count, and so is kept.
KEPT_SECONDS = {SMTP: 3600.0, SWEEP: 60.0}
FLUSH_SECONDS = 1.0


class ContactLedger:
    """The table ``contact``, as posture.net.governor.ContactLedger.

    Args:
        store: opened for writing.
        wall: Unix time.
        monotonic: seconds that never go back, for when to write.

    Raises:
        StoreError: the database cannot be written.
    """

    def __init__(
        self,
        store: Store,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._monotonic = monotonic
        self._waiting: dict[str, tuple[float, int]] = {}
        self._flushed = monotonic()
        self._tidy(wall())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def sent(self, kind: str, address: str) -> Sequence[tuple[float, int]]:
        """(Unix time, how many) of everything kept. Raises StoreError."""
        query = "SELECT at, count FROM contact WHERE kind = ? AND address = ?"
        try:
            found = self._store.connection.execute(query, (kind, address)).fetchall()
        except sqlite3.Error as fault:
            raise store_error(self._store.path, fault) from fault
        rows = [(float(at), int(count)) for at, count in found]
        return [*rows, self._waiting[address]] if kind == SWEEP and address in self._waiting else rows

    def record(self, kind: str, address: str, at: float) -> None:
        """One more. An SMTP connection is on disk when this returns. Raises StoreError."""
        if kind == SMTP:
            with self._store.writing() as connection:
                _add(connection, [(SMTP, address, at, 1)])
            return
        last, count = self._waiting.get(address, (at, 0))
        # A batch counts by its latest, so that it is never taken for older than any of its connections.
        self._waiting[address] = (max(last, at), count + 1)
        if self._monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what waits. Raises StoreError."""
        if self._waiting:
            with self._store.writing() as connection:
                _add(connection, [(SWEEP, address, at, count) for address, (at, count) in self._waiting.items()])
        self._waiting.clear()
        self._flushed = self._monotonic()

    def _tidy(self, now: float) -> None:
        """Drops what no longer counts. What lies in the future, because the clock was set back, was sent just now at
        the earliest: so it is barred for its full time, and not for as long as the clock was wrong."""
        with self._store.writing() as connection:
            for kind, kept in KEPT_SECONDS.items():
                connection.execute("DELETE FROM contact WHERE kind = ? AND at < ?", (kind, now - kept))
            ahead = connection.execute(
                "SELECT kind, address, sum(count) FROM contact WHERE at > ? GROUP BY kind, address", (now,)
            ).fetchall()
            connection.execute("DELETE FROM contact WHERE at > ?", (now,))
            _add(connection, [(kind, address, now, count) for kind, address, count in ahead])


def _add(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, float, int]]) -> None:
    connection.executemany(
        "INSERT INTO contact (kind, address, at, count) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (kind, address, at) DO UPDATE SET count = count + excluded.count",
        rows,
    )
