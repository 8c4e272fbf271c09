"""``posture-rejudge/1``: recorded runs judged again, beside what they were told. Which scores and verdicts differ."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from posture.errors import UsageError
from posture.moves import Move, counts_of, move_row, moves
from posture.policy import Policy
from posture.rescoring import keep_scores, recorded_scores, scorecard_of
from posture.scorecard import Score
from posture.store import RunRecord, ScoreRow, Store
from posture.store.choice import resolve_run
from posture.store.differing import differing
from posture.store.judgements import rules_digest
from posture.store.rejudging import Progress, rejudge, runs_of
from posture.store.under import Under, known_under

Row = dict[str, Any]


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """A nation's findings stay by the hundred thousand, and hold nothing that refers to itself: looking through them for
    that again and again takes a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@_seldom_collected()
def rejudged(
    store: Store,
    policy: Policy,
    shown: Sequence[RunRecord],
    *,
    ministries: Sequence[str] = (),
    listed: bool = False,
    progress: Progress | None = None,
) -> Row:
    """Judges the history of a vantage again, up to the newest run shown, and keeps it beside the first judgement.

    Args:
        store: open for writing.
        shown: closed runs of one vantage; of each the scores and the verdicts that differ are told.
        ministries: of these alone; all when left out.
        listed: also in how many findings every other complete run differs.

    Raises:
        UsageError: no such ministry.
        StoreError: the history cannot be written; nothing was changed.
    """
    _refuse_strangers(store, shown, ministries)
    vantage, until = shown[0].vantage, max(run.number for run in shown)
    done = rejudge(store, policy, vantage, until=until, progress=progress)
    runs = runs_of(store, vantage, until)
    place = store.reader.texts.known(vantage)
    counts = differing(store.connection, place, done.judgement, runs)
    told = {run.number for run in shown}
    lines: list[Row] = []
    findings: list[Row] = []
    unasked: set[str] = set(policy.controls)
    for run in reversed(runs):
        own = run.judgement == done.judgement
        line = {"run": run.document(), "same": own, "differ": counts[run.number], "changes": None, "scores": None}
        if run.number in told:
            under = known_under(store.reader, run, policy, store.shipped)
            unasked -= {key[1] for key in (*under.known, *under.unknown)}
            moved = [one for one in _moves(under) if not ministries or one.finding.ministry in ministries]
            line |= {
                "changes": counts_of(moved),
                "scores": _scores(store, run, policy, under, done.judgement, ministries),
            }
            findings += [{"run": run.id, **move_row(one, store.shipped)} for one in moved]
        if run.number in told or (listed and run.state == "complete"):
            lines.append(line)
    return {
        "schema": "posture-rejudge/1",
        "policy": policy.id,
        "policy_sha256": policy.digest,
        "rules_sha256": rules_digest(policy, store.shipped),
        "judged": done.runs,
        "added": done.added,
        "not_recorded": {
            "answers": done.dropped,
            "controls": [name for name in policy.controls if name in unasked],
        },
        "runs": lines,
        "findings": findings,
    }


def runs_to_show(store: Store, run: str | None, vantage: str | None, *, everything: bool) -> list[RunRecord]:
    """The run named, else the latest complete one; with ``everything`` also the last before each change of judgement.

    Raises:
        UsageError: there is none, it has not ended, or its answers are not believed.
    """
    found = resolve_run(store, run or "latest", vantage=vantage, complete=run is None)
    if not found.closed or found.state == "quarantined":
        raise UsageError(
            f"run {found.id} is {found.state}: there is nothing of it to judge. 'posture runs' lists the others."
        )
    shown = [found]
    complete = [one for one in runs_of(store, found.vantage, found.number) if one.state == "complete"]
    for one, following in pairwise(complete) if everything else ():
        if one.judgement != following.judgement and one.number != found.number:
            shown.append(one)
    return sorted(shown, key=lambda one: one.number, reverse=True)


def _refuse_strangers(store: Store, shown: Sequence[RunRecord], ministries: Sequence[str]) -> None:
    known = {entry.ministry for run in shown for entry in store.reader.entries(run.number).values()}
    for name in ministries:
        if name not in known:
            raise UsageError(f"no ministry {name!r} in these runs. Choose from: {', '.join(sorted(known))}.")


def _moves(under: Under) -> list[Move]:
    """From what the run was told. What it never knew, and what is still unknown, is no move."""
    told = {key: spans[-1].finding for key, spans in under.timelines.items() if spans[-1].until is None}
    return moves(told, {**under.known, **under.unknown})


def _scores(
    store: Store, run: RunRecord, policy: Policy, under: Under, judgement: int, ministries: Sequence[str]
) -> list[Row]:
    """By ministry, the State ("") last, with the score that the run was told."""
    told = recorded_scores(store, run)
    card = scorecard_of(store, run, policy, under)
    scores = [*card.ministries, card.state]
    if run.judgement != judgement and run.state == "complete":
        keep_scores(store, run, judgement, scores)
    return [
        {"ministry": one.ministry, "before": _told(told.get(one.ministry)), "after": _scored(one)}
        for one in scores
        if not ministries or one.ministry in ministries
    ]


def _told(score: ScoreRow | None) -> Row | None:
    if score is None:
        return None
    return {"score": _points(score.tenths), "grade": score.grade or None, "coverage": _points(score.coverage)}


def _scored(score: Score) -> Row:
    return {"score": _points(score.tenths), "grade": score.grade, "coverage": _points(score.coverage)}


def _points(tenths: int | None) -> float | None:
    return None if tenths is None else tenths / 10
