"""Events: told by the verdict of their run where that says it all, in a row of their own where it does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from posture.model import Outcome
from posture.store.bitmap import Bitmap
from posture.store.narrow import KINDS
from posture.store.records import OUTCOMES

# Columns of event_row.
EventRow = Sequence[Any]

_FIXED, _CHANGED = KINDS.index("fixed"), KINDS.index("changed")
_PASS = OUTCOMES.index(Outcome.PASS)
_TWO = """SELECT from_run, said, event FROM verdict WHERE asset_id = ? AND control_id = ? AND subject_id = ? AND track_id = ?
  AND from_run <= ? ORDER BY from_run DESC LIMIT 2"""
_TELL = """UPDATE verdict SET event = ? WHERE asset_id = ? AND control_id = ? AND subject_id = ? AND track_id = ?
  AND from_run = ?"""
_INSERT = """INSERT OR IGNORE INTO event_row (run_id, asset_id, control_id, subject_id, kind, initial, severity, before, after,
  since_run, until_run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def put_event(connection: sqlite3.Connection, track: int, row: EventRow) -> None:
    """Keeps one event; the same a second time is not. Only within a transaction.

    Args:
        track: of what the run's vantage was told.
        row: as in event_row.
    """
    if not put_told(connection, track, row):
        connection.execute(_INSERT, row)


def put_told(connection: sqlite3.Connection, track: int, row: EventRow) -> bool:
    """Marks the verdict that tells the very event; False when there is none."""
    run, asset, control, subject, kind, initial, severity, before, after, since, until = row
    place = (asset, control, subject, track)
    found = connection.execute(_TWO, (*place, run)).fetchall()
    if kind not in KINDS or not found or found[0][0] != run or not (0 <= run - until <= 1 and since <= run):
        return False
    number = KINDS.index(kind)
    said, last = found[0][1], found[1][1] if len(found) > 1 else None
    if (severity, before, after) != _told(number, said, last):
        return False
    event = number + 16 * initial + 32 * (run - until) + 64 * (run - since)
    if found[0][2] is not None:
        return bool(found[0][2] == event)
    connection.execute(_TELL, (event, *place, run))
    return True


def _told(kind: int, said: int | None, last: int | None) -> tuple[int | None, int | None, int | None]:
    """Severity, before and after of such an event, from what a verdict and the one before it say: as the view does."""
    held = last if last is not None and last >= 0 else None
    whole = None if said is None else max(said, -1 - said)
    spoken = whole if held is None or kind == _CHANGED else held
    after = said >> 3 if said is not None and said >= 0 else (_PASS if kind == _FIXED else None)
    return None if spoken is None else spoken & 7, None if held is None else held >> 3, after


def moved_assets(connection: sqlite3.Connection, runs: Collection[int]) -> list[int]:
    """Numbers of the assets of which some runs wrote a verdict or an event."""
    numbers = ",".join(map(str, runs))
    rows = connection.execute(f"SELECT moved FROM run WHERE id IN ({numbers}) AND moved IS NOT NULL")  # noqa: S608 - numbers
    bits = 0
    for (packed,) in rows:
        bits |= Bitmap.unpack(packed).number
    chosen = ",".join(str(bit) for bit in range(bits.bit_length()) if bits >> bit & 1)
    return [number for (number,) in connection.execute(f"SELECT id FROM asset WHERE bit IN ({chosen})")]  # noqa: S608 - numbers
