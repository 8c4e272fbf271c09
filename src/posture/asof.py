"""The findings as of a run, asset by asset: the rows of ``posture-findings/1``.

A nation has hundreds of thousands of findings. They are read for some assets at a time, in reading order, so that
memory is bounded by these, and what was not asked for is not read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import filter as fnfilter
from fnmatch import fnmatchcase
from functools import cache

from posture.checks import Control
from posture.drift import STALE_AFTER, Key, subjects_behind
from posture.errors import UsageError
from posture.judge import words_of
from posture.model import AssetKey, Finding, Outcome, Reason, Severity
from posture.rows import FindingRow
from posture.scanned import Scanned, scanned
from posture.store import Interval, RunRecord, Store, stamp
from posture.store.beside import Beside
from posture.store.choice import bounds
from posture.store.judging import last_looks, never_known, unknown_of_run
from posture.store.looks import was_known
from posture.store.records import Trace
from posture.store.timeline import first_run, worst
from posture.store.traces import by_probe, digest_of, observed_at

AT_ONCE = 200  # assets


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


@dataclass(slots=True)
class AsOf:
    """The state as of a run; ``alone``: what that run itself saw, nothing older; ``only``: of these assets, if given."""

    store: Store
    run: RunRecord
    beside: Beside
    select: Selectors
    alone: bool = False
    only: Collection[AssetKey] | None = None
    runs: Sequence[RunRecord] = field(init=False)
    starts: Mapping[int, datetime] = field(init=False)
    ministries: Mapping[AssetKey, str] = field(init=False)  # of the chosen ministries
    order: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Raises UsageError: a selector that names nothing."""
        reader, run, select = self.store.reader, self.run, self.select
        runs = reader.runs(run.vantage)
        self.runs = [run, *(one for one in runs if one.number < run.number and one.closed)]
        self.starts = {one.number: one.started_at for one in runs}
        self.order = {name: place for place, name in enumerate(self.store.shipped)}
        self.ministries = reader.inventory(run.number, select.ministries)
        self._refuse_unknown_names()

    def _refuse_unknown_names(self) -> None:
        reader, run, select, shipped = self.store.reader, self.run, self.select, self.store.shipped
        if set(select.ministries) - set(self.ministries.values()):
            refuse("ministry", select.ministries, reader.inventoried(run.number))
        if select.assets:
            names = {asset.name for asset in reader.inventory(run.number)}
            if not (self.alone or names.issuperset(select.assets)):  # or of what was never seen to leave it
                names |= {asset.name for asset in reader.known_assets(run)}
            refuse("asset", select.assets, names)
        refuse("check", select.checks, {name for control in shipped.values() for name in _checks(control)})
        refuse("severity", [select.severity] if select.severity else [], [str(one) for one in Severity])
        refuse("outcome", select.outcomes, [str(one) for one in Outcome])
        for glob in select.controls:
            if not (fnfilter(shipped, glob) or fnfilter(reader.known_controls(run), glob)):
                raise UsageError(f"no control matches {glob!r}. 'posture controls' lists the ids.")

    def wants_control(self, name: str) -> bool:
        """Whether the selectors leave a control."""
        select, control = self.select, self.store.shipped.get(name)
        families = _checks(control) if control else (name.partition(".")[0],)
        return (not select.checks or any(one in select.checks for one in families)) and (
            not select.controls or any(fnmatchcase(name, glob) for glob in select.controls)
        )

    def rows(self) -> Iterator[FindingRow]:
        """In reading order: by ministry, asset, control and subject."""
        assets = self._assets()
        for first in range(0, len(assets), AT_ONCE):
            some = _Some(self, assets[first : first + AT_ONCE])
            for key in some.chosen():
                row = some.row(key)
                if self._wants(row):
                    yield row

    def _assets(self) -> list[AssetKey]:
        """Of which there may be a row; of what else is among them nothing is known."""
        select, ministry = self.select, self.ministries.get
        chosen: Collection[AssetKey] = self.ministries if select.ministries else self.store.reader.assets().values()
        chosen = chosen if self.only is None else self.only
        wanted = [asset for asset in chosen if not select.assets or asset.name in select.assets]
        return sorted(wanted, key=lambda asset: (ministry(asset, ""), asset))

    def _wants(self, row: FindingRow) -> bool:
        select, zone = self.select, self.run.timezone
        if select.severity and Severity(row["severity"]).rank < Severity(select.severity).rank:
            return False
        if select.outcomes and row["outcome"] not in select.outcomes:
            return False
        seen = row["last_seen"]
        if select.since and (seen is None or datetime.fromisoformat(seen) < bounds(select.since, zone)[0]):
            return False
        return not (select.until and (seen is None or datetime.fromisoformat(seen) > bounds(select.until, zone)[1]))


