"""Judging a whole history again under another judgement: its findings stand beside the first ones, which stay as they are.

It is the folding of each run once more, without the network, one asset after the other (posture.store.asset_years). All
of it is one transaction: killed at any point the history is the old or the new one. What was judged before is not judged
again, so that a second time adds nothing, and a longer history only its new runs.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from posture.checks import Control, Reference, catalogue
from posture.policy import Policy
from posture.store.answers import Texts
from posture.store.asset_years import Change, Ground, Run, Terms
from posture.store.bitmap import Bitmap
from posture.store.judgements import put_judgement
from posture.store.reader import Reader
from posture.store.records import RunRecord
from posture.store.verdicts import Place, Row, Spell, put_rows, put_track, rows_after
from posture.store.walking import TEXTS_KEPT, processes_for, started, walk_here, walk_in_processes
from posture.store.writer import Store

Progress = Callable[[int, int], None]  # assets done, assets in all

_DROPPED = """SELECT count(*) FROM facts JOIN blob ON blob.id = blob_id
  WHERE length(data) = 0 AND vantage_id = ? AND from_run <= ?"""
_ROOM = "PRAGMA cache_size = -32768"  # KiB: the indices by run are written to all over


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
    store: Store,
    policy: Policy,
    vantage: str,
    *,
    until: int | None = None,
    progress: Progress | None = None,
    processes: int | None = None,
) -> Rejudged:
    """Judges the recorded answers of a vantage under a policy, by this release's rules.

    Args:
        store: open for writing.
        until: the number of the last run to judge; the newest when left out.
        progress: told after each asset.
        processes: in how many others to judge, by the shipped catalogue, if the system starts them; 0 for this one; by
            size when left out.

    Raises:
        StoreError: the history cannot be written; nothing was changed.
    """
    store.connection.execute(_ROOM)
    with store.writing() as connection:
        judgement = put_judgement(connection, policy, store.shipped)
        place = store.reader.texts.number(vantage)
        runs = runs_of(store, vantage, until)
        resumed = rejudged_until(connection, judgement, place)
        terms = terms_of(store, connection, policy, judgement, vantage, runs, resumed)
        added = _walk(store, terms, progress, processes) if terms.runs or terms.ends else 0
        if runs and runs[-1].number > resumed:
            connection.execute(
                "INSERT INTO rejudged (judgement_id, vantage_id, until_run) VALUES (?, ?, ?) "
                "ON CONFLICT (judgement_id, vantage_id) DO UPDATE SET until_run = excluded.until_run",
                (judgement, place, runs[-1].number),
            )
        dropped = int(connection.execute(_DROPPED, (place, runs[-1].number if runs else 0)).fetchone()[0])
    return Rejudged(judgement, len(terms.runs), added, dropped)


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


def _walk(store: Store, terms: Terms, progress: Progress | None, processes: int | None) -> int:
    """Writes what differs from what was told; how many intervals are new."""
    reader = store.reader
    bits = {asset: bit for bit, asset in reader.bits().items()}
    controls = {code: number for number, code in terms.codes.items()}
    assets = [(number, asset, bits[asset]) for number, asset in reader.assets().items()]
    if processes is None:
        processes = processes_for(len(assets), len(terms.runs)) if store.shipped is catalogue() else 0
    if workers := started(store.path, processes):
        found = walk_in_processes(workers, terms, assets)
    else:
        found = walk_here(Ground(store.connection, reader.texts, store.shipped, terms), assets)
    added, track = 0, put_track(store.connection, terms.place, terms.judgement)
    with closing(found):
        for done, ((number, _, _), changes) in enumerate(found, 1):
            put_rows(store.connection, track, _rows(reader.texts, number, controls, changes))
            added += sum(not is_stored for *_, is_stored in changes)
            reader.texts.trim(TEXTS_KEPT)
            if progress:
                progress(done, len(assets))
    return added


def _rows(texts: Texts, asset: int, controls: Mapping[str, int], changes: Iterable[Change]) -> Iterator[Row]:
    """What is new of one asset, and the ends of what was there, as the table of verdicts has it."""
    ends: dict[Place, tuple[int, str]] = {}
    new: dict[Place, list[Spell]] = defaultdict(list)
    for control, subject, since, until, outcome, severity, body, cause, end_cause, is_stored in changes:
        place = (asset, controls[control], texts.number(subject))
        if not is_stored:
            value = (outcome, severity, texts.number(body))
            new[place].append(Spell(place, since, until, value, cause, end_cause))
        elif until is not None and end_cause is not None:
            ends[place] = (until, end_cause)
    for place in new.keys() | ends.keys():
        yield from rows_after(ends.get(place), new.get(place, ()), place)


def terms_of(
    store: Store,
    connection: sqlite3.Connection,
    policy: Policy,
    judgement: int,
    vantage: str,
    runs: Sequence[RunRecord],
    resumed: int,
) -> Terms:
    """Under what the runs of a vantage, oldest first, are judged by a judgement. Only within a transaction.

    Args:
        resumed: the number of the last one that was judged before, 0 for none.
    """
    names = [name for name in policy.controls if name in store.shipped]
    connection.executemany("INSERT OR IGNORE INTO control (code) VALUES (?)", [(name,) for name in names])
    codes = store.reader.controls()
    last = next((run for run in reversed(runs) if run.number <= resumed), None)
    following = next((run for run in runs if run.number > resumed), None)
    return Terms(
        policy=policy,
        judgement=judgement,
        vantage=vantage,
        place=store.reader.texts.number(vantage),
        codes=codes,
        by_probe=controls_by_probe(names, store.shipped),
        runs=tuple(
            run for run in _marked(connection, store.reader, policy, judgement, runs) if run.record.number > resumed
        ),
        settled=last is None or (last.state == "complete" and not last.selectors),
        ends=following.number if last and following and following.judgement == judgement else None,
    )


def _marked(
    connection: sqlite3.Connection, reader: Reader, policy: Policy, judgement: int, runs: Sequence[RunRecord]
) -> Iterator[Run]:
    """The runs of other judgements, with what is around them.

    A run of this very judgement has its own findings; between such runs the others are told from theirs.
    """
    before: _Rest | None = None
    asked: dict[str, int] = {}  # by probe the assets that it was asked of when the asset was last asked at all
    own_before = 0
    references: dict[tuple[Any, ...], Reference] = {}  # most runs share one trust store, which is large
    for place, run in enumerate(runs):
        query = "SELECT roots_blob, roots_private, lab FROM run WHERE id = ?"
        roots, private, lab = connection.execute(query, (run.number,)).fetchone()
        if (roots, private) not in references:
            references[roots, private] = reader.reference(run)
        terms = _Rest((roots, private, lab), _in_force(policy, run.end))
        now = _asked(connection, run)
        turned = _turn(asked, now)
        if run.judgement != judgement:
            following = runs[place + 1] if place + 1 < len(runs) else None
            ends = following.number if following and following.judgement == judgement else None
            turns = before is not None and terms != before
            changed = terms.changed(before) if before is not None else frozenset()
            yield Run(run, references[roots, private], now, turns, changed, turned, own_before, ends)
            own_before = 0
        else:
            own_before = run.number
        before = terms


@dataclass(frozen=True, slots=True)
class _Rest:
    """By what beside its answers a run is judged: trust store and lab, and by threshold how many of its rows are in force."""

    reference: tuple[Any, ...]
    thresholds: Mapping[str, int]

    def changed(self, before: _Rest) -> frozenset[str] | None:
        """The thresholds that are not those before; None when more than that has changed."""
        if self.reference != before.reference:
            return None
        return frozenset(name for name, rows in self.thresholds.items() if rows != before.thresholds[name])


def _in_force(policy: Policy, at: datetime) -> dict[str, int]:
    return {name: sum(day <= at.date() for day, _ in rows) for name, rows in policy.thresholds.items()}


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
