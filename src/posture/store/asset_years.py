"""The years of one asset, judged again: run by run, but only where something may have changed.

That is where it answered something else, its entry changed, the time had come at which the same answers are judged
differently (``good_until``), or another trust store or threshold came into force; and of such a run only the controls
concerned. A silence changes nothing; what has gone is closed when it is clear why, as when the run itself was folded.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from posture.checks import Control, Reference
from posture.model import AssetKey
from posture.policy import Policy
from posture.store.answers import Texts, body_fields
from posture.store.asset_looks import AssetLooks
from posture.store.asset_verdicts import AssetVerdicts, Batch, Group, Told, Value, Watched, groups_of, watched
from posture.store.past import Pasts
from posture.store.records import AssetEntry, RunRecord, moment
from posture.store.verdicts import held_at, spells, track_of


@dataclass(frozen=True, slots=True)
class Run:
    """A run to judge again.

    ``asked``: by probe the assets that it asked, as one number whose bits are theirs. ``turns``: another trust store or
    threshold is in force than in the run before; ``thresholds``: which, None when more than these has changed. ``turned``:
    the assets, likewise, of which other probes were asked than the last time. ``begins``: the run of this very judgement
    just before it, 0 for none; ``ends``: the one just after it, None for none.
    """

    record: RunRecord
    reference: Reference
    asked: Mapping[str, int]
    turns: bool
    thresholds: frozenset[str] | None
    turned: int
    begins: int
    ends: int | None


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what a history is judged again: plain values, that another process can be told.

    ``place``: the vantage's number. ``codes``: controls by number. ``by_probe``: the controls that need a probe's answer.
    ``runs``: those to judge, all after the last that was judged again before. ``settled``: that one left nothing to its
    successors; ``ends``: the run right after it when that is of this very judgement, else None.
    """

    policy: Policy
    judgement: int
    vantage: str
    place: int
    codes: Mapping[int, str]
    by_probe: Mapping[str, frozenset[str]]
    runs: tuple[Run, ...]
    settled: bool
    ends: int | None


@dataclass(slots=True)
class Ground:
    """What the years of all assets share; it only reads.

    ``needs``: by control the probes whose answers its rule reads; ``groups``: controls with the same needs.
    """

    connection: sqlite3.Connection
    texts: Texts
    shipped: Mapping[str, Control]
    terms: Terms
    pasts: Pasts = field(init=False)
    live: int = field(init=False)  # the track of what the vantage was told
    track: int = field(init=False)  # that of this judgement, 0 when nothing was judged again yet
    needs: Mapping[str, tuple[str, ...]] = field(init=False)
    shown: Mapping[str, Watched] = field(init=False)
    groups: tuple[Group, ...] = field(init=False)
    group_of: Mapping[str, int] = field(init=False)  # a control's, by number
    numbers: list[int] = field(init=False)
    marked: tuple[int, ...] = field(init=False)  # places of runs that concern every asset
    turned: tuple[tuple[int, int], ...] = field(init=False)  # place of a run, and its ``turned``
    latest: list[datetime] = field(init=False)  # by place of a run when it or one before it ended, whichever was later

    def __post_init__(self) -> None:
        runs, policy = self.terms.runs, self.terms.policy
        self.pasts = Pasts(self.connection, self.texts, self.terms.vantage)
        self.live = track_of(self.connection, self.terms.place)
        self.track = track_of(self.connection, self.terms.place, self.terms.judgement)
        names = [name for name in policy.controls if name in self.shipped]
        self.needs = {name: tuple(need.TYPE for need in self.shipped[name].rule.needs) for name in names}
        self.shown = {name: watched(policy) for name in names}
        self.groups = groups_of(self.needs)
        self.group_of = {name: group.number for group in self.groups for name in group.controls}
        self.numbers = [run.record.number for run in runs]
        self.marked = tuple(place for place, run in enumerate(runs) if run.turns or run.begins or run.ends is not None)
        self.turned = tuple((place, run.turned) for place, run in enumerate(runs) if run.turned)
        self.latest = list(accumulate((run.record.end for run in runs), max))

    def controls_of(self, probes: Iterable[str]) -> frozenset[str]:
        """The controls that need one of some probes."""
        return frozenset().union(*(self.terms.by_probe.get(probe, frozenset()) for probe in probes))


@dataclass(slots=True)
class Span:
    """What holds at one place, or held up to run ``until``. ``is_stored``: it began before what is judged now."""

    value: Value
    cause: str
    since: int
    is_stored: bool = False
    until: int | None = None
    end_cause: str | None = None


# control, subject, since, until, outcome, severity, body, cause, cause of the end, is_stored: plain, for another process
Change = tuple[str, str, int, int | None, int, int, str, str, str | None, bool]


