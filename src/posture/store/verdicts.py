"""Findings as they stand in the table: one row where one began, changed or went. Intervals are made of these and back.

An interval lasts from its row to the next of the same place, so nothing that was written is ever touched again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from posture.store.narrow import CAUSES, PLACE
from posture.store.run_rows import among

Place = tuple[int, int, int]  # asset, control, subject
Value = tuple[int, int, int]  # outcome, severity, body
Row = tuple[int, int, int, int, int | None, int | None, int]  # place, from_run, said, body, why

COLUMNS = "asset_id, control_id, subject_id, from_run, said, body_id, why"
_INSERT = f"INSERT INTO verdict (track_id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - names of our own
# By ``why``: for what ended what was there before.
END_CAUSES = tuple(CAUSES[why // 5 % 5 or why % 5] for why in range(125))
_NUMBERS = {cause: number for number, cause in enumerate(CAUSES)}


@dataclass(frozen=True, slots=True)
class Spell:
    """An interval of one place, as numbers."""

    place: Place
    since: int
    until: int | None
    value: Value
    cause: str
    end_cause: str | None = None


def track_of(connection: sqlite3.Connection, vantage: int, judgement: int | None = None) -> int:
    """The number of what a vantage was told, or of what a judgement makes of its answers; 0, which no track has."""
    query = "SELECT id FROM track WHERE vantage_id = ? AND coalesce(judgement_id, 0) = ?"
    row = connection.execute(query, (vantage, judgement or 0)).fetchone()
    return int(row[0]) if row else 0


def put_track(connection: sqlite3.Connection, vantage: int, judgement: int | None = None) -> int:
    """Its number, given to it when it has none. Only within a transaction."""
    if found := track_of(connection, vantage, judgement):
        return found
    row = connection.execute("INSERT INTO track (vantage_id, judgement_id) VALUES (?, ?)", (vantage, judgement))
    return int(row.lastrowid or 0)


# ---- to rows


def said_of(outcome: int, severity: int) -> int:
    return outcome * 8 + severity


def value_of(said: int, body: int) -> Value:
    """Inverse of :func:`said_of`, also for what was gone in the very run that said it."""
    said = max(said, -1 - said)
    return said >> 3, said & 7, body


def rows_of(spells: Iterable[Spell]) -> Iterator[Row]:
    """What says the same as the intervals of one place, oldest first, which do not overlap."""
    last: Spell | None = None
    for spell in spells:
        ended = 0
        if last is not None and last.until is not None and last.until != last.since:
            if last.until == spell.since and last.end_cause != spell.cause:
                ended = _NUMBERS[last.end_cause or ""]
            elif last.until != spell.since:
                yield (*spell.place, last.until, None, None, _NUMBERS[last.end_cause or ""])
        said, gone = said_of(*spell.value[:2]), 0
        if spell.until == spell.since:
            said, gone = -1 - said, _NUMBERS[spell.end_cause or ""]
        yield (*spell.place, spell.since, said, spell.value[2], _NUMBERS[spell.cause] + 5 * ended + 25 * gone)
        last = spell
    if last is not None and last.until is not None and last.until != last.since:
        yield (*last.place, last.until, None, None, _NUMBERS[last.end_cause or ""])


def rows_after(end: tuple[int, str] | None, spells: Iterable[Spell], place: Place) -> Iterator[Row]:
    """As :func:`rows_of`, where an interval was open that now ended with a run, for a cause (``end``)."""
    if end is None:
        yield from rows_of(spells)
        return
    there = Spell(place, -1, end[0], (0, 0, 0), CAUSES[0], end[1])
    rows = rows_of([there, *spells])
    next(rows)  # it stands there already
    yield from rows


def put_rows(connection: sqlite3.Connection, track: int, rows: Iterable[Row]) -> None:
    """Rows in the order of the key, which keeps the file small and the writing quick."""
    connection.executemany(_INSERT, [(track, *row) for row in sorted(rows, key=itemgetter(0, 1, 2, 3))])


# ---- from rows


def spells_of(rows: Iterable[Row | tuple[Any, ...]]) -> Iterator[Spell]:
    """The intervals that rows (``COLUMNS``, in the order of the key) tell; the last of a place is open unless it went."""
    for place, told in groupby(rows, key=itemgetter(0, 1, 2)):
        held: tuple[int, Value, str] | None = None
        for *_, since, said, body, why in told:
            cause = CAUSES[why % 5]
            if held is not None:
                yield Spell(place, held[0], since, held[1], held[2], END_CAUSES[why])
                held = None
            if said is None:
                continue
            value = value_of(said, body)
            if said < 0:
                yield Spell(place, since, since, value, cause, CAUSES[why // 25])
            else:
                held = (since, value, cause)
        if held is not None:
            yield Spell(place, held[0], None, held[1], held[2])


def spells(
    connection: sqlite3.Connection, track: int, *, until: int | None = None, only: Collection[int] | None = None
) -> Iterator[Spell]:
    """The intervals of a track, by place, oldest first.

    Args:
        until: as of this run: what ended later is open.
        only: of these assets, by number.
    """
    bound = (track, until) if until is not None else (track,)
    upto = "" if until is None else " AND from_run <= ?"
    query = f"SELECT {COLUMNS} FROM verdict WHERE track_id = ?{upto}{among(only)} ORDER BY {PLACE}, from_run"  # noqa: S608 - names of our own, numbers
    return spells_of(connection.execute(query, bound))


def held(condition: str) -> str:
    """A query for the newest row of each place, ``COLUMNS``, among those of a condition, unless it went with it."""
    newest = COLUMNS.replace("from_run", "max(from_run) AS from_run")
    return f"SELECT {newest} FROM verdict WHERE {condition} GROUP BY {PLACE} HAVING said >= 0"  # noqa: S608 - names of our own


def held_at(
    connection: sqlite3.Connection, track: int, run: int | None = None, only: Collection[int] | None = None
) -> Iterator[tuple[Place, int, Value]]:
    """Place, since which run, and value, of what holds as of a run; now when left out."""
    bound = (track, run) if run is not None else (track,)
    upto = "" if run is None else " AND from_run <= ?"
    for asset, control, subject, since, said, body, _ in connection.execute(
        held(f"track_id = ?{upto}{among(only)}"), bound
    ):
        yield (asset, control, subject), since, value_of(said, body)


@dataclass(frozen=True, slots=True)
class Turn:
    """One row, and what had held there just before; None: nothing."""

    row: Row
    last: int | None


def turned_in(connection: sqlite3.Connection, track: int, run: int, only: Collection[int] | None = None) -> list[Turn]:
    """The rows that a run wrote, in the order of the key."""
    query = f"""SELECT {COLUMNS}, (SELECT said FROM verdict AS older WHERE older.asset_id = verdict.asset_id
          AND older.control_id = verdict.control_id AND older.subject_id = verdict.subject_id
          AND older.track_id = verdict.track_id AND older.from_run < verdict.from_run ORDER BY older.from_run DESC LIMIT 1)
        FROM verdict WHERE from_run = ? AND track_id = ?{among(only)} ORDER BY {PLACE}"""  # noqa: S608 - names of our own
    return [
        Turn((*row[:7],), row[7] if row[7] is not None and row[7] >= 0 else None)
        for row in connection.execute(query, (run, track))
    ]


def begun(turns: Iterable[Turn]) -> Iterator[Spell]:
    """The intervals that began with some rows of one run; how long they lasted is not told."""
    for turn in turns:
        *place, since, said, body, why = turn.row
        if said is not None and body is not None:
            yield Spell((place[0], place[1], place[2]), since, None, value_of(said, body), CAUSES[why % 5])


def ended(turns: Iterable[Turn]) -> Iterator[tuple[Place, str]]:
    """Place and cause of the intervals that ended with them."""
    for turn in turns:
        *place, _, said, _, why = turn.row
        where = (place[0], place[1], place[2])
        if turn.last is not None:
            yield where, END_CAUSES[why]
        if said is not None and said < 0:
            yield where, CAUSES[why // 25]


# ---- writing a run's findings


class Turns:
    """What a run turns, collected and written at once. Of what it said and took back again only the last word counts,
    but that it was said."""

    def __init__(self, run: int) -> None:
        self.run = run
        self._rows: dict[Place, Row] = {}

    def say(self, place: Place, value: Value, cause: str, ended: str | None = None) -> None:
        """From this run on. ``ended``: why what was there before ended, when it was there; mostly the very cause."""
        other = _NUMBERS[ended] if ended is not None and ended != cause else 0
        self._rows[place] = (*place, self.run, said_of(*value[:2]), value[2], _NUMBERS[cause] + 5 * other)

    def end(self, place: Place, cause: str) -> None:
        """Nothing any more, from this run on."""
        said = self._rows.get(place)
        if said is None or said[4] is None:
            self._rows[place] = (*place, self.run, None, None, _NUMBERS[cause])
        else:
            self._rows[place] = (*place, self.run, -1 - said[4], said[5], said[6] + 25 * _NUMBERS[cause])

    @property
    def assets(self) -> set[int]:
        return {place[0] for place in self._rows}

    def put(self, connection: sqlite3.Connection, track: int) -> None:
        put_rows(connection, track, self._rows.values())
