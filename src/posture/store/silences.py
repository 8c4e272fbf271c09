"""What could not be seen: one row for all that an asset did not tell, from the run where that changed.

Assets fall silent as a whole, and a shaky one falls silent in the same way again and again: so what is missing, and why,
is one text that stands once (``said_id``), and a row says from which run to which. When something of it changes the next
row begins, and its text names the questions that were missing before with the run and time from which they are.

The text is JSON: ``why``, [reason, code, detail, authorisation] each; ``asked``, [probe, subject, place in why] each, and
for what was missing before [.., run, time]. ``seconds`` says when the others were asked: seconds since the start of their
run, one number for all or one each.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from posture.model import Reason, Unobserved
from posture.store.answers import Texts
from posture.store.records import StoredAnswer, moment, stamp
from posture.store.run_rows import among

_SELECT = """SELECT asset_id, from_run, to_run, value, seconds, started_at FROM silence
  JOIN run ON run.id = from_run JOIN text_value ON text_value.id = said_id WHERE silence.vantage_id = ?"""


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a question has no answer. ``since``: the run that first missed it so; ``at``: when, as RFC 3339."""

    reason: str
    code: str | None
    detail: str
    authorisation: str | None
    since: int
    at: str

    @property
    def same(self) -> tuple[str, str | None, str | None]:
        """What makes the next miss the same one."""
        return self.reason, self.code, self.authorisation

    @property
    def stored(self) -> StoredAnswer:
        return StoredAnswer(
            Unobserved(Reason(self.reason), moment(self.at), self.detail, self.code), self.since, "", self.authorisation
        )


Missing = Mapping[tuple[str, str], Miss]  # by probe and subject


@dataclass(frozen=True, slots=True)
class MissSpell:
    """One question of one asset, missed from run ``miss.since`` up to, not including, run ``until`` (None: it still is)."""

    asset: int
    probe: str
    subject: str
    until: int | None
    miss: Miss


# ---- to rows


def pack(missing: Missing, run: int, started_at: str) -> tuple[str, str]:
    """Text and seconds of what is missing since a run that began then."""
    why: dict[tuple[str, str | None, str, str | None], int] = {}
    asked: list[list[Any]] = []
    seconds: list[int] = []
    for (probe, subject), one in sorted(missing.items()):
        place = why.setdefault((one.reason, one.code, one.detail, one.authorisation), len(why))
        if one.since == run:
            asked.append([probe, subject, place])
            seconds.append(_seconds(started_at, one.at))
        else:
            asked.append([probe, subject, place, one.since, one.at])
            seconds.append(0)
    news = {then for then, one in zip(seconds, asked, strict=True) if len(one) == 3}
    when = json.dumps(seconds, separators=(",", ":")) if len(news) > 1 else str(next(iter(news), 0))
    return json.dumps({"asked": asked, "why": [*why]}, separators=(",", ":")), when


@lru_cache(maxsize=4096)
def _seconds(started_at: str, at: str) -> int:
    return round((moment(at) - moment(started_at)).total_seconds())


def put_missing(
    connection: sqlite3.Connection, texts: Texts, vantage: int, run: tuple[int, str], asset: int, missing: Missing
) -> None:
    """Ends what an asset did not tell until now, and begins what it does not tell from a run (number, start) on."""
    close = "UPDATE silence SET to_run = ? WHERE asset_id = ? AND vantage_id = ? AND to_run IS NULL"
    connection.execute(close, (run[0], asset, vantage))
    if missing:
        text, seconds = pack(missing, *run)
        connection.execute(
            "INSERT INTO silence (asset_id, vantage_id, from_run, said_id, seconds) VALUES (?, ?, ?, ?, ?)",
            (asset, vantage, run[0], texts.number(text), seconds),
        )


# ---- from rows