@dataclass(slots=True)
class _Some:
    """The findings of some assets, with all that a row needs."""

    whole: AsOf
    assets: Sequence[AssetKey]
    timelines: Mapping[Key, list[Interval]] = field(init=False)
    known: dict[Key, Interval] = field(init=False)
    unknown: Mapping[Key, Finding] = field(init=False)
    silent: Mapping[Key, Finding] = field(default_factory=dict)
    seen: Mapping[Key, RunRecord] = field(init=False)
    traces: Mapping[AssetKey, Mapping[str, Mapping[str, Trace]]] = field(init=False)
    flapping: Mapping[Key, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        store, run, only = self.whole.store, self.whole.run, self.assets
        reader = store.reader
        bits = {asset: bit for bit, asset in reader.bits(only).items()}
        self.timelines = reader.timelines(run, only)
        self.known = {key: spans[-1] for key, spans in self.timelines.items() if spans[-1].until is None}
        if self.whole.alone:
            looks = reader.looks(run.number)
            self.known = {key: span for key, span in self.known.items() if was_known(looks, bits[key[0]], key)}
            self.unknown = unknown_of_run(reader, run, store.shipped, only)
        else:
            self.silent = last_looks(reader, run, store.shipped, only)
            self.unknown = never_known(self.silent, self.known)
        told = {key: self.timelines[key] for key in self.known}
        if not self.whole.alone:
            self.flapping = reader.flapping(run, told, bits)
        self.seen = reader.last_seen(run, told, runs=self.whole.runs, bits=bits)
        self.traces = {asset: by_probe(answers) for asset, answers in reader.traces(run, only).items()}

    def chosen(self) -> list[Key]:
        """Those of the chosen controls, in reading order."""
        order, wants = self.whole.order, cache(self.whole.wants_control)
        place = {asset: number for number, asset in enumerate(self.assets)}
        last = len(order)
        keys = [key for key in {**self.known, **self.unknown} if wants(key[1])]
        return sorted(keys, key=lambda key: (place[key[0]], order.get(key[1], last), key[1], key[2]))

    def row(self, key: Key) -> FindingRow:
        """One row of the document."""
        whole, (asset, control, subject) = self.whole, key
        span = self.known.get(key)
        finding = span.finding if span else self.unknown[key]
        seen = self.seen[key] if span else None
        traces = self._traces(key) if span else ()
        return {
            "state": whole.run.state_code,
            "ministry": whole.ministries.get(asset, finding.ministry),
            "asset": asset.name,
            "kind": asset.kind,
            "subject": Scanned(subject),
            "control": control,
            "outcome": finding.outcome.value,
            "severity": finding.severity.value,
            "confidence": finding.confidence.value,
            "tag": finding.tag,
            "args": scanned(finding.args) if finding.args else {},
            "message": words_of(finding, whole.store.shipped),
            "reason": finding.reason.value if finding.reason else None,
            "code": finding.code,
            "authorisation": finding.authorisation,
            "vantage": whole.run.vantage,
            "mends": finding.mends,
            "provider": Scanned(finding.provider) if finding.provider else None,
            "mend_by": finding.mend_by,
            "observed_at": observed_at(seen, traces) if seen else None,
            "first_seen": stamp(whole.starts[first_run(self.timelines[key])]) if span else None,
            "last_seen": stamp(seen.end) if seen else None,
            "stale": seen is not None and seen is not whole.run and whole.run.end - seen.end > STALE_AFTER,
            "facts": digest_of(traces),
            "exemption": whole.beside.exemption(key, finding.outcome) if finding.outcome.is_open else None,
            "unseen": self._unseen(key) if span and self.silent else None,
            "dispute": whole.beside.dispute(key),
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
        control = self.whole.store.shipped.get(key[1])
        answers = self.traces.get(key[0])
        if control is None or answers is None:
            return ()
        found: list[Trace] = []
        for need in control.rule.needs:
            if told := answers.get(need.TYPE):
                found.extend(told[subject] for subject in subjects_behind(control, key[2], told))
        return tuple(found)


def _checks(control: Control) -> tuple[str, str]:
    """What --check may call a control's family: its package, or the prefix of its id."""
    return control.family, control.id.partition(".")[0]


def refuse(what: str, wanted: Iterable[str], known: Collection[str]) -> None:
    """Raises UsageError: a name that nobody knows."""
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"no {what} {name!r} in the history. Choose from: {', '.join(sorted(known)[:20]) or 'none'}."
            )
