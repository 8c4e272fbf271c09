"""Judging a whole history again under another judgement: its findings stand beside the first ones, which stay as they are.

It is the folding of each run once more, without the network, one asset after the other (posture.store.asset_years). All
of it is one transaction: killed at any point the history is the old or the new one. What was judged before is not judged
again, so that a second time adds nothing, and a longer history only its new runs.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from posture.checks import Control
from posture.policy import Policy
from posture.store.asset_years import AssetYears, Ground, Run
from posture.store.bitmap import Bitmap
from posture.store.judgements import put_judgement
from posture.store.records import RunRecord
from posture.store.writer import Store

Progress = Callable[[int, int], None]  # assets done, assets in all

_DROPPED = """SELECT count(*) FROM facts JOIN blob ON blob.id = blob_id
  WHERE length(data) = 0 AND vantage_id = ? AND from_run <= ?"""
_TEXTS_KEPT = 50_000  # texts that stay in memory while a history is walked through


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What a walk through the history did.

    ``runs``: those judged for the first time under this judgement; ``added``: intervals of findings; ``dropped``:
    answers whose evidence is no longer kept, so that nothing is told of them.
    """

    judgement: int
    runs: int
    added: int
    dropped: int


def rejudge(
    store: Store, policy: Policy, vantage: str, *, until: int | None = None, progress: Progress | None = None
) -> Rejudged:
    """Judges the recorded answers of a vantage under a policy, by this release's rules.

    Args:
        store: open for writing.
        until: the number of the last run to judge; the newest when left out.
        progress: told after each asset.

    Raises:
        StoreError: the history cannot be written; nothing was changed.
    """
    with store.writing() as connection:
        judgement = put_judgement(connection, policy, store.shipped)
        place = store.reader.texts.number(vantage)
        runs = runs_of(store, vantage, until)
        resumed = rejudged_until(connection, judgement, place)
        ground = _ground(store, connection, policy, judgement, vantage, runs, resumed)
        if ground.runs or ground.ends:
            _walk(store, ground, progress)
        if runs and runs[-1].number > resumed:
            connection.execute(
                "INSERT INTO rejudged (judgement_id, vantage_id, until_run) VALUES (?, ?, ?) "
                "ON CONFLICT (judgement_id, vantage_id) DO UPDATE SET until_run = excluded.until_run",
                (judgement, place, runs[-1].number),
            )
        dropped = int(connection.execute(_DROPPED, (place, runs[-1].number if runs else 0)).fetchone()[0])
    return Rejudged(judgement, len(ground.runs), ground.added, dropped)


def runs_of(store: Store, vantage: str, until: int | None = None) -> list[RunRecord]:
    """The closed runs of a vantage whose answers are believed, oldest first, up to a run's number."""
    closed = [run for run in store.reader.runs(vantage) if run.closed and run.state != "quarantined"]
    return [run for run in reversed(closed) if until is None or run.number <= until]


def rejudged_until(connection: sqlite3.Connection, judgement: int, vantage: int) -> int:
    """The number of the last run that was judged again under a judgement; 0 for none."""
    query = "SELECT until_run FROM rejudged WHERE judgement_id = ? AND vantage_id = ?"
    row = connection.execute(query, (judgement, vantage)).fetchone()
    return int(row[0]) if row else 0


def controls_by_probe(names: Iterable[str], shipped: Mapping[str, Control]) -> dict[str, frozenset[str]]:
    """By probe, those of some controls that need its answer."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        for need in shipped[name].rule.needs if name in shipped else ():
            found[need.TYPE].add(name)
    return {probe: frozenset(controls) for probe, controls in found.items()}


def _walk(store: Store, ground: Ground, progress: Progress | None) -> None:
    reader = store.reader
    bits = {asset: bit for bit, asset in reader.bits().items()}
    assets = reader.assets()
    for done, (number, asset) in enumerate(assets.items(), 1):
        AssetYears(ground, number, asset, bits[asset]).walk()
        reader.texts.trim(_TEXTS_KEPT)
        if progress:
            progress(done, len(assets))


def _ground(
    store: Store,
    connection: sqlite3.Connection,
    policy: Policy,
    judgement: int,
    vantage: str,
    runs: Sequence[RunRecord],
    resumed: int,
) -> Ground:
    names = [name for name in policy.controls if name in store.shipped]
    connection.executemany("INSERT OR IGNORE INTO control (code) VALUES (?)", [(name,) for name in names])
    codes = store.reader.controls()
    last = next((run for run in reversed(runs) if run.number <= resumed), None)
    following = next((run for run in runs if run.number > resumed), None)
    return Ground(
        connection=connection,
        reader=store.reader,
        shipped=store.shipped,
        policy=policy,
        judgement=judgement,
        vantage=store.reader.texts.number(vantage),
        pasts=store.reader.pasts(vantage),
        codes=codes,
        controls={code: number for number, code in codes.items()},
        by_probe=controls_by_probe(names, store.shipped),
        runs=tuple(run for run in _marked(connection, policy, judgement, runs) if run.record.number > resumed),
        settled=last is None or (last.state == "complete" and not last.selectors),
        ends=following.number if last and following and following.judgement == judgement else None,
    )


def _marked(connection: sqlite3.Connection, policy: Policy, judgement: int, runs: Sequence[RunRecord]) -> Iterator[Run]:
    """The runs of other judgements, with what is around them.

    A run of this very judgement has its own findings; between such runs the others are told from theirs.
    """
    dates = sorted({day for rows in policy.thresholds.values() for day, _ in rows})
    before: tuple[object, ...] | None = None
    asked: dict[str, int] = {}  # by probe the assets that it was asked of when the asset was last asked at all
    own_before = 0
    for place, run in enumerate(runs):
        query = "SELECT roots_blob, roots_private, lab FROM run WHERE id = ?"
        terms = (*connection.execute(query, (run.number,)).fetchone(), bisect_right(dates, run.end.date()))
        now = _asked(connection, run)
        turned = _turn(asked, now)
        if run.judgement != judgement:
            following = runs[place + 1] if place + 1 < len(runs) else None
            ends = following.number if following and following.judgement == judgement else None
            yield Run(run, now, before is not None and terms != before, turned, own_before, ends)
            own_before = 0
        else:
            own_before = run.number
        before = terms


def _asked(connection: sqlite3.Connection, run: RunRecord) -> dict[str, int]:
    rows = connection.execute("SELECT probe, targeted FROM coverage WHERE run_id = ?", (run.number,))
    return {probe: Bitmap.unpack(packed).number for probe, packed in rows}


def _turn(before: dict[str, int], now: Mapping[str, int]) -> int:
    """The assets of which other probes are asked than the last time; ``before`` is brought up to now."""
    turned, anyone = 0, 0
    for assets in now.values():
        anyone |= assets
    for probe in before.keys() | now.keys():
        then, here = before.get(probe, 0), now.get(probe, 0)
        turned |= (then ^ here) & anyone
        before[probe] = (then & ~anyone) | here
    return turned
