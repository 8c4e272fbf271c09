"""What the history tells: the current state, a run, the drift between two. Documents of the published JSON.

Current state is the last answer to each control, with its age, and the unknowns of what was never answered. Vantages
never mix: without a choice it is the vantage of the newest run.

Whatever a scanned system may have written is :class:`~posture.scanned.Scanned` from here on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from posture.asof import AsOf, Selectors, refuse
from posture.checks import Control, Previous
from posture.drift import Event, Key, confirmed, message_of
from posture.errors import UsageError
from posture.exemptions import Exemption
from posture.model import AssetKey, Finding
from posture.rows import EventRow
from posture.scanned import Scanned
from posture.store import RunRecord, Store, stamp
from posture.store.beside import Beside, beside_run
from posture.store.choice import as_of, bounds, latest_closed, resolve_run, two_runs
from posture.store.judging import compare_runs, trusted_before
from posture.store.quiet import SILENT_RUNS, silent_controls
from posture.store.timeline import first_run

Row = dict[str, Any]

__all__ = [
    "Selectors",
    "as_of",
    "bounds",
    "compare",
    "event_row",
    "last_known",
    "latest_closed",
    "latest_drift",
    "previous_answers",
    "resolve_run",
    "runs",
    "shown_run",
    "state",
    "state_after",
    "state_as_read",
]


# ---- runs


def runs(store: Store, vantage: str | None = None, silent_runs: int = SILENT_RUNS) -> Row:
    """``posture-runs/1``, newest first, and the controls that were silent for so many runs.

    Raises:
        UsageError: nobody looked from that vantage.
    """
    _must_exist(store, vantage)
    latest = latest_closed(store, vantage)
    quiet = () if latest is None else silent_controls(store.reader, latest, silent_runs, store.shipped)
    return {
        "schema": "posture-runs/1",
        "runs": [run.document() for run in store.reader.runs(vantage)],
        "silent_controls": [one.document() for one in quiet],
    }


def _must_exist(store: Store, vantage: str | None) -> None:
    known = sorted({run.vantage for run in store.reader.runs()})
    if vantage is not None and known and vantage not in known:
        raise UsageError(f"no vantage {vantage!r} in the history. Choose from: {', '.join(known)}.")


# ---- findings


def shown_run(
    store: Store, *, run: str | None = None, at: str | None = None, vantage: str | None = None
) -> RunRecord | None:
    """Which run a state is as of: that one, the newest by a time, the newest; None where none has ended.

    Raises:
        UsageError: no such run or vantage, or both a run and a time.
    """
    if run is not None and at is not None:
        raise UsageError("--run and --at both choose what is shown. Give one of them.")
    _must_exist(store, vantage)
    if run is not None:
        return resolve_run(store, run, vantage=vantage)
    return latest_closed(store, vantage) if at is None else as_of(store, at, vantage)


def state(
    store: Store,
    *,
    run: str | None = None,
    at: str | None = None,
    vantage: str | None = None,
    select: Selectors | None = None,
    exemptions: Sequence[Exemption] | None = None,
    now: datetime | None = None,
    only: Collection[AssetKey] | None = None,
) -> Row:
    """As :func:`state_as_read`, with its findings in a list."""
    document = state_as_read(
        store, run=run, at=at, vantage=vantage, select=select, exemptions=exemptions, now=now, only=only
    )
    return {**document, "findings": list(document["findings"])}


def state_as_read(
    store: Store,
    *,
    run: str | None = None,
    at: str | None = None,
    vantage: str | None = None,
    select: Selectors | None = None,
    exemptions: Sequence[Exemption] | None = None,
    now: datetime | None = None,
    only: Collection[AssetKey] | None = None,
) -> Row:
    """``posture-findings/1``: the current state, the state as it was known at a time, or one run alone.
    Its findings are read while they are gone through, once, as long as the store is open.

    Args:
        run: that run only: what it answered, and what it asked and could not see.
        at: a date (its end, in the State's time zone) or a time.
        exemptions: those of the operator's file today, for the current state; what each run had is on record.
        only: of these assets alone, whatever else is selected.
        now: the time as of which exemptions of the current state are in force; the run's end when left out.

    Raises:
        UsageError: no such run, both a run and a time, or a selector that matches nothing.
    """
    select = select or Selectors()
    record = shown_run(store, run=run, at=at, vantage=vantage)
    if record is None:
        return {"schema": "posture-findings/1", "complete": False, "run": None, "findings": iter(())}
    present = run is None and at is None
    moment = (now or record.end) if present else bounds(at, record.timezone)[1] if at else record.end
    beside = beside_run(store, record, moment, exemptions if present else None, present=present)
    return _state(store, record, select, beside, alone=run is not None, only=only)


def state_after(store: Store, run: RunRecord, only: Collection[AssetKey] | None = None) -> Row:
    """``posture-findings/1``: the state as it was known when a run had ended; ``only``: of these assets."""
    document = _state(store, run, Selectors(), beside_run(store, run, run.end), alone=False, only=only)
    return {**document, "findings": list(document["findings"])}


def _state(
    store: Store,
    record: RunRecord,
    select: Selectors,
    beside: Beside,
    *,
    alone: bool,
    only: Collection[AssetKey] | None,
) -> Row:
    return {
        "schema": "posture-findings/1",
        "complete": record.state == "complete",
        "run": record.document(),
        "findings": AsOf(store, record, beside, select, alone, only).rows(),
    }


# ---- what a scan needs to know of what was


def last_known(store: Store, vantage: str) -> dict[Key, Finding]:
    """The last known finding of every key at a vantage; never an unknown."""
    run = latest_closed(store, vantage)
    if run is None:
        return {}
    timelines = store.reader.timelines(run)
    return {key: spans[-1].finding for key, spans in timelines.items() if spans[-1].until is None}


def previous_answers(store: Store, vantage: str) -> dict[AssetKey, dict[tuple[str, str], Previous]]:
    """For ``judge(previous=)``: by asset, (control, subject) to the last known answer and when it was first seen."""
    run = latest_closed(store, vantage)
    if run is None:
        return {}
    starts = {one.number: one.started_at for one in store.reader.runs(vantage)}
    found: dict[AssetKey, dict[tuple[str, str], Previous]] = {}
    for (asset, control, subject), spans in store.reader.timelines(run).items():
        if spans[-1].until is None:
            finding = spans[-1].finding
            known = Previous(finding.outcome, finding.tag, starts[first_run(spans)])
            found.setdefault(asset, {})[control, subject] = known
    return found


# ---- drift


def compare(
    store: Store,
    from_run: str = "previous",
    to_run: str = "latest",
    *,
    vantage: str | None = None,
    ministries: Sequence[str] = (),
) -> Row:
    """``posture-drift/1`` between two complete runs of one vantage. ``previous`` is the complete run before ``to_run``
    that is not suspect: what a suspect run saw counts when the next one confirms it.

    Raises:
        UsageError: no such run, not complete, not of one vantage, or in the wrong order.
    """
    before, after = two_runs(store, from_run, to_run, vantage)
    if ministries:
        refuse("ministry", ministries, store.reader.inventoried(after.number))
    return _drift_document(store, before, after, ministries)


def latest_drift(
    store: Store, vantage: str | None = None, *, until: RunRecord | None = None, ministries: Sequence[str] = ()
) -> Row | None:
    """The drift to the newest complete run, or None when there is nothing to compare it with.

    Args:
        until: no run after this one is looked at, and none of another vantage.
        ministries: the events of these alone.
    """
    looked = store.reader.runs(until.vantage if until else vantage)
    newest = until.number if until else float("inf")
    after = next((run for run in looked if run.state == "complete" and run.number <= newest), None)
    before = trusted_before(store.reader, after) if after else None
    return _drift_document(store, before, after, ministries) if before and after else None


def _drift_document(store: Store, before: RunRecord, after: RunRecord, ministries: Sequence[str]) -> Row:
    whose = {**store.reader.inventory(before.number), **store.reader.inventory(after.number)}
    only = {asset for asset, code in whose.items() if code in ministries} if ministries else None
    events, why = compare_runs(store.reader, before, after, store.shipped, only=only)
    again = store.reader.second_looks(after.number)
    rows = [
        event_row(event, whose[event.finding.asset], store.shipped, confirmed(event, again, store.shipped))
        for event in events
    ]
    return {
        "schema": "posture-drift/1",
        "from": before.document(),
        "to": after.document(),
        "suspect": bool(why),
        "doubts": list(why),
        "events": rows,
    }


def event_row(event: Event, ministry: str, shipped: Mapping[str, Control], stood: bool | None) -> EventRow:
    """One row of ``posture-drift/1``. ``stood``: whether a second look saw the same, where there was one."""
    return {
        "kind": event.kind,
        "ministry": ministry,
        "asset": event.finding.asset.name,
        "asset_kind": event.finding.asset.kind,
        "control": event.finding.control,
        "subject": Scanned(event.finding.subject),
        "severity": str(event.severity),
        "before": str(event.before) if event.before else None,
        "after": str(event.after) if event.after else None,
        "between": [stamp(event.between[0]), stamp(event.between[1])],
        "message": message_of(event, shipped),
        "initial": event.initial,
        "confirmed": stood,
    }
