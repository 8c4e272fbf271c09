"""What the history tells: the current state, a run, the drift between two. Documents of the published JSON.

Current state is the last answer to each control, with its age, and the unknowns of what was never answered. Vantages
never mix: without a choice it is the vantage of the newest run.

Whatever a scanned system may have written is :class:`~posture.scanned.Scanned` from here on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from posture.checks import Control, Previous
from posture.drift import STALE_AFTER, Event, Key, confirmed, message_of, subjects_behind
from posture.errors import UsageError
from posture.exemptions import Exemption
from posture.judge import words_of
from posture.model import AssetKey, Finding, Outcome, Reason, Severity
from posture.rows import EventRow, FindingRow
from posture.scanned import Scanned, scanned
from posture.store import Interval, RunRecord, Store, stamp
from posture.store.beside import Beside, beside_run
from posture.store.choice import as_of, bounds, latest_closed, resolve_run, two_runs
from posture.store.judging import compare_runs, last_looks, never_known, trusted_before, unknown_of_run
from posture.store.looks import was_known
from posture.store.quiet import SILENT_RUNS, silent_controls
from posture.store.records import Trace
from posture.store.timeline import first_run, worst
from posture.store.traces import by_probe, digest_of, observed_at

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
    "state",
    "state_after",
]


@dataclass(frozen=True, slots=True)
class Selectors:
    """What a reader wants to see; empty means all.

    ``checks`` are families or the prefixes of control ids; ``controls`` globs; ``severity`` at or above; ``since`` and
    ``until`` dates or times, of when a finding was last seen.
    """

    ministries: Sequence[str] = ()
    assets: Sequence[str] = ()
    checks: Sequence[str] = ()
    controls: Sequence[str] = ()
    severity: str | None = None
    outcomes: Sequence[str] = ()
    since: str | None = None
    until: str | None = None


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


def state(
    store: Store,
    *,
    run: str | None = None,
    at: str | None = None,
    vantage: str | None = None,
    select: Selectors | None = None,
    exemptions: Sequence[Exemption] | None = None,
    now: datetime | None = None,
) -> Row:
    """``posture-findings/1``: the current state, the state as it was known at a time, or one run alone.

    Args:
        run: that run only: what it answered, and what it asked and could not see.
        at: a date (its end, in the State's time zone) or a time.
        exemptions: those of the operator's file today, for the current state; what each run had is on record.
        now: the time as of which exemptions of the current state are in force; the run's end when left out.

    Raises:
        UsageError: no such run, both a run and a time, or a selector that matches nothing.
    """
    select = select or Selectors()
    if run is not None and at is not None:
        raise UsageError("--run and --at both choose what is shown. Give one of them.")
    _must_exist(store, vantage)
    if run is not None:
        record: RunRecord | None = resolve_run(store, run, vantage=vantage)
    elif at is not None:
        record = as_of(store, at, vantage)
    else:
        record = latest_closed(store, vantage)
    if record is None:
        return {"schema": "posture-findings/1", "complete": False, "run": None, "findings": []}
    present = run is None and at is None
    moment = (now or record.end) if present else bounds(at, record.timezone)[1] if at else record.end
    beside = beside_run(store, record, moment, exemptions if present else None, present=present)
    return _state(store, record, select, beside, alone=run is not None)


def state_after(store: Store, run: RunRecord) -> Row:
    """``posture-findings/1``: the state as it was known when a run had ended."""
    return _state(store, run, Selectors(), beside_run(store, run, run.end), alone=False)


def _state(store: Store, record: RunRecord, select: Selectors, beside: Beside, *, alone: bool) -> Row:
    # One ministry of many: nothing of the others is read, as long as no other selector may name something of theirs.
    narrow = bool(select.ministries) and not (alone or select.assets or select.controls)
    view = _View(store, record, alone, beside, select.ministries if narrow else ())
    chosen = _Chosen(select, record, view)
    return {
        "schema": "posture-findings/1",
        "complete": record.state == "complete",
        "run": record.document(),
        "findings": list(chosen.rows()),
    }


@dataclass(slots=True)
class _View:
    """The findings as of one run, with all that a row needs.

    ``alone``: what that run itself saw, nothing older. ``narrowed``: ministries, when it is of their assets alone.
    """

    store: Store
    run: RunRecord
    alone: bool
    beside: Beside
    narrowed: Sequence[str] = ()
    timelines: Mapping[Key, list[Interval]] = field(init=False)
    known: dict[Key, Interval] = field(init=False)
    unknown: Mapping[Key, Finding] = field(init=False)
    silent: Mapping[Key, Finding] = field(default_factory=dict)
    seen: Mapping[Key, RunRecord] = field(init=False)
    traces: Mapping[AssetKey, Mapping[str, Mapping[str, Trace]]] = field(init=False)
    starts: Mapping[int, datetime] = field(init=False)
    ministries: Mapping[AssetKey, str] = field(init=False)
    flapping: Mapping[Key, tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        reader, run = self.store.reader, self.run
        self.ministries = reader.inventory(run.number, self.narrowed)
        only = tuple(self.ministries) if self.narrowed else None
        self.timelines = reader.timelines(run, only)
        self.known = {key: spans[-1] for key, spans in self.timelines.items() if spans[-1].until is None}
        if self.alone:
            place, looks = {asset: bit for bit, asset in reader.bits().items()}, reader.looks(run.number)
            self.known = {k: span for k, span in self.known.items() if was_known(looks, place[k[0]], k)}
            self.unknown = unknown_of_run(reader, run, self.store.shipped)
        else:
            self.silent = last_looks(reader, run, self.store.shipped, only)
            self.unknown = never_known(self.silent, self.known)
        self.flapping = {} if self.alone else reader.flapping(run, {key: self.timelines[key] for key in self.known})
        runs = reader.runs(run.vantage)
        self.seen = reader.last_seen(
            run,
            {key: self.timelines[key] for key in self.known},
            runs=[run, *(one for one in runs if one.number < run.number and one.closed)],
            bits={asset: bit for bit, asset in reader.bits(only).items()},
        )
        self.traces = {asset: by_probe(answers) for asset, answers in reader.traces(run, only).items()}
        self.starts = {one.number: one.started_at for one in runs}

    def row(self, key: Key) -> FindingRow:
        """One row of the document."""
        span = self.known.get(key)
        finding = span.finding if span else self.unknown[key]
        seen = self.seen[key] if span else None
        traces = self._traces(key) if span else ()
        aged = seen is not None and self.run.end - seen.end > STALE_AFTER
        return {
            "state": self.run.state_code,
            "ministry": self.ministries.get(key[0], finding.ministry),
            "asset": key[0].name,
            "kind": key[0].kind,
            "subject": Scanned(key[2]),
            "control": key[1],
            "outcome": str(finding.outcome),
            "severity": str(finding.severity),
            "confidence": str(finding.confidence),
            "tag": finding.tag,
            "args": scanned(finding.args),
            "message": words_of(finding, self.store.shipped),
            "reason": str(finding.reason) if finding.reason else None,
            "code": finding.code,
            "authorisation": finding.authorisation,
            "vantage": self.run.vantage,
            "mends": finding.mends,
            "provider": Scanned(finding.provider) if finding.provider else None,
            "mend_by": finding.mend_by,
            "observed_at": observed_at(seen, traces) if seen else None,
            "first_seen": stamp(self.starts[first_run(self.timelines[key])]) if span else None,
            "last_seen": stamp(seen.end) if seen else None,
            "stale": aged,
            "facts": digest_of(traces),
            "exemption": self.beside.exemption(key, finding.outcome),
            "unseen": self._unseen(key) if span else None,
            "dispute": self.beside.dispute(key),
            "unstable": self._worst(key) if key in self.flapping else None,
        }

    def _worst(self, key: Key) -> dict[str, str]:
        """What a flapping finding is scored as."""
        finding = worst(self.timelines[key], self.flapping[key][1]).finding
        return {"outcome": str(finding.outcome), "severity": str(finding.severity)}

    def _unseen(self, key: Key) -> str | None:
        """Why the newest look could not renew what is known; None when it did, or when nobody looked."""
        silent = self.silent.get(key) or self.silent.get((key[0], key[1], ""))
        return str(silent.reason) if silent and silent.reason and silent.reason is not Reason.NOT_RUN else None

    def _traces(self, key: Key) -> tuple[Trace, ...]:
        """Where the answers stand that a finding rests on."""
        control = self.store.shipped.get(key[1])
        answers = self.traces.get(key[0], {})
        if control is None:
            return ()
        return tuple(
            told[subject]
            for need in control.rule.needs
            if (told := answers.get(need.TYPE))
            for subject in subjects_behind(control, key[2], told)
        )


@dataclass(slots=True)
class _Chosen:
    """The rows of a view that the selectors leave, in reading order."""

    select: Selectors
    run: RunRecord
    view: _View

    def __post_init__(self) -> None:
        """Refuses selectors that name nothing. Raises UsageError."""
        select, view = self.select, self.view
        keys = [*view.known, *view.unknown]
        _refuse("ministry", select.ministries, view.store.reader.inventoried(self.run.number))
        _refuse("asset", select.assets, {asset.name for asset in view.ministries} | {key[0].name for key in keys})
        _refuse("check", select.checks, {name for control in view.store.shipped.values() for name in _checks(control)})
        _refuse("severity", [select.severity] if select.severity else [], [str(one) for one in Severity])
        _refuse("outcome", select.outcomes, [str(one) for one in Outcome])
        ids = {*view.store.shipped, *(key[1] for key in keys)}
        for glob in select.controls:
            if not any(fnmatchcase(name, glob) for name in ids):
                raise UsageError(f"no control matches {glob!r}. 'posture controls' lists the ids.")

    def rows(self) -> Iterator[FindingRow]:
        order = {name: place for place, name in enumerate(self.view.store.shipped)}
        ministry = self.view.ministries.get
        keys = [key for key in {*self.view.known, *self.view.unknown} if self._wants_key(key)]
        for key in sorted(
            keys,
            key=lambda key: (ministry(key[0], ""), key[0].name, key[0].kind, order.get(key[1], len(order)), *key[1:]),
        ):
            row = self.view.row(key)
            if self._wants_row(row):
                yield row

    def _wants_key(self, key: Key) -> bool:
        select = self.select
        control = self.view.store.shipped.get(key[1])
        names = _checks(control) if control else (key[1].partition(".")[0],)
        return (
            (not select.ministries or self.view.ministries.get(key[0]) in select.ministries)
            and (not select.assets or key[0].name in select.assets)
            and (not select.checks or bool(set(names) & set(select.checks)))
            and (not select.controls or any(fnmatchcase(key[1], glob) for glob in select.controls))
        )

    def _wants_row(self, row: FindingRow) -> bool:
        select, zone = self.select, self.run.timezone
        if select.severity and Severity(row["severity"]).rank < Severity(select.severity).rank:
            return False
        if select.outcomes and row["outcome"] not in select.outcomes:
            return False
        seen = row["last_seen"]
        if select.since and (seen is None or datetime.fromisoformat(seen) < bounds(select.since, zone)[0]):
            return False
        return not (select.until and (seen is None or datetime.fromisoformat(seen) > bounds(select.until, zone)[1]))


def _checks(control: Control) -> tuple[str, str]:
    """What --check may call a control's family: its package, or the prefix of its id."""
    return control.family, control.id.partition(".")[0]


def _refuse(what: str, wanted: Iterable[str], known: Collection[str]) -> None:
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"no {what} {name!r} in the history. Choose from: {', '.join(sorted(known)[:20]) or 'none'}."
            )


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
    entries = store.reader.entries(after.number)
    _refuse("ministry", ministries, {entry.ministry for entry in entries.values()})
    return _drift_document(store, before, after, ministries)


def latest_drift(store: Store, vantage: str | None = None, *, until: RunRecord | None = None) -> Row | None:
    """The drift to the newest complete run, or None when there is nothing to compare it with.

    Args:
        until: no run after this one is looked at, and none of another vantage.
    """
    looked = store.reader.runs(until.vantage if until else vantage)
    newest = until.number if until else float("inf")
    after = next((run for run in looked if run.state == "complete" and run.number <= newest), None)
    before = trusted_before(store.reader, after) if after else None
    return _drift_document(store, before, after, ()) if before and after else None


def _drift_document(store: Store, before: RunRecord, after: RunRecord, ministries: Sequence[str]) -> Row:
    events, why = compare_runs(store.reader, before, after, store.shipped)
    entries = {**store.reader.entries(before.number), **store.reader.entries(after.number)}
    again = store.reader.second_looks(after.number)
    rows = [
        event_row(event, entries[event.finding.asset].ministry, store.shipped, confirmed(event, again, store.shipped))
        for event in events
    ]
    return {
        "schema": "posture-drift/1",
        "from": before.document(),
        "to": after.document(),
        "suspect": bool(why),
        "doubts": list(why),
        "events": [row for row in rows if not ministries or row["ministry"] in ministries],
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
