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
from typing import TypeGuard

from posture.checks import Control
from posture.judge import judge
from posture.model import Absent, Answer, AssetKey, Finding, Outcome, Reason, Unobserved
from posture.policy import Policy
from posture.store.answers import body_fields, finding_body
from posture.store.dockets import Answers, docket_of
from posture.store.fold_findings import why_gone
from posture.store.past import Past, Pasts
from posture.store.reader import Reader
from posture.store.records import OUTCOMES, SEVERITIES, AssetEntry, RunRecord, StoredAnswer, moment
from posture.store.verdicts import Spell, Value, held_at, put_rows, put_track, rows_after, spells, track_of

Place = tuple[str, str]  # control, subject


@dataclass(frozen=True, slots=True)
class Run:
    """A run to judge again.

    ``asked``: by probe the assets that it asked, as one number whose bits are theirs. ``turns``: another trust store or
    threshold is in force than in the run before; ``turned``: the assets, likewise, of which other probes were asked than
    the last time. ``begins``: the run of this very judgement just before it, 0 for none; ``ends``: the one just after
    it, None for none.
    """

    record: RunRecord
    asked: Mapping[str, int]
    turns: bool
    turned: int
    begins: int
    ends: int | None


@dataclass(slots=True)
class Ground:
    """What the years of all assets share.

    ``runs``: those to judge, all after the last that was judged again before. ``settled``: that one left nothing to
    its successors; ``ends``: the run right after it when that is of this very judgement, else None.
    """

    connection: sqlite3.Connection
    reader: Reader
    shipped: Mapping[str, Control]
    policy: Policy
    judgement: int
    vantage: int
    pasts: Pasts
    codes: Mapping[int, str]
    controls: Mapping[str, int]
    by_probe: Mapping[str, frozenset[str]]
    runs: tuple[Run, ...]
    settled: bool
    ends: int | None
    added: int = 0

    def controls_of(self, probes: Iterable[str]) -> frozenset[str]:
        """The controls that need one of some probes."""
        return frozenset().union(*(self.by_probe.get(probe, frozenset()) for probe in probes))


@dataclass(slots=True)
class _Held:
    """What holds at one place. ``good_until``: None when no time changes it, or while nothing new is seen of it."""

    value: Value
    cause: str
    since: int
    good_until: datetime | None
    is_stored: bool = False


