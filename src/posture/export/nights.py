"""The nights: for each day of the range what was planned, what was done, what was missed, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from posture.export.span import Membership, Span, Tenure
from posture.store import RunRecord, stamp
from posture.store.bitmap import Bitmap
from posture.store.silences import MissSpell, misses

Row = dict[str, Any]

FIELDS = (
    "day", "vantage", "planned", "run", "outcome", "cause", "started", "ended", "state", "assets", "asked", "answered", "in_part",
    "silent", "reasons", "suspect", "policy", "tool",
)  # fmt: skip
NOBODY = "No scan that was started on this day has ended. Whether one was planned, posture does not know."
CAUSES = {
    "partial": "It was interrupted, or a part of it was stopped: what it did not ask keeps its older answers.",
    "stopped": "It was stopped by order (posture stop): what it did not ask keeps its older answers.",
    "quarantined": "Its own line or resolver failed the test that a scan begins and ends with: nothing of it is believed.",
}
NOT_ASKED = "This run did not ask any of these assets: it was narrowed to others, or began before they were listed."
NOT_ALL = "This run was narrowed: it did not ask all of these assets."


def night_rows(span: Span) -> Iterator[Row]:
    """One row a run, and one for each day and vantage without any; by day.

    ``planned``: yes where a scan began. ``outcome`` is done, partly or missed.
    ``assets``: those in the inventory; of the ``asked`` ones some ``answered``
    every question, others ``in_part``, the rest were ``silent``. ``reasons``: of all answers still missing after the run.
    """
    reasons, members = _Reasons(span), Membership(span)
    by_day = defaultdict(list)
    for run in span.runs:
        by_day[span.day(run.started_at)].append(run)
    vantages = sorted(span.windows)
    # Runs that the ledger set between them may have begun before.
    for number in range(
        min(0, *((day - span.first_day).days for day in by_day)), (span.last_day - span.first_day).days + 1
    ):
        day = span.first_day + timedelta(days=number)
        runs = by_day.get(day, [])
        for run in runs:
            yield {"day": day.isoformat(), **_row(span, run, members.at(run), reasons.after(run))}
        for vantage in vantages:
            if number >= 0 and not any(run.vantage == vantage for run in runs):
                yield {
                    "day": day.isoformat(),
                    "vantage": vantage,
                    "planned": "unknown",
                    "outcome": "missed",
                    "cause": NOBODY,
                }


def _row(span: Span, run: RunRecord, mask: int, reasons: Counter[str]) -> Row:
    asked, answered, heard = _coverage(span, run)
    mine, full = asked & mask, asked & mask & answered
    part = (mine & heard) & ~full
    outcome, cause = _outcome(run, mine.bit_count(), mask.bit_count())
    return {
        "vantage": run.vantage,
        "planned": "yes",
        "run": run.id,
        "outcome": outcome,
        "cause": cause,
        "started": stamp(run.started_at),
        "ended": stamp(run.end),
        "state": run.state,
        "assets": mask.bit_count(),
        "asked": mine.bit_count(),
        "answered": full.bit_count(),
        "in_part": part.bit_count(),
        "silent": (mine & ~full & ~part).bit_count(),
        "reasons": ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()) if count),
        "suspect": run.suspect,
        "policy": run.policy,
        "tool": run.tool,
    }


def _outcome(run: RunRecord, asked: int, assets: int) -> tuple[str, str]:
    if run.state == "quarantined":
        return "missed", CAUSES["quarantined"]
    if run.state in CAUSES:
        return ("partly" if asked else "missed"), CAUSES[run.state]
    if assets and not asked:
        return "missed", NOT_ASKED
    return ("partly", NOT_ALL) if asked < assets else ("done", "")


def _coverage(span: Span, run: RunRecord) -> tuple[int, int, int]:
    """Bits of the assets that were asked at all, that answered in full whatever they were asked, that answered anything."""
    asked = heard = lacking = 0
    for targeted, answered in span.store.connection.execute(
        "SELECT targeted, answered FROM coverage WHERE run_id = ?", (run.number,)
    ):
        wanted, got = Bitmap.unpack(targeted).number, Bitmap.unpack(answered).number
        asked, heard, lacking = asked | wanted, heard | (wanted & got), lacking | (wanted & ~got)
    return asked, asked & ~lacking, heard


@dataclass(slots=True)
class _Reasons:
    """How many answers are missing as of a run, by reason. Ask in the order of the runs."""

    span: Span
    _changes: dict[str, dict[int, Counter[str]]] = field(init=False)
    _now: dict[str, Counter[str]] = field(init=False)
    _run: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        tenures = self.span.of_asset()
        self._changes = defaultdict(lambda: defaultdict(Counter))
        self._now, self._run = defaultdict(Counter), defaultdict(int)
        store = self.span.store
        for vantage in self.span.windows:
            for missed in misses(store.connection, store.reader.texts.known(vantage)):
                for one in tenures.get(missed.asset, ()):
                    self._count(vantage, missed, one)

    def _count(self, vantage: str, missed: MissSpell, tenure: Tenure) -> None:
        begin = max(missed.miss.since, tenure.since)
        ends = [each for each in (missed.until, tenure.until) if each is not None]
        if not ends or begin < min(ends):
            self._changes[vantage][begin][missed.miss.reason] += 1
            if ends:
                self._changes[vantage][min(ends)][missed.miss.reason] -= 1

    def after(self, run: RunRecord) -> Counter[str]:
        changes, now = self._changes[run.vantage], self._now[run.vantage]
        for number in sorted(number for number in changes if self._run[run.vantage] < number <= run.number):
            now.update(changes[number])
        self._run[run.vantage] = run.number
        return now
