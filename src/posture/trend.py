"""``posture-trend/1``: every score that was ever told, each change of it taken apart. Read from what the runs stored.

A run's scores are computed once, when it closes, and so is what moved them since the scored run before at its vantage
(:mod:`posture.scorecard.change`). Reading judges nothing again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from posture import history
from posture.drift import address_of
from posture.errors import UsageError
from posture.policy import Policy
from posture.rescoring import standings_of
from posture.scorecard import Scorecard, ScoredAsset, Standing, scorecard
from posture.scorecard.change import PARTS, Change, Key, Scene, changes, in_order, total
from posture.store import RunRecord, ScoreRow, Store, stamp
from posture.store.under import known_under

Row = dict[str, Any]

# Both tables lie run after run: of some ministries one row is looked up in each.
_SCORES = """SELECT run_id, value, tenths, low, high, coverage, grade FROM score_row JOIN text_value ON id = ministry_id
  WHERE run_id IN (SELECT id FROM run WHERE id BETWEEN ? AND ?) {} ORDER BY run_id, value"""
_PARTS = """SELECT run_id, ministry, part, tenths, count FROM score_part
  WHERE run_id IN (SELECT id FROM run WHERE id BETWEEN ? AND ?) {}"""


# ---- what a run stores when it closes


def scores_of(
    store: Store, run: RunRecord, assets: Sequence[ScoredAsset], policy: Policy, at: datetime
) -> dict[str, ScoreRow]:
    """The scores of a run that is just closing, by ministry ("" is the State), with what moved each.

    Args:
        assets: the inventory that it scanned.
        policy: its own; at: when it ended (UTC).
    """
    after = Scene.of(_standings(store, run), assets, at)
    card = scorecard(after.standings.values(), assets, policy, store.shipped, at=at)
    moved = _moved(store, run, after, policy, card)
    scores = {"": card.state, **{score.ministry: score for score in card.ministries}}
    return {
        name: ScoreRow(score.tenths, score.low, score.high, score.coverage, score.grade or "", _parts(moved.get(name)))
        for name, score in scores.items()
    }


def _parts(change: Change | None) -> dict[str, tuple[int, int]]:
    if change is None:
        return {}
    tenths = change.tenths or {}
    return {part: (tenths.get(part, 0), change.counts.get(part, 0)) for part in PARTS}


def _standings(store: Store, run: RunRecord) -> Iterator[Standing]:
    return map(Standing.of, history.state_after(store, run)["findings"])


def _moved(store: Store, run: RunRecord, after: Scene, policy: Policy, card: Scorecard) -> dict[str, Change]:
    """What moved the scores since the scored run before; {} for the first one."""
    previous = _scored_before(store, run)
    if previous is None:
        return {}
    entries = store.reader.entries(previous.number).items()
    assets = [ScoredAsset(asset, entry.ministry, entry.declared.criticality) for asset, entry in entries]
    before = Scene.of(_standings(store, previous), assets, previous.end)
    moved: frozenset[Key] = frozenset()
    if previous.judgement != run.judgement:
        anew = Scene.of(
            standings_of(store, previous, known_under(store.reader, previous, policy, store.shipped)),
            assets,
            previous.end,
        )
        moved = _seen_otherwise(before, anew)
        before = anew
    ports = frozenset(name for name, control in store.shipped.items() if control.subject == "ports")
    # A scanned text does not tell its parts, so that what the history holds of it is looked up.
    addresses = {subject: address_of(subject) for subject in store.reader.subjects()}
    return changes(
        _told(store, previous),
        before,
        after,
        policy,
        store.shipped,
        now=card,
        moved=moved,
        subject_of=lambda control, subject: addresses.get(subject, subject) if control in ports else subject,
    )


def _seen_otherwise(before: Scene, anew: Scene) -> frozenset[Key]:
    """Findings that the new rules alone make another."""
    missing = object()
    outcomes = [{key: one.outcome for key, one in scene.standings.items()} for scene in (before, anew)]
    return frozenset(
        key
        for key in outcomes[0].keys() | outcomes[1].keys()
        if outcomes[0].get(key, missing) != outcomes[1].get(key, missing)
    )


def _scored_before(store: Store, run: RunRecord) -> RunRecord | None:
    query = "SELECT run_id FROM score_row WHERE ministry_id = ?"
    scored = {number for (number,) in store.connection.execute(query, (store.reader.texts.known(""),))}
    earlier = store.reader.runs(run.vantage)
    return next((one for one in earlier if one.number < run.number and one.number in scored), None)


def _told(store: Store, run: RunRecord) -> dict[str, int | None]:
    rows = store.connection.execute("SELECT ministry, tenths FROM score WHERE run_id = ?", (run.number,))
    return dict(rows.fetchall())


# ---- reading


def trend(
    store: Store,
    *,
    ministries: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    vantage: str | None = None,
) -> Row:
    """``posture-trend/1``: one point per closed run and ministry, oldest first; a run that was not scored has null.

    Args:
        ministries: codes; every ministry and, as "", the State when left out.
        since, until: dates (whole days in the State's time zone) or times, of the run's end.
        vantage: the one of the newest closed run when left out; vantages never mix.

    Raises:
        UsageError: no such ministry or vantage, no date, or ``since`` after ``until``.
    """
    closed = [run for run in reversed(store.reader.runs()) if run.closed]
    chosen = vantage or (closed[-1].vantage if closed else None)
    runs = [run for run in closed if run.vantage == chosen]
    if not runs:
        if closed:
            known = ", ".join(sorted({run.vantage for run in closed}))
            raise UsageError(f"no vantage {vantage!r} in the history. Choose from: {known}.")
        return {"schema": "posture-trend/1", "vantage": vantage, "points": []}
    _must_be_scored(store, ministries)
    shown = _between(runs, since, until)
    points = _Points(store, runs, tuple(ministries)).of(shown) if shown else []
    return {"schema": "posture-trend/1", "vantage": chosen, "points": points}


def _must_be_scored(store: Store, ministries: Sequence[str]) -> None:
    for name in ministries:
        query = "SELECT 1 FROM score_row WHERE ministry_id = ? LIMIT 1"
        row = store.connection.execute(query, (store.reader.texts.known(name),)).fetchone()
        if row is None or not name:
            known = store.connection.execute("SELECT DISTINCT ministry FROM score WHERE ministry <> '' ORDER BY 1")
            choice = ", ".join(code for (code,) in known) or "none"
            raise UsageError(f"no ministry {name!r} was ever scored. Choose from: {choice}.")


def trends_until(store: Store, run: RunRecord, ministries: Sequence[str] = ()) -> dict[str, tuple[Row, ...]]:
    """The points of every ministry, and of the State as "", or of some, up to a run at its vantage; for reports."""
    found: dict[str, list[Row]] = defaultdict(list)
    runs = [one for one in reversed(store.reader.runs(run.vantage)) if one.closed and one.number <= run.number]
    for point in _Points(store, runs, tuple(ministries)).of(runs) if runs else ():
        found[point["ministry"]].append(point)
    return {name: tuple(points) for name, points in found.items()}


def _between(runs: Sequence[RunRecord], since: str | None, until: str | None) -> list[RunRecord]:
    zone = runs[-1].timezone
    first = history.bounds(since, zone)[0] if since else None
    last = history.bounds(until, zone)[1] if until else None
    if first and last and first > last:
        raise UsageError(f"--since {since} is after --until {until}. Exchange them.")
    return [run for run in runs if (first is None or run.end >= first) and (last is None or run.end <= last)]


@dataclass(slots=True)
class _Points:
    """Points of one vantage. ``runs``: all its closed ones, oldest first, so that a first point knows what was before."""

    store: Store
    runs: Sequence[RunRecord]
    ministries: tuple[str, ...]

    def of(self, shown: Sequence[RunRecord]) -> list[Row]:
        bounds = (self.runs[0].number, shown[-1].number)
        scores: dict[int, dict[str, ScoreRow]] = defaultdict(dict)
        numbers = [self.store.reader.texts.known(name) for name in self.ministries]
        query = _SCORES.format(_among("ministry_id", numbers))
        for run, ministry, *row in self.store.connection.execute(query, (*bounds, *numbers)):
            scores[run][ministry] = ScoreRow(*row)
        parts: dict[tuple[int, str], dict[str, tuple[int, int]]] = defaultdict(dict)
        query = _PARTS.format(_among("ministry", self.ministries))
        for run, ministry, part, tenths, count in self.store.connection.execute(query, (*bounds, *self.ministries)):
            parts[run, ministry][part] = (tenths, count)
        ours = {run.number for run in self.runs}
        names = sorted({name for run, rows in scores.items() if run in ours for name in rows})
        wanted = {run.number for run in shown}
        last: dict[str, ScoreRow] = {}
        judged: int | None = None
        points: list[Row] = []
        for run in self.runs:
            scored = scores.get(run.number, {})
            rules_changed = bool(scored) and judged is not None and judged != run.judgement
            if run.number in wanted:
                points.extend(
                    _point(
                        run, name, scored.get(name), last.get(name), parts.get((run.number, name), {}), rules_changed
                    )
                    for name in names
                )
            if scored:
                last, judged = scored, run.judgement
        return points


def _among(column: str, some: Sequence[object]) -> str:
    return f"AND {column} IN ({', '.join('?' * len(some))})" if some else ""


def _point(
    run: RunRecord,
    ministry: str,
    row: ScoreRow | None,
    before: ScoreRow | None,
    parts: Mapping[str, tuple[int, int]],
    rules_changed: bool,
) -> Row:
    tenths = row.tenths if row else None
    change = None if before is None or before.tenths is None or tenths is None else tenths - before.tenths
    moved = {part: parts[part][0] for part in PARTS if part in parts and parts[part][0]}
    # An older release stored no parts: then nobody knows what moved it.
    taken_apart = change is not None and total(moved) == change
    return {
        "run": run.id,
        "at": stamp(run.end),
        "ministry": ministry,
        "score": _points(tenths),
        "grade": (row.grade if row else "") or None,
        "coverage": row.coverage / 10 if row else 0.0,
        **{part: parts.get(part, (0, 0))[1] for part in ("fixed", "newly_failed", "newly_known", "newly_unknown")},
        **{part: parts.get(part, (0, 0))[1] for part in ("inventory", "catalogue")},
        "change": _points(change),
        "because": {part: _points(tenths) for part, tenths in in_order(moved)} if taken_apart else None,
        "interval": [_points(row.low), _points(row.high)] if row else None,
        "state": run.state,
        "suspect": run.suspect,
        "policy": run.policy,
        "rules_changed": rules_changed,
        "vantage": run.vantage,
    }


def _points(tenths: int | None) -> float | None:
    return None if tenths is None else tenths / 10