@dataclass(frozen=True, slots=True)
class _Before:
    """Verdicts by control and subject, with the values of the known ones; from when until when the same answers give them."""

    since: datetime
    until: datetime | None
    told: Mapping[str, Mapping[str, Finding]]
    values: Mapping[Place, Value]

    def holds(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


@dataclass(slots=True)
class AssetYears:
    """One asset. Call :meth:`walk` once."""

    ground: Ground
    number: int
    asset: AssetKey
    bit: int
    past: Past = field(init=False)
    held: dict[Place, _Held] = field(default_factory=dict)
    ever: set[Place] = field(default_factory=set)
    owed: set[str] = field(default_factory=set)  # controls to judge at the next run that asks for them
    due: datetime | None = None  # the first time at which something held is judged differently
    spells: dict[Place, list[Spell]] = field(default_factory=lambda: defaultdict(list))  # new ones
    ends: dict[Place, tuple[int, str]] = field(default_factory=dict)  # of those that were there before: run and cause
    track: int = field(init=False)
    before: dict[object, _Before] = field(default_factory=dict)  # what the very same answers were judged before

    def __post_init__(self) -> None:
        ground = self.ground
        self.past = ground.pasts.of(self.number, self.asset)
        text = ground.reader.texts.text
        self.track = put_track(ground.connection, ground.vantage, ground.judgement)
        for spell in spells(ground.connection, self.track, only=(self.number,)):
            place = (ground.codes[spell.place[1]], text(spell.place[2]))
            self.ever.add(place)
            if spell.until is None:
                until = self._good_until(spell.value[2])
                self.held[place] = _Held(spell.value, spell.cause, spell.since, until, is_stored=True)
        if not ground.settled or self.past.is_stopped():
            self.owed.update(ground.policy.controls)
        self._find_due()

    def walk(self) -> None:
        """Judges what changed, in every run that is left to judge, and writes what differs from what was told."""
        changes, turns = self._changes()
        if self.ground.ends is not None:
            self._end_all(self.ground.ends)
        for run in self.ground.runs:
            record, number = run.record, run.record.number
            if run.begins:
                self._take_over(run.begins, number)
            if run.turns or number in turns or run.turned >> self.bit & 1:
                self.owed.update(self.ground.policy.controls)
                self.before.clear()  # thresholds, trust store, entry or lab: the same answers may be judged otherwise
            wanted = set(self.ground.controls_of(changes.get(number, ())))
            if self.due is not None and self.due <= record.end:
                self.owed.update(name for (name, _), one in self.held.items() if _is_due(one, record.end))
            if wanted or self.owed:
                self._judge(run, wanted)
            if run.ends is not None:
                self._end_all(run.ends)
        self._write()

    def _end_all(self, run: int) -> None:
        """From this run on the findings of this judgement are the run's own."""
        for place in [*self.held]:
            self._end(place, run, "policy")
        self.owed.clear()
        self._find_due()

    def _changes(self) -> tuple[Mapping[int, set[str]], set[int]]:
        """By run the probes whose answers changed with it; and the runs with which the inventory's entry changed.

        What changed with a run that is not to be judged (it has its own findings) is seen by :meth:`_take_over`.
        """
        changed: dict[int, set[str]] = defaultdict(set)
        for run, probe in self.past.changes():
            changed[run].add(probe)
        numbers = [run.record.number for run in self.ground.runs]
        said = {run for since, until, _ in self.past.entries for run in (since, until) if run is not None}
        # A run of another vantage may have read the new entry first.
        places = {bisect_left(numbers, run) for run in said}
        return changed, {numbers[place] for place in places if place < len(numbers)}

    def _take_over(self, own: int, now: int) -> None:
        """What a run of this very judgement knew is where the runs after it go on from."""
        ground, text = self.ground, self.ground.reader.texts.text
        live = track_of(ground.connection, ground.vantage)
        for (_, control, subject), _, value in held_at(ground.connection, live, own, (self.number,)):
            place = (ground.codes[control], text(subject))
            cause = "target" if place in self.ever else "first"
            self._hold(place, _Held(value, cause, now, self._good_until(value[2])))
        self._find_due()

    # ---- one run

    def _judge(self, run: Run, wanted: set[str]) -> None:
        """The controls whose answers changed, and those owed, as far as this run asked the asset."""
        record, ground = run.record, self.ground
        entry = self.past.entry(record.number)
        if entry is None:
            self._leave(record)
            return
        look = self.past.look(record.number)
        asked = {probe for probe, assets in run.asked.items() if assets >> self.bit & 1}
        # What the kill switch kept from being asked stands in no run's coverage, and is not gone.
        asked |= {probe for (probe, _), stored in look.items() if _is_stopped(stored.answer) and stored.answer.code}
        if not asked:
            self.owed |= wanted
            return
        now = (wanted | self.owed) if _is_whole(record) else (wanted | self.owed) & ground.controls_of(asked)
        self.owed -= now
        seen = {question: stored for question, stored in look.items() if question[0] in asked}
        judged = self._judged(entry, seen, record, now)
        held: dict[str, list[Place]] = defaultdict(list)
        for place in self.held:
            held[place[0]].append(place)
        for name, found in judged.told.items():
            self._told(record, found, judged.values, seen, held[name])
        self._find_due()

    def _judged(self, entry: AssetEntry, look: Answers, run: RunRecord, controls: Collection[str]) -> _Before:
        """Of a server that goes to and fro between a few states each is judged once."""
        ground = self.ground
        name = (frozenset(controls), tuple(sorted((question, *_identity(stored)) for question, stored in look.items())))
        known = self.before.get(name)
        if known is not None and known.holds(run.end):
            return known
        found = judge(
            docket_of(entry, look),
            ground.policy,
            run.end,
            reference=ground.reader.reference(run),
            lab=run.lab,
            controls=controls,
            shipped=ground.shipped,
        )
        until = min((one.good_until for one in found if one.good_until), default=None)
        told: dict[str, dict[str, Finding]] = {control: {} for control in controls}
        for one in found:
            told[one.control][one.subject] = one
        number = ground.reader.texts.number
        values = {
            (one.control, one.subject): (
                OUTCOMES.index(one.outcome),
                SEVERITIES.index(one.severity),
                number(finding_body(one)),
            )
            for one in found
            if one.outcome is not Outcome.UNKNOWN
        }
        self.before[name] = _Before(run.end, until, told, values)
        return self.before[name]

    def _told(
        self,
        run: RunRecord,
        found: Mapping[str, Finding],
        values: Mapping[Place, Value],
        look: Answers,
        held: Iterable[Place],
    ) -> None:
        """What a run says of one control: what is known now, what is only not seen, and what has gone.

        Args:
            held: what holds of that control so far.
        """
        for subject, one in found.items():
            place = (one.control, subject)
            value = values.get(place)
            if value is None:
                continue
            old = self.held.get(place)
            if old is None or old.value != value:
                cause = "target" if place in self.ever else "first"
                if old is not None:
                    self._end(place, run.number, "target")
                self._hold(place, _Held(value, cause, run.number, one.good_until))
            else:
                old.good_until = one.good_until
        for place in held:
            if place not in values:
                self._unanswered(run, place, found, look)

    def _unanswered(self, run: RunRecord, place: Place, found: Mapping[str, Finding], look: Answers) -> None:
        self.held[place].good_until = None  # whatever it is by now, nobody saw it
        if run.state != "complete":
            self.owed.add(place[0])  # the next complete run closes what has gone
            return
        if found:
            cause = why_gone(self.ground.shipped.get(place[0]), place[1], found)
        elif not _is_whole(run) or any(_is_stopped(stored.answer) for stored in look.values()):
            self.owed.add(place[0])
            cause = None
        else:
            cause = "scope"
        if cause:
            self._end(place, run.number, cause)

    def _leave(self, run: RunRecord) -> None:
        """It has left the inventory, as a run of the whole of it told."""
        for place in [*self.held]:
            self._end(place, run.number, "scope")
        self.owed.clear()
        self._find_due()

    # ---- what holds

    def _good_until(self, body: int) -> datetime | None:
        until = body_fields(self.ground.reader.texts.text(body))["good_until"]
        return moment(until) if until else None

    def _find_due(self) -> None:
        self.due = min((one.good_until for one in self.held.values() if one.good_until), default=None)

    def _hold(self, place: Place, held: _Held) -> None:
        self.held[place] = held
        self.ever.add(place)

    def _end(self, place: Place, run: int, cause: str) -> None:
        held = self.held.pop(place)
        if held.since == run and not held.is_stored:
            return  # taken over, and judged otherwise in the same run
        if held.is_stored:
            self.ends[place] = (run, cause)
        else:
            self._keep(place, held, run, cause)

    def _keep(self, place: Place, held: _Held, until: int | None = None, end_cause: str | None = None) -> None:
        spell = Spell(self._where(place), held.since, until, held.value, held.cause, end_cause)
        self.spells[place].append(spell)

    def _where(self, place: Place) -> tuple[int, int, int]:
        ground = self.ground
        return self.number, ground.controls[place[0]], ground.reader.texts.number(place[1])

    def _write(self) -> None:
        """What is new, and the ends of what was there."""
        for place, held in self.held.items():
            if not held.is_stored:
                self._keep(place, held)
        rows = [
            row
            for place in self.spells.keys() | self.ends.keys()
            for row in rows_after(self.ends.get(place), self.spells.get(place, ()), self._where(place))
        ]
        put_rows(self.ground.connection, self.track, rows)
        self.ground.added += sum(row[4] is not None for row in rows)


def _identity(stored: StoredAnswer) -> tuple[str, str, str, str]:
    """What makes an answer the same one whenever it was given."""
    answer, authority = stored.answer, stored.authorisation or ""
    if isinstance(answer, Unobserved):
        return str(answer.reason), answer.code or "", answer.detail, authority
    if isinstance(answer, Absent):
        return str(answer.cause), "", answer.detail, authority
    return stored.digest, "", "", authority


def _is_due(held: _Held, at: datetime) -> bool:
    return held.good_until is not None and held.good_until <= at


def _is_whole(run: RunRecord) -> bool:
    """Whether what it does not mention has gone."""
    return run.state == "complete" and not run.selectors


def _is_stopped(answer: Answer) -> TypeGuard[Unobserved]:
    return isinstance(answer, Unobserved) and answer.reason is Reason.STOPPED