@dataclass(slots=True)
class AssetYears:
    """One asset. Call :meth:`walk` once, then :meth:`changes`."""

    ground: Ground
    number: int
    asset: AssetKey
    bit: int
    _ended: list[tuple[str, str, Span]] = field(default_factory=list)
    _held: dict[str, dict[str, Span]] = field(default_factory=lambda: defaultdict(dict))
    _looks: AssetLooks = field(init=False)
    _verdicts: AssetVerdicts = field(init=False)
    _entries: tuple[tuple[int, int | None, AssetEntry], ...] = field(init=False)
    _ever: set[tuple[str, str]] = field(default_factory=set)
    _owed: set[str] = field(default_factory=set)  # controls to judge at the next run that asks for them
    _due: dict[str, datetime] = field(default_factory=dict)  # when something of a control is judged differently
    _changes: dict[int, int] = field(
        default_factory=lambda: defaultdict(int)
    )  # how often what is held of a group changed

    def __post_init__(self) -> None:
        ground = self.ground
        self._looks = AssetLooks(ground.pasts, self.number)
        self._verdicts = AssetVerdicts(
            ground.terms.policy, ground.shown, ground.shipped, ground.needs, ground.groups, self._looks
        )
        self._entries = ground.pasts.entries(self.number, self.asset)
        text = ground.texts.text
        for told in spells(ground.connection, ground.track, only=(self.number,)) if ground.track else ():
            place = (ground.terms.codes[told.place[1]], text(told.place[2]))
            self._ever.add(place)
            if told.until is None:
                outcome, severity, body = told.value
                self._hold(*place, Span((outcome, severity, text(body)), told.cause, told.since, is_stored=True))
        if not ground.terms.settled or self._looks.is_stopped:
            self._owed.update(ground.terms.policy.controls)

    def walk(self) -> None:
        """Judges what changed, in every run that is left to judge."""
        runs, every = self.ground.terms.runs, self.ground.terms.policy.controls
        entered = self._entered()
        turned = {place for place, assets in self.ground.turned if assets >> self.bit & 1}
        stops = self._stops(entered | turned)
        if self.ground.terms.ends is not None:
            self._end_all(self.ground.terms.ends)
        place = self._next(-1, stops)
        while place < len(runs):
            run = runs[place]
            if run.begins:
                self._take_over(run.begins, run.record.number)
            if run.turns or place in entered or place in turned:
                self._owed.update(every)
                self._verdicts.forget(run.thresholds if place not in entered else None)
            wanted = set(self.ground.controls_of(self._looks.changes.get(run.record.number, ())))
            self._owed.update(name for name, due in self._due.items() if due <= run.record.end)
            if wanted or self._owed:
                self._judge(run, wanted)
            if run.ends is not None:
                self._end_all(run.ends)
            place = self._next(place, stops)

    def changes(self) -> list[Change]:
        """What differs from what was told: intervals that are new, or have ended."""
        still = [(control, subject, span) for control, held in self._held.items() for subject, span in held.items()]
        return [
            (control, subject, one.since, one.until, *one.value, one.cause, one.end_cause, one.is_stored)
            for control, subject, one in (*self._ended, *still)
            if not one.is_stored or one.until is not None
        ]

    # ---- where to look

    def _entered(self) -> set[int]:
        """Places of runs with which the inventory's entry changed."""
        numbers = self.ground.numbers
        said = {run for since, until, _ in self._entries for run in (since, until) if run is not None}
        # A run of another vantage may have read the new entry first.
        places = {bisect_left(numbers, run) for run in said}
        return {place for place in places if place < len(numbers)}

    def _stops(self, more: set[int]) -> list[int]:
        """Places of runs where something may have changed, the last first.

        What changed with a run that is not to be judged (it has its own findings) is seen by :meth:`_take_over`.
        """
        numbers = self.ground.numbers
        found = more.union(self.ground.marked)
        for run in self._looks.changes:
            place = bisect_left(numbers, run)
            if place < len(numbers) and numbers[place] == run:
                found.add(place)
        return sorted(found, reverse=True)

    def _next(self, place: int, stops: list[int]) -> int:
        """The place after this one where there may be something to do; that of no run when there is none."""
        while stops and stops[-1] <= place:
            stops.pop()
        found = stops[-1] if stops else len(self.ground.terms.runs)
        if self._owed:
            return min(found, place + 1)
        if self._due:
            found = min(found, max(bisect_left(self.ground.latest, min(self._due.values())), place + 1))
        return found

    def _entry(self, run: int) -> AssetEntry | None:
        for since, until, entry in self._entries:
            if since <= run and (until is None or run < until):
                return entry
        return None

    # ---- one run

    def _take_over(self, own: int, now: int) -> None:
        """What a run of this very judgement knew is where the runs after it go on from."""
        ground, text = self.ground, self.ground.texts.text
        self._verdicts.forget()  # of that run nothing is known here, neither its trust store
        for (_, control, subject), _, value in held_at(ground.connection, ground.live, own, (self.number,)):
            outcome, severity, body = value
            place = (ground.terms.codes[control], text(subject))
            cause = "target" if place in self._ever else "first"
            self._hold(*place, Span((outcome, severity, text(body)), cause, now))

    def _judge(self, run: Run, wanted: set[str]) -> None:
        """The controls whose answers changed, and those owed, as far as this run asked the asset."""
        record, ground = run.record, self.ground
        entry = self._entry(record.number)
        if entry is None:
            self._end_all(record.number, "scope")  # it has left the inventory, as a run of the whole of it told
            return
        self._looks.go_to(record.number)
        asked = {probe for probe, assets in run.asked.items() if assets >> self.bit & 1}
        # What the kill switch kept from being asked stands in no run's coverage, and is not gone.
        asked |= self._looks.refused()
        if not asked:
            self._owed |= wanted
            return
        now = wanted | self._owed
        if not _is_whole(record):
            now &= ground.controls_of(asked)
        self._owed -= now
        batches, single = self._verdicts.of(now, asked, entry, record, run.reference)
        for batch in batches:
            self._tell_all(record, batch, asked)
        for told in single:
            self._tell(record, told, asked)
            self._set_due({told.control}, {} if told.until is None else {told.control: told.until})

    def _tell_all(self, run: RunRecord, batch: Batch, asked: set[str]) -> None:
        """What a run says of a group of controls: most often what was said before."""
        group = batch.group
        self._set_due(group.controls, batch.due)
        if batch.clean == self._changes[group.number]:
            return
        owed = len(self._owed)
        for told in batch.told:
            self._tell(run, told, asked)
        # What was told anew holds from now on, what was ended is not ended again, and what is left stays so.
        batch.clean = self._changes[group.number] if len(self._owed) == owed else -1

    def _set_due(self, controls: Collection[str], due: Mapping[str, datetime]) -> None:
        # Whatever else is held of them by now, nobody saw it: no time changes that.
        for control in [control for control in self._due if control in controls]:
            del self._due[control]
        self._due.update(due)

    def _tell(self, run: RunRecord, told: Told, asked: set[str]) -> None:
        """What a run says of one control: what is known now, what is only not seen, and what has gone."""
        control, held = told.control, self._held[told.control]
        for subject, value in told.values.items():
            old = held.get(subject)
            if old is None or old.value != value:
                cause = "target" if (control, subject) in self._ever else "first"
                if old is not None:
                    self._end(control, subject, run.number, "target")
                self._begin(control, subject, Span(value, cause, run.number))
        if len(held) > len(told.values):
            for subject in [subject for subject in held if subject not in told.values]:
                self._unanswered(run, subject, told, asked)

    def _unanswered(self, run: RunRecord, subject: str, told: Told, asked: set[str]) -> None:
        if run.state != "complete":
            self._owed.add(told.control)  # the next complete run closes what has gone
            return
        if told.found:
            cause = told.gone(self.ground.shipped.get(told.control), subject)
        elif not _is_whole(run) or self._looks.was_cut(asked):
            self._owed.add(told.control)
            cause = None
        else:
            cause = "scope"
        if cause:
            self._end(told.control, subject, run.number, cause)

    # ---- what holds

    def _hold(self, control: str, subject: str, span: Span) -> None:
        """What was told already."""
        self._begin(control, subject, span)
        until = body_fields(span.value[2])["good_until"]
        if until:
            self._due[control] = min(moment(until), self._due.get(control, moment(until)))

    def _begin(self, control: str, subject: str, span: Span) -> None:
        self._held[control][subject] = span
        self._ever.add((control, subject))
        self._changes[self.ground.group_of.get(control, -1)] += 1

    def _end_all(self, run: int, cause: str = "policy") -> None:
        """Of everything that holds; by default because from this run on the findings of this judgement are the run's own."""
        for control, held in self._held.items():
            for subject in [*held]:
                self._end(control, subject, run, cause)
        self._owed.clear()
        self._due.clear()

    def _end(self, control: str, subject: str, run: int, cause: str) -> None:
        span = self._held[control].pop(subject)
        self._changes[self.ground.group_of.get(control, -1)] += 1
        if span.since == run and not span.is_stored:
            return  # taken over, and judged otherwise in the same run
        span.until, span.end_cause = run, cause
        self._ended.append((control, subject, span))


def _is_whole(run: RunRecord) -> bool:
    """Whether what it does not mention has gone."""
    return run.state == "complete" and not run.selectors
