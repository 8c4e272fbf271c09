"""What moved between two runs, found by the intervals that began or ended there: the drift without what merely stays.

A national history has 200,000 findings and changes in 600 of them a day. :func:`posture.store.judging.compare_runs` looks
at all; this looks at the few, and finds of them the very same events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posture.drift import Judged, Key
from posture.model import AssetKey
from posture.store.eventful import moved_assets
from posture.store.intervals import intervals
from posture.store.narrow import PLACE
from posture.store.records import Interval, RunRecord
from posture.store.run_rows import among
from posture.store.timeline import last_mended
from posture.store.verdicts import COLUMNS, track_of

if TYPE_CHECKING:
    from posture.store.reader import Reader

# Of the assets of which something was written: what was; and all of its rows up to the later run.
_MOVED = f"""
WITH moved AS (SELECT DISTINCT asset_id, control_id, subject_id FROM verdict
  WHERE track_id = :track AND from_run > :before AND from_run <= :after{{among}})
SELECT {COLUMNS} FROM moved CROSS JOIN verdict USING (asset_id, control_id, subject_id)
WHERE track_id = :track AND from_run <= :after ORDER BY {PLACE}, from_run
"""  # noqa: S608 - names of our own


@dataclass(slots=True)
class Moves:
    """The places whose findings moved after ``before`` and up to ``after``: two closed runs of one vantage.

    Their judgement must be the same: what other rules make of old facts moves everywhere.
    """

    connection: sqlite3.Connection
    reader: Reader
    before: RunRecord
    after: RunRecord
    track: int = field(init=False)
    assets: dict[int, AssetKey] = field(init=False)
    bits: dict[AssetKey, int] = field(init=False)
    timelines: Mapping[Key, list[Interval]] = field(init=False)

    def __post_init__(self) -> None:
        if self.before.judgement != self.after.judgement:
            raise ValueError("two judgements do not compare by their intervals")
        reader, runs = self.reader, self.reader.runs(self.after.vantage)
        self.track = track_of(self.connection, reader.texts.known(self.after.vantage))
        written = moved_assets(
            self.connection, [one.number for one in runs if self.before.number < one.number <= self.after.number]
        )
        bound = {"before": self.before.number, "after": self.after.number, "track": self.track}
        rows = self.connection.execute(_MOVED.format(among=among(written)), bound).fetchall()
        numbers = ",".join(map(str, {row[0] for row in rows}))
        known = self.connection.execute(f"SELECT id, name, kind, bit FROM asset WHERE id IN ({numbers})").fetchall()  # noqa: S608 - numbers
        self.assets = {number: AssetKey(name, kind) for number, name, kind, _ in known}
        self.bits = {AssetKey(name, kind): bit for _, name, kind, bit in known}
        judgements = {one.number: one.judgement for one in runs}
        self.timelines = dict(intervals(rows, reader.texts, self.assets, reader.controls(), {}, judgements))

    def ministries(self) -> dict[AssetKey, str]:
        """Whose each asset of these places was last."""
        query = f"""SELECT asset_id, code FROM declaration JOIN ministry ON ministry.id = ministry_id WHERE from_run <= ?
            AND asset_id IN ({",".join(map(str, self.assets))}) ORDER BY from_run"""  # noqa: S608 - numbers
        return {self.assets[number]: code for number, code in self.connection.execute(query, (self.after.number,))}

    def as_of(self, run: int) -> dict[Key, list[Interval]]:
        """The timelines as of a run's end."""
        return {key: cut for key, spans in self.timelines.items() if (cut := _as_of(spans, run))}

    def judged(self, run: RunRecord, steady: Collection[Key] | None = None) -> Judged:
        """As :meth:`Reader.judged`, of these places. ``run``: one of the two, or one between them.

        Args:
            steady: keys of which nobody asks whether they flap.
        """
        timelines, runs = self.as_of(run.number), self.reader.until(run)
        seen = self.reader.last_seen(run, timelines, runs=runs, bits=self.bits)
        restless = {key: spans for key, spans in timelines.items() if key not in (steady or ())}
        known = {key: spans[-1].finding for key, spans in timelines.items() if spans[-1].until is None}
        mended = {key: number for key, spans in timelines.items() if (number := last_mended(spans)) is not None}
        ends = {one.number: one.end for one in runs}
        here, looks = self._in_inventory(run.number), self.reader.looks(run.number)
        return Judged(
            at=run.end,
            known=known,
            answered={key for key in known if seen[key] is run},
            asked={
                (key[0], key[1]) for key in self.timelines if key[1] in looks and self.bits[key[0]] in looks[key[1]][0]
            },
            assets=here,
            acquainted=self._acquainted(run.number),
            vantage=run.vantage,
            policy=run.policy_digest,
            rules=run.rules_digest,
            narrowed=bool(run.selectors),
            seen={key: one.end for key, one in seen.items()},
            ended={key: spans[-1].end_cause or "scope" for key, spans in timelines.items() if spans[-1].until},
            fixed_once=set(mended),
            mended={key: ends[number] for key, number in mended.items() if len(timelines[key]) > 1 and number in ends},
            flips={key: count for key, (count, _) in self.reader.flapping(run, restless, self.bits).items()},
        )

    def _in_inventory(self, run: int) -> set[AssetKey]:
        query = f"""SELECT asset_id FROM declaration WHERE from_run <= ? AND (to_run IS NULL OR to_run > ?)
            AND asset_id IN ({",".join(map(str, self.assets))})"""  # noqa: S608 - numbers
        return {self.assets[number] for (number,) in self.connection.execute(query, (run, run))}

    def _acquainted(self, run: int) -> set[AssetKey]:
        """Of which anything was known."""
        query = f"""SELECT id FROM asset WHERE id IN ({",".join(map(str, self.assets))}) AND EXISTS (
            SELECT 1 FROM verdict WHERE asset_id = asset.id AND track_id = ? AND from_run <= ? AND said >= 0
            AND NOT EXISTS (SELECT 1 FROM verdict AS later WHERE later.asset_id = verdict.asset_id
              AND later.control_id = verdict.control_id AND later.subject_id = verdict.subject_id
              AND later.track_id = verdict.track_id AND later.from_run > verdict.from_run AND later.from_run <= ?))"""  # noqa: S608 - numbers
        bound = (self.track, run, run)
        return {self.assets[number] for (number,) in self.connection.execute(query, bound)}


def _as_of(spans: list[Interval], run: int) -> list[Interval]:
    """Those that had begun; what ended later was open then."""
    begun = [span for span in spans if span.since <= run]
    if begun and begun[-1].until is not None and begun[-1].until > run:
        last = begun[-1]
        begun[-1] = Interval(last.finding, last.since, None, last.judgement, last.cause)
    return begun
