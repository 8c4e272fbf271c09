"""Judging a history again the slow and obviously right way, to compare with: in every run where anything may have changed
all that may be concerned is judged anew, from the answers as they stood then, and nothing is remembered of what was said.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeGuard

from posture.checks import Control
from posture.judge import judge
from posture.model import Answer, AssetKey, Finding, Outcome, Reason, Unobserved
from posture.policy import Policy
from posture.store import Store
from posture.store.answers import body_fields, finding_body
from posture.store.bitmap import Bitmap
from posture.store.dockets import Answers, docket_of
from posture.store.fold_findings import why_gone
from posture.store.judgements import put_judgement
from posture.store.past import Past, Pasts
from posture.store.reader import Reader
from posture.store.records import OUTCOMES, SEVERITIES, AssetEntry, RunRecord, moment
from posture.store.rejudging import controls_by_probe, rejudged_until, runs_of
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
class _Judged:
    """Verdicts by control and subject, with the values of the known ones."""

    told: Mapping[str, Mapping[str, Finding]]
    values: Mapping[Place, Value]


@dataclass(slots=True)
class SlowYears:
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

    def _judged(self, entry: AssetEntry, look: Answers, run: RunRecord, controls: Collection[str]) -> _Judged:
        ground = self.ground
        found = judge(
            docket_of(entry, look),
            ground.policy,
            run.end,
            reference=ground.reader.reference(run),
            lab=run.lab,
            controls=controls,
            shipped=ground.shipped,
        )
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
        return _Judged(told, values)

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


def _is_due(held: _Held, at: datetime) -> bool:
    return held.good_until is not None and held.good_until <= at


def _is_whole(run: RunRecord) -> bool:
    """Whether what it does not mention has gone."""
    return run.state == "complete" and not run.selectors


def _is_stopped(answer: Answer) -> TypeGuard[Unobserved]:
    return isinstance(answer, Unobserved) and answer.reason is Reason.STOPPED


def rejudge_slowly(store: Store, policy: Policy, vantage: str, *, until: int | None = None) -> int:
    """As posture.store.rejudging.rejudge; the number of the judgement."""
    with store.writing() as connection:
        judgement = put_judgement(connection, policy, store.shipped)
        place = store.reader.texts.number(vantage)
        runs = runs_of(store, vantage, until)
        resumed = rejudged_until(connection, judgement, place)
        ground = _ground(store, connection, policy, judgement, vantage, runs, resumed)
        if ground.runs or ground.ends:
            _walk(store, ground)
        if runs and runs[-1].number > resumed:
            connection.execute(
                "INSERT INTO rejudged (judgement_id, vantage_id, until_run) VALUES (?, ?, ?) "
                "ON CONFLICT (judgement_id, vantage_id) DO UPDATE SET until_run = excluded.until_run",
                (judgement, place, runs[-1].number),
            )
    return judgement


def _walk(store: Store, ground: Ground) -> None:
    reader = store.reader
    bits = {asset: bit for bit, asset in reader.bits().items()}
    assets = reader.assets()
    for number, asset in assets.items():
        SlowYears(ground, number, asset, bits[asset]).walk()


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
