"""How a State stands and what moved in it, without reading every finding: for questions over a whole nation or a year."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from posture.drift import KINDS, SEEN, confirmed
from posture.errors import UsageError
from posture.history import compare, event_row
from posture.model import Outcome
from posture.store import RunRecord, Store
from posture.store.choice import as_of, latest_closed, two_runs
from posture.store.judging import can_be_compared_by_moves, compare_runs, moved_events
from posture.store.tally import tally

Row = dict[str, Any]


def changes(
    store: Store,
    from_run: str = "previous",
    to_run: str = "latest",
    *,
    vantage: str | None = None,
    ministries: Sequence[str] = (),
) -> Row:
    """``posture-drift/1`` with what changed alone: without what persists and what could not be seen.

    A hundred times quicker than :func:`posture.history.compare` where little changed, because only the intervals that
    began or ended between the two runs are read. Between two judgements everything is compared.

    Raises:
        UsageError: no such run, not complete, not of one vantage, or in the wrong order; no such ministry.
    """
    before, after = two_runs(store, from_run, to_run, vantage)
    known = store.reader.inventoried(before.number) | store.reader.inventoried(after.number)
    for name in ministries:
        if name not in known:
            raise UsageError(f"no ministry {name!r} in the history. Choose from: {', '.join(sorted(known)[:20])}.")
    if can_be_compared_by_moves(store.reader, before, after):
        events, why = moved_events(store.reader, before, after)
    else:
        everything, why = compare_runs(store.reader, before, after, store.shipped)
        events = tuple(one for one in everything if one.kind != "persisting" and one.after is not Outcome.UNKNOWN)
    assets = {event.finding.asset for event in events}
    whose = {key: code for run in (before, after) for key, code in store.reader.whose(run.number, assets).items()}
    again = store.reader.second_looks(after.number)
    return {
        "schema": "posture-drift/1",
        "from": before.document(),
        "to": after.document(),
        "suspect": bool(why),
        "doubts": list(why),
        "events": [
            event_row(one, whose[one.finding.asset], store.shipped, confirmed(one, again, store.shipped))
            for one in events
            if not ministries or whose[one.finding.asset] in ministries
        ],
    }


def drift_of(
    store: Store,
    from_run: str = "previous",
    to_run: str = "latest",
    *,
    vantage: str | None = None,
    ministries: Sequence[str] = (),
    kinds: Collection[str] | None = (),
) -> Row:
    """``posture-drift/1`` with some kinds of events.

    Args:
        kinds: among :data:`posture.drift.KINDS`; none: as :func:`changes`; None: all of them.

    Raises:
        UsageError: as :func:`changes`, or no such kind.
    """
    for kind in kinds or ():
        if kind not in KINDS:
            raise UsageError(f"no kind of change {kind!r}. Choose among all, {', '.join(KINDS)}.")
    quick = kinds is not None and set(kinds) <= set(SEEN)
    told = (changes if quick else compare)(store, from_run, to_run, vantage=vantage, ministries=ministries)
    return told if not kinds else {**told, "events": [row for row in told["events"] if row["kind"] in kinds]}


def standing(store: Store, *, at: str | None = None, vantage: str | None = None) -> Row:
    """How every ministry stood at a time: its findings as they were known then, counted by outcome.

    Returns:
        {"run": the run object or None, "ministries": {code: {outcome: count}}}; open findings are counted by severity
        too: {"fail": 7, "fail.high": 2, ...}. What was never seen is not counted: no answer stands for it.

    Raises:
        UsageError: no run had ended by then.
    """
    run: RunRecord | None = latest_closed(store, vantage) if at is None else as_of(store, at, vantage)
    if run is None:
        return {"run": None, "ministries": {}}
    counts: dict[str, dict[str, int]] = {code: {} for code in sorted(store.reader.inventoried(run.number))}
    for code, outcome, severity, count in tally(store, run):
        row = counts[code]
        row[outcome] = row.get(outcome, 0) + count
        if Outcome(outcome).is_open:
            row[f"{outcome}.{severity}"] = count
    return {"run": run.document(), "ministries": counts}