@lru_cache(maxsize=8192)
def _parsed(text: str) -> tuple[tuple[Any, ...], ...]:
    """Probe, subject, reason, code, detail, authorisation, and run and time or None, of each. Raises ValueError."""
    said = json.loads(text)
    if not isinstance(said, dict) or said.keys() != {"asked", "why"}:
        raise ValueError("no text of a silence")
    return tuple(
        (probe, subject, *said["why"][place], *(before or (None, None)))
        for probe, subject, place, *before in said["asked"]
    )


def unpack(text: str, run: int, seconds: str, started_at: str) -> dict[tuple[str, str], Miss]:
    """Inverse of :func:`pack`. Raises ValueError, TypeError or LookupError: it is none of its texts."""
    asked = _parsed(text)
    each = json.loads(seconds) if seconds.startswith("[") else [int(seconds)] * len(asked)
    return {
        (probe, subject): Miss(
            reason,
            code,
            detail,
            letter,
            run if since is None else since,
            _at(started_at, then) if since is None else at,
        )
        for (probe, subject, reason, code, detail, letter, since, at), then in zip(asked, each, strict=True)
    }


@lru_cache(maxsize=4096)
def _at(started_at: str, seconds: int) -> str:
    return stamp(moment(started_at) + timedelta(seconds=seconds))


def missing_at(
    connection: sqlite3.Connection, vantage: int, run: int | None = None, only: Collection[int] | None = None
) -> Iterator[tuple[int, dict[tuple[str, str], Miss]]]:
    """By number of the asset what it did not tell, as of a run; now when left out."""
    when = " AND to_run IS NULL" if run is None else " AND from_run <= ? AND (to_run IS NULL OR to_run > ?)"
    bound = (vantage,) if run is None else (vantage, run, run)
    for asset, since, _, text, seconds, start in connection.execute(_SELECT + when + among(only), bound):
        yield asset, unpack(text, since, seconds, start)


def misses(connection: sqlite3.Connection, vantage: int, *, only: Collection[int] | None = None) -> Iterator[MissSpell]:
    """Every question that was ever missed at a vantage, with how long; by asset, those of one by when they ended."""
    open_ones: dict[tuple[str, str], Miss] = {}
    asset_before = 0
    ended_with: int | None = None
    query = f"{_SELECT}{among(only)} ORDER BY asset_id, from_run"
    for asset, since, until, text, seconds, start in connection.execute(query, (vantage,)):
        now = unpack(text, since, seconds, start)
        follows = asset == asset_before and since == ended_with
        for (probe, subject), miss in open_ones.items():
            again = now.get((probe, subject))
            if not follows or again is None or again.since != miss.since:
                yield MissSpell(asset_before, probe, subject, ended_with, miss)
        open_ones, asset_before, ended_with = now, asset, until
    for (probe, subject), miss in open_ones.items():
        yield MissSpell(asset_before, probe, subject, ended_with, miss)


def begun_with(
    connection: sqlite3.Connection, vantage: int, run: int, only: Collection[int] | None = None
) -> Iterator[MissSpell]:
    """What a run was the first to miss. ``until`` is not told."""
    query = f"{_SELECT} AND from_run = ?{among(only)}"
    for asset, since, _, text, seconds, start in connection.execute(query, (vantage, run)):
        for (probe, subject), miss in unpack(text, since, seconds, start).items():
            if miss.since == run:
                yield MissSpell(asset, probe, subject, None, miss)


def ended_with(
    connection: sqlite3.Connection, vantage: int, run: int, only: Collection[int] | None = None
) -> Iterator[MissSpell]:
    """What was missed until a run."""
    after: dict[int, set[tuple[str, str, int]]] = defaultdict(set)
    both = f" AND (from_run = ? OR to_run = ?){among(only)} ORDER BY asset_id, from_run DESC"
    for asset, since, until, text, seconds, start in connection.execute(_SELECT + both, (vantage, run, run)):
        now = unpack(text, since, seconds, start)
        if since == run:
            after[asset] = {(probe, subject, miss.since) for (probe, subject), miss in now.items()}
        elif until == run:
            for (probe, subject), miss in now.items():
                if (probe, subject, miss.since) not in after[asset]:
                    yield MissSpell(asset, probe, subject, run, miss)
