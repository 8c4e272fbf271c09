"""What ``posture rejudge`` found, beside what the runs were told: so that a rule's doing is not laid at a ministry's door.

A history judged again is kept under the other judgement up to some run. It is told as of the last run of the range that
was judged otherwise itself; once for each judgement that runs of the range had.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from posture.export.span import Span
from posture.model import Outcome
from posture.store import RunRecord, stamp
from posture.store.judgements import Judgement, judgements
from posture.store.records import OUTCOMES
from posture.store.verdicts import held_at, track_of

Row = dict[str, Any]
Verdict = tuple[int, int]  # outcome and severity, as the store numbers them

_AGAIN = """SELECT judgement_id, value, until_run FROM rejudged JOIN text_value ON text_value.id = vantage_id
  ORDER BY judgement_id, value"""
_HARM = {Outcome.FAIL: 2, Outcome.WARN: 1}


@dataclass(slots=True)
class _Moved:
    """How many verdicts are others. ``worse``, ``better``: with more or less to mend; neither where one side has none."""

    all: int = 0
    worse: int = 0
    better: int = 0
    by_place: dict[tuple[str, str], _Moved] = field(default_factory=lambda: defaultdict(_Moved))

    def add(self, told: Verdict | None, anew: Verdict | None) -> None:
        self.all += 1
        if told is not None and anew is not None:
            self.worse += _harm(anew) > _harm(told)
            self.better += _harm(anew) < _harm(told)


def rejudged_rows(span: Span) -> Iterator[Row]:
    """One row for each time that the range was judged again, then one for each ministry and control that it moves."""
    known = judgements(span.store.connection)
    for number, vantage, until in span.store.connection.execute(_AGAIN).fetchall():
        for run in _last_of_each(span, vantage, number, until):
            before, after = known[run.judgement], known[number]
            moved = _moved(span, run, number)
            base = {"at": stamp(run.started_at), "run": run.id, "vantage": vantage}
            yield {
                **base,
                "what": "judged again, beside what was told",
                "before": _judge(before),
                "after": _judge(after),
                **_counted(moved),
            }
            for (ministry, control), count in sorted(moved.by_place.items()):
                yield {
                    **base,
                    "what": f"verdicts of {control}",
                    "before": _rule(before, control),
                    "after": _rule(after, control),
                    "ministry": ministry,
                    "control": control,
                    **_counted(count),
                }


def _last_of_each(span: Span, vantage: str, judgement: int, until: int) -> list[RunRecord]:
    """The last run of the range under each judgement but that one, as far as it was judged again."""
    found: dict[int, RunRecord] = {}
    for run in span.runs:
        if run.vantage == vantage and run.number <= until and run.state != "quarantined":
            found[run.judgement] = run
    found.pop(judgement, None)
    return sorted(found.values(), key=lambda run: run.number)


def _moved(span: Span, run: RunRecord, judgement: int) -> _Moved:
    """What differs as of a run, of the ministries exported."""
    tenures, moved, controls = span.of_asset(), _Moved(), span.store.reader.controls()
    connection, vantage = span.store.connection, span.store.reader.texts.known(run.vantage)
    before, after = (
        {place: value[:2] for place, _, value in held_at(connection, track, run.number, [*tenures])}
        for track in (track_of(connection, vantage), track_of(connection, vantage, judgement))
    )
    for place in before.keys() | after.keys():
        told, anew = before.get(place), after.get(place)
        holder = next((one for one in tenures[place[0]] if one.holds_at(run.number)), None)
        if told == anew or holder is None:
            continue
        moved.add(told, anew)
        moved.by_place[holder.ministry, controls[place[1]]].add(told, anew)
    return moved


def _harm(verdict: Verdict) -> tuple[int, int]:
    """Of two open ones of a kind the more severe harms more."""
    harm = _HARM.get(OUTCOMES[verdict[0]], 0)
    return harm, verdict[1] if harm else 0


def _counted(moved: _Moved) -> Mapping[str, int]:
    return {"judged_otherwise": moved.all, "worse": moved.worse, "better": moved.better}


def _judge(one: Judgement) -> str:
    return f"{one.policy.id} {one.policy_digest[:12]}, rules {one.rules_digest[:12]}"


def _rule(one: Judgement, control: str) -> str:
    version = one.rules.get(control)
    rule = f"rule version {version}" if version is not None else "no rule"
    return f"{one.policy.id}, {rule if control in one.policy.controls else 'not scored'}"
