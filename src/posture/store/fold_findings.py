"""Findings to intervals when a run closes, and what of each control that run knew.

An unknown writes nothing. What a run asked and no longer found is closed only when it is clear why it has gone.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from posture.checks import Control
from posture.drift import Key, address_of, key_of
from posture.model import Finding, Outcome, Reason
from posture.store.answers import finding_body
from posture.store.bitmap import Bitmap
from posture.store.fold import Fold, listed_kind
from posture.store.judging import judge_again
from posture.store.packed import put_judged
from posture.store.records import OUTCOMES, SEVERITIES, RunRecord
from posture.store.verdicts import Place, Turns, Value, held_at, put_track

_EVER = """SELECT 1 FROM verdict WHERE asset_id = ? AND control_id = ? AND subject_id = ? AND track_id = ?
  AND said IS NOT NULL LIMIT 1"""


@dataclass(slots=True)
class FindingsFold:
    """Findings of one run against the open intervals of its vantage. Call :meth:`run` after :meth:`Fold.answers`.

    ``findings``: all that the run judged, unknowns included. ``before``: the vantage's newest closed run, if any.
    """

    fold: Fold
    findings: tuple[Finding, ...]
    before: RunRecord | None
    open: dict[Place, Value] = field(init=False)
    track: int = field(init=False)
    turns: Turns = field(init=False)
    answered: set[Place] = field(init=False)
    codes: dict[int, str] = field(init=False)
    controls: dict[str, int] = field(init=False)
    by_pair: dict[tuple[int, int], dict[str, Finding]] = field(init=False)
    stopped: set[int] = field(init=False)  # assets of which the kill switch kept something from being asked
    anew: dict[Key, Finding] | None = field(init=False, default=None)
    kind: str = field(init=False, default="policy")

    def __post_init__(self) -> None:
        connection = self.fold.connection
        codes = sorted({finding.control for finding in self.findings})
        connection.executemany("INSERT OR IGNORE INTO control (code) VALUES (?)", [(code,) for code in codes])
        self.codes = self.fold.reader.controls()
        self.controls = {code: number for number, code in self.codes.items()}
        self.track = put_track(connection, self.fold.vantage)
        self.turns = Turns(self.fold.run.number)
        self.open = {place: value for place, _, value in held_at(connection, self.track)}
        self.answered = set()
        self.by_pair = defaultdict(dict)
        for finding in self.findings:
            pair = (self.fold.numbers[finding.asset], self.controls[finding.control])
            self.by_pair[pair][finding.subject] = finding
        self.stopped = {self.fold.numbers[one.asset] for one in self.findings if one.reason is Reason.STOPPED}
        self._judge_again()

    def _judge_again(self) -> None:
        """Under new rules the old facts are judged first, so that their change is not laid at the target's door."""
        before, run = self.before, self.fold.run
        if before is None or before.judgement == run.judgement:
            return
        self.kind = "policy" if before.policy_digest != run.policy_digest else "tool"
        self.anew = judge_again(
            self.fold.reader,
            before,
            self.fold.policy,
            self.fold.shipped,
            controls=run.controls,
            assets={finding.asset for finding in self.findings},
        )

    def run(self) -> None:
        """Intervals, and what of each control was known."""
        self._write()
        self.turns.put(self.fold.connection, self.track)
        self.fold.moved.update(self.turns.assets)
        self._looks()

    def _write(self) -> None:
        """Answered ones first; then what the new rules make of the silent; then what has gone."""
        for finding in self.findings:
            if finding.outcome is not Outcome.UNKNOWN:
                self._answered(finding)
        for key, finding in (self.anew or {}).items():
            self._silent(key, finding)
        if self.fold.run.state == "complete":
            for place in [place for place in self.open if place not in self.answered]:
                self._gone(place)

    def _place(self, finding: Finding) -> Place:
        number = self.fold.reader.texts.number
        return self.fold.numbers[finding.asset], self.controls[finding.control], number(finding.subject)

    def _value(self, finding: Finding) -> Value:
        body = self.fold.reader.texts.number(finding_body(finding))
        return OUTCOMES.index(finding.outcome), SEVERITIES.index(finding.severity), body

    def _answered(self, finding: Finding) -> None:
        place, value = self._place(finding), self._value(finding)
        self.answered.add(place)
        old = self.open.get(place)
        if old is None:
            anew = (self.anew or {}).get(key_of(finding))
            by_rules = anew is not None and self._value(anew) == value
            self._insert(place, value, self.kind if by_rules else self._first_cause(place))
        elif old != value:
            cause = self._cause(key_of(finding), old, value)
            self._insert(place, value, cause)

    def _cause(self, key: Key, old: Value, value: Value) -> str:
        """Whose doing a change is: the target's, unless the new rules alone give it."""
        if self.anew is None:
            return "target"
        anew = self.anew.get(key)
        if anew is None:
            return self.kind
        judged = self._value(anew)
        return self.kind if judged != old and judged[:2] == value[:2] else "target"

    def _first_cause(self, place: Place) -> str:
        seen = self.fold.connection.execute(_EVER, (*place, self.track)).fetchone()
        return "target" if seen else "first"

    def _silent(self, key: Key, finding: Finding) -> None:
        """The last known value of what this run asked and could not see, in the words of the new rules."""
        asked = self.by_pair.get((self.fold.numbers[key[0]], self.controls.get(key[1], 0)))
        if asked is None:
            return
        place = self._place(finding)
        old = self.open.get(place)
        if place not in self.answered and old is not None and old != self._value(finding):
            self._insert(place, self._value(finding), self.kind)

    def _gone(self, place: Place) -> None:
        """Closes an interval that this run did not answer, but only when it is clear why."""
        fold = self.fold
        asset, control, subject = place
        asked = self.by_pair.get((asset, control))
        if asked is not None:
            cause = why_gone(fold.shipped.get(self.codes[control]), fold.reader.texts.text(subject), asked)
        elif asset in self.stopped:
            cause = None  # nobody looked
        elif not fold.whole:
            cause = None  # a run with selectors changes only what it asked
        elif self.codes[control] in fold.policy.controls:
            cause = "scope"  # the asset is gone, or no longer has what the control is about
        else:
            cause = "policy"
        if cause:
            self._end(place, cause)

    def _insert(self, place: Place, value: Value, cause: str) -> None:
        """What was there before, if anything, ends for the same cause."""
        self.turns.say(place, value, cause)
        self.open[place] = value

    def _end(self, place: Place, cause: str) -> None:
        self.turns.end(place, cause)
        del self.open[place]

    def _looks(self) -> None:
        """What this run knew of each control, exactly: assets known in full by bit, the others by silent subject."""
        text = self.fold.reader.texts.text
        silent: dict[tuple[int, int], set[str]] = defaultdict(set)
        for pair, asked in self.by_pair.items():
            silent[pair] = {subject for subject, finding in asked.items() if finding.outcome is Outcome.UNKNOWN}
        for asset, control, subject in self.open:
            if (asset, control) in self.by_pair and (asset, control, subject) not in self.answered:
                silent[asset, control].add(text(subject))
        some = {place[:2] for place in self.answered}
        place_of = {number: self.fold.bits[asset] for asset, number in self.fold.numbers.items()}
        for control in sorted({control for _, control in self.by_pair}):
            pairs = [pair for pair in self.by_pair if pair[1] == control]
            partly = {place_of[pair[0]]: sorted(silent[pair]) for pair in pairs if silent[pair] and pair in some}
            put_judged(
                self.fold.connection,
                self.fold.packed,
                self.fold.run.number,
                control,
                (
                    Bitmap(place_of[asset] for asset, _ in pairs).pack(),
                    Bitmap(place_of[pair[0]] for pair in pairs if not silent[pair]).pack(),
                    zlib.compress(json.dumps(partly, separators=(",", ":")).encode(), 9),
                ),
            )


def why_gone(control: Control | None, subject: str, asked: Mapping[str, Finding]) -> str | None:
    """The cause for which a subject is no longer among what was found; None while it may only not have been seen.

    Args:
        asked: all that was judged of the control on that asset, unknowns included, by subject.
    """
    whole = asked.get("")
    if subject in asked or (whole is not None and whole.outcome is Outcome.UNKNOWN):
        return None
    if control is not None and control.subject == "ports":
        return _why_port_gone(subject, asked)
    prefix = listed_kind(subject)
    listed = not prefix or any(listed_kind(one) == prefix or one == "" for one in asked)
    return "scope" if listed else None


def _why_port_gone(subject: str, asked: Mapping[str, Finding]) -> str | None:
    """A port is named only while something is wrong with it; its address tells whether it was looked at."""
    address = address_of(subject)
    there = {one: finding for one, finding in asked.items() if address_of(one) == address}
    if not there:
        return "scope"
    whole = there.get(address)
    return None if whole is not None and whole.outcome is Outcome.UNKNOWN else "target"
