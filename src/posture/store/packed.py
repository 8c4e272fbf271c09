"""Sets of assets and their like, kept once for all that says the same: a run asks most controls of the very same assets."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from posture.store.answers import Texts
from posture.store.bitmap import Bitmap

_RECENT = 200  # of the newest, which the run before or this one wrote


class Packed:
    """Bytes <-> number. Only what is recent is found again: older ones are not worth an index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        rows = connection.execute("SELECT data, id FROM packed ORDER BY id DESC LIMIT ?", (_RECENT,))
        self._numbers: dict[bytes, int] = dict(rows.fetchall())

    def number(self, data: bytes) -> int:
        """The number of some bytes, given to them when they have none. Only within a transaction."""
        if data not in self._numbers:
            insert = self._connection.execute("INSERT INTO packed (data) VALUES (?)", (data,))
            self._numbers[data] = int(insert.lastrowid or 0)
        return self._numbers[data]


def put_coverage(
    connection: sqlite3.Connection,
    texts: Texts,
    packed: Packed,
    run: int,
    probe: str,
    asked: Collection[int],
    heard: Collection[int],
) -> None:
    """Which assets, by bit, a probe was asked of in a run, and which answered in full."""
    sets = (packed.number(Bitmap(asked).pack()), packed.number(Bitmap(heard).pack()))
    connection.execute(
        "INSERT INTO coverage_row (run_id, probe_id, targeted, answered, asked_count, answered_count) VALUES (?, ?, ?, ?, ?, ?)",
        (run, texts.number(probe), *sets, len(asked), len(heard)),
    )


def put_judged(
    connection: sqlite3.Connection, packed: Packed, run: int, control: int, sets: tuple[bytes, bytes, bytes]
) -> None:
    """Which assets a control was asked of in a run, on which all was known, and what was silent on the others."""
    connection.execute(
        "INSERT INTO judged_row (run_id, control_id, asked, known, silent) VALUES (?, ?, ?, ?, ?)",
        (run, control, *(packed.number(one) for one in sets)),
    )
